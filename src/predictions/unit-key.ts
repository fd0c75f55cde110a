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
import type { Bytes, Chunk } from './chunk.js';
import { KnownBytes } from './known-bytes.js';
import { flags, headBytes, place, unitKeyHashBytes } from './layout.js';
import type { HashKey } from './redaction.js';
import { putText } from './text-bytes.js';

/** Longer keys are none (monitoring §2.3). */
const keyCharsMax = 256;
/** Digests that are remembered. */
const digestsMax = 16_384;

export function unitKeyBytesMax(key: string | undefined): number {
  return key === undefined ? 0 : 4 + 3 * Math.min(key.length, keyCharsMax);
}

/** @returns where it ends */
export function putUnitKey(chunk: Chunk, at: number, key: string): number {
  const end = putText(chunk, at, key.length > keyCharsMax ? key.slice(0, keyCharsMax) : key);
  chunk.view.setUint16(end, end - at, true);
  return end + 2;
}

function isPlain({ bytes, view }: Bytes, start: number): boolean {
  return (bytes[start + place.flags]! & flags.unitKey) !== 0 && view.getUint32(start + place.keyGeneration, true) === 0;
}

/** Of the record that starts there. Without a key, or once it is hashed: undefined. */
export function unitOf(bytes: Bytes, start: number): number | undefined {
  return isPlain(bytes, start) ? bytes.view.getUint32(start + place.unit, true) : undefined;
}

/** As rows tell it. */
export function unitKeyHashOf({ bytes, view }: Bytes, start: number): string | undefined {
  if ((bytes[start + place.flags]! & flags.unitKey) === 0) return undefined;
  const generation = view.getUint32(start + place.keyGeneration, true);
  if (generation === 0) return undefined;
  const at = start + place.unitKeyHash;
  return `k${generation}:${bytes.toString('hex', at, at + unitKeyHashBytes)}`;
}

export class UnitKeys {
  readonly #hashKey: HashKey;
  readonly #digests = new KnownBytes<Buffer>(digestsMax);
  readonly #stretch = { from: 0, to: 0, mark: 0 };

  constructor(hashKey: HashKey) {
    this.#hashKey = hashKey;
  }

  /** Hashes the key of a record in its place. @returns where the record ends without it */
  hash(record: Bytes, start: number, end: number): number {
    if (!isPlain(record, start)) return end;
    const { bytes, view } = record;
    const from = end - 2 - view.getUint16(end - 2, true);
    this.#stretch.from = from + 2;
    this.#stretch.to = end - 2;
    const digest = this.#digests.get(record, this.#stretch) ?? this.#digestOf(record);
    const at = start + place.unitKeyHash;
    for (let i = 0; i < unitKeyHashBytes; i++) bytes[at + i] = digest[i]!;
    view.setUint32(start + place.keyGeneration, this.#hashKey.generation, true);
    view.setUint32(start + place.unit, 0, true);
    view.setUint32(start, from - start - headBytes, true);
    return from;
  }

  #digestOf(record: Bytes): Buffer {
    const { from, to } = this.#stretch;
    const key = record.bytes.toString('utf8', from, to);
    const digest = createHmac('sha256', this.#hashKey.key).update(key).digest().subarray(0, unitKeyHashBytes);
    return this.#digests.put(record, this.#stretch, digest);
  }
}
