/**
 * The key of a unit (a customer, a session) in a record. A file holds it as a keyed digest only, `k<generation>:` and 32
 * hexadecimal digits, by which rows of one unit can be told without knowing whose they are, and which nobody without the
 * secret can find by trying keys out.
 *
 *   serving thread: … payload │ key │ u16 its length ── observer: hashed, cut off ──▶ segment: … payload
 *
 * A keyed digest costs as much as a whole row, so the serving thread only passes the key on.
 *
 * Must not know the rest of a record.
 */
import { createHmac } from 'node:crypto';
import type { Chunk } from './chunk.js';
import { flags, headBytes, place, unitKeyHashBytes } from './layout.js';
import type { HashKey } from './redaction.js';
import { putText } from './text-bytes.js';

/** Longer keys are none (monitoring §2.3). */
const keyCharsMax = 256;
/** Digests that are remembered. */
const digestsMax = 20_000;

export function unitKeyBytesMax(key: string | undefined): number {
  return key === undefined ? 0 : 4 + 3 * Math.min(key.length, keyCharsMax);
}

/** @returns where it ends */
export function putUnitKey(chunk: Chunk, at: number, key: string): number {
  const end = putText(chunk, at, key.length > keyCharsMax ? key.slice(0, keyCharsMax) : key);
  chunk.view.setUint16(end, end - at, true);
  return end + 2;
}

function isPlain(record: Buffer): boolean {
  return (record[place.flags]! & flags.unitKey) !== 0 && record.readUInt32LE(place.keyGeneration) === 0;
}

/** Without a key, or once it is hashed: undefined. */
export function unitOf(record: Buffer): number | undefined {
  return isPlain(record) ? record.readUInt32LE(place.unit) : undefined;
}

/** As rows tell it. */
export function unitKeyHashOf(record: Buffer): string | undefined {
  if ((record[place.flags]! & flags.unitKey) === 0) return undefined;
  const generation = record.readUInt32LE(place.keyGeneration);
  if (generation === 0) return undefined;
  return `k${generation}:${record.toString('hex', place.unitKeyHash, place.unitKeyHash + unitKeyHashBytes)}`;
}

export class UnitKeys {
  readonly #hashKey: HashKey;
  #digests = new Map<string, Buffer>();

  constructor(hashKey: HashKey) {
    this.#hashKey = hashKey;
  }

  /** Hashes the key in place. @returns the record without it */
  hashed(record: Buffer): Buffer {
    if (!isPlain(record)) return record;
    const start = record.length - 2 - record.readUInt16LE(record.length - 2);
    const digest = this.#digestOf(record.toString('utf8', start + 2, record.length - 2));
    record.set(digest, place.unitKeyHash);
    record.writeUInt32LE(this.#hashKey.generation, place.keyGeneration);
    record.writeUInt32LE(0, place.unit);
    record.writeUInt32LE(start - headBytes, 0);
    return record.subarray(0, start);
  }

  #digestOf(key: string): Buffer {
    let digest = this.#digests.get(key);
    if (digest === undefined) {
      digest = createHmac('sha256', this.#hashKey.key).update(key).digest().subarray(0, unitKeyHashBytes);
      if (this.#digests.size >= digestsMax) this.#digests.clear();
      this.#digests.set(key, digest);
    }
    return digest;
  }
}
