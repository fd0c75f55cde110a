/**
 * What was made of bytes, found again when the same bytes come along: class names, routes, heads of tensors, keys of units.
 * A version has few of them and every row tells them again; to make a text of them is a call into the runtime, to compare
 * them a loop (bench/micro/prediction-observer).
 *
 * A table of fixed size, two places for each hash; the older of three gives way.
 *
 * Must not know what is made.
 */
import type { Chunk } from './chunk.js';

interface Entry<T> {
  readonly bytes: Uint8Array;
  readonly mark: number;
  readonly value: T;
}

/** Where bytes lie, and a number that must be equal, too. */
export interface Stretch {
  from: number;
  to: number;
  mark: number;
}

const bytesMax = 512;

export class KnownBytes<T> {
  readonly #slots: (Entry<T> | undefined)[];

  /** @param slots a power of two */
  constructor(slots: number) {
    this.#slots = new Array<Entry<T> | undefined>(slots).fill(undefined);
  }

  get({ bytes }: Pick<Chunk, 'bytes'>, stretch: Stretch): T | undefined {
    const slot = this.#slotOf(bytes, stretch);
    const entry = this.#slots[slot];
    if (entry !== undefined && isOf(entry, bytes, stretch)) return entry.value;
    const neighbour = this.#slots[slot ^ 1];
    return neighbour !== undefined && isOf(neighbour, bytes, stretch) ? neighbour.value : undefined;
  }

  /** @returns the value; what is long is not remembered */
  put({ bytes }: Pick<Chunk, 'bytes'>, stretch: Stretch, value: T): T {
    const { from, to, mark } = stretch;
    if (to - from > bytesMax) return value;
    const slot = this.#slotOf(bytes, stretch);
    // Who was here goes next door, so that two of the same place do not drive each other out.
    this.#slots[slot ^ 1] = this.#slots[slot];
    this.#slots[slot] = { bytes: new Uint8Array(bytes.subarray(from, to)), mark, value };
    return value;
  }

  /** FNV-1a, its high bits mixed into those that count: keys that differ in their last digit alone met too often. */
  #slotOf(bytes: Buffer, { from, to, mark }: Stretch): number {
    let hash = 0x811c9dc5 ^ mark;
    for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    return (hash ^ (hash >>> 13)) & (this.#slots.length - 1);
  }
}

function isOf<T>({ bytes: known, mark }: Entry<T>, bytes: Buffer, stretch: Stretch): boolean {
  const { from, to } = stretch;
  if (mark !== stretch.mark || known.length !== to - from) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[from + i]) return false;
  return true;
}
