/**
 * The entries of an index that are not in a file yet: columns, and chains by hash.
 *
 * Must not know files.
 */
import type { Entries, Hash } from './run.js';

const atFirst = 1024;
const none = -1;

export class Head implements Entries {
  count = 0;
  high = new Uint32Array(atFirst);
  low = new Uint32Array(atFirst);
  file = new Uint32Array(atFirst);
  offset = new Uint32Array(atFirst);
  #next = new Int32Array(atFirst);
  #slots = new Int32Array(2 * atFirst).fill(none);

  add({ high, low }: Hash, file: number, offset: number): void {
    if (this.count === this.high.length) this.#grow();
    const entry = this.count++;
    this.high[entry] = high;
    this.low[entry] = low;
    this.file[entry] = file;
    this.offset[entry] = offset;
    this.#link(entry);
  }

  #link(entry: number): void {
    const slot = this.low[entry]! & (this.#slots.length - 1);
    this.#next[entry] = this.#slots[slot]!;
    this.#slots[slot] = entry;
  }

  /** Numbers of entries, the newest first. */
  find({ high, low }: Hash): number[] {
    const found: number[] = [];
    for (let entry = this.#slots[low & (this.#slots.length - 1)]!; entry !== none; entry = this.#next[entry]!) {
      if (this.low[entry] === low && this.high[entry] === high) found.push(entry);
    }
    return found;
  }

  #grow(): void {
    const length = 2 * this.high.length;
    this.high = grown(this.high, length);
    this.low = grown(this.low, length);
    this.file = grown(this.file, length);
    this.offset = grown(this.offset, length);
    this.#next = new Int32Array(length);
    this.#slots = new Int32Array(2 * length).fill(none);
    for (let entry = 0; entry < this.count; entry++) this.#link(entry);
  }
}

function grown(values: Uint32Array<ArrayBuffer>, length: number): Uint32Array<ArrayBuffer> {
  const longer = new Uint32Array(length);
  longer.set(values);
  return longer;
}
