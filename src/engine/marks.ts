/**
 * What this process runs at this moment, in a file that outlives it: after a crash the control process reads whom to blame.
 *
 *   [ slot 0: what the main thread ran last ][ slot 1 … n: a run on a thread that has begun and not ended ]
 *
 * A mark is one write into the page cache. The main thread runs batches of a few microseconds, so its mark is written only
 * when another version than before runs, and never taken back.
 *
 * Must not know who reads the marks.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { markBytes } from '../core/mark.js';

export class Marks {
  readonly #file: number | undefined;
  readonly #marks = new Map<string, Buffer>();
  readonly #free: number[] = [];
  #slots = 1;
  #inline = '';

  /** @param path undefined = nobody reads them */
  constructor(path: string | undefined) {
    this.#file = path === undefined ? undefined : openSync(path, 'w', 0o600);
    if (this.#file !== undefined) ftruncateSync(this.#file, markBytes);
  }

  /** The main thread is about to run a batch of this version. */
  inline(name: string): void {
    if (name === this.#inline || this.#file === undefined) return;
    this.#inline = name;
    this.#write(0, name);
  }

  /** A thread is about to. @returns its slot, for `end` */
  begin(name: string): number {
    const slot = this.#free.pop() ?? this.#slots++;
    this.#write(slot, name);
    return slot;
  }

  end(slot: number): void {
    this.#write(slot, '');
    this.#free.push(slot);
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }

  #write(slot: number, name: string): void {
    if (this.#file === undefined) return;
    let mark = this.#marks.get(name);
    if (mark === undefined) {
      mark = Buffer.alloc(markBytes);
      mark.write(name, 'latin1');
      this.#marks.set(name, mark);
    }
    writeSync(this.#file, mark, 0, markBytes, slot * markBytes);
  }
}
