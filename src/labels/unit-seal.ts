/**
 * The number by which an experiment tells units apart, as files of predictions and labels may hold it. It is made of the
 * caller's key without a secret, so whoever had the files could try keys out; sealed, it says nothing without the secret, and
 * equal numbers are still equal.
 *
 *   number ─▶ two halves ─▶ four rounds, each adds to one half what a secret table says of the other ─▶ sealed number
 *
 * Four rounds of random tables are a random permutation to whoever does not have them (Luby and Rackoff, 1988).
 *
 * Must not know files.
 */
import { createCipheriv, createHmac } from 'node:crypto';

const rounds = 4;
const halves = 0x10000;
const purpose = 'unit of a label';

export class UnitSeal {
  readonly #tables: readonly Uint16Array[];

  /** @param secret the one of the prediction log */
  constructor(secret: Uint8Array) {
    const key = createHmac('sha256', secret).update(purpose).digest();
    const stream = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
    this.#tables = Array.from({ length: rounds }, () => {
      const bytes = stream.update(Buffer.alloc(2 * halves));
      return Uint16Array.from({ length: halves }, (_, i) => bytes.readUInt16LE(2 * i));
    });
  }

  sealed(unit: number): number {
    let [left, right] = [unit >>> 16, unit & 0xffff];
    for (const table of this.#tables) [left, right] = [right, left ^ table[right]!];
    return ((left << 16) | right) >>> 0;
  }

  opened(sealed: number): number {
    let [left, right] = [sealed >>> 16, sealed & 0xffff];
    for (let round = rounds - 1; round >= 0; round--) [left, right] = [right ^ this.#tables[round]![left]!, left];
    return ((left << 16) | right) >>> 0;
  }
}
