/**
 * Stdout without waiting for its reader.
 *
 *   write(text) → written at once, or → [ queued, bounded ] → tried again every few milliseconds
 *
 * A reader that stalls costs texts beyond the bound, which are counted; one that goes away costs all further ones; neither
 * stops the process nor its exit. Pipes are written without blocking, because a write that hangs on Node's thread pool hangs
 * `process.exit`, too; and not by pino's own stream, whose synchronous flush retries a closed pipe for ever.
 *
 * Must not know what is written.
 */
import { writeSync } from 'node:fs';

const stdout = 1;
const queuedMax = 1 << 20;
const retryMs = 20;
const flushTriesMax = 10;

export class Stdout {
  readonly #queued: Buffer[] = [];
  #length = 0;
  #dropped = 0;
  #isGone = false;

  constructor() {
    // Looking at it is enough: Node makes a pipe or socket non-blocking when it opens the stream.
    void process.stdout;
  }

  write(text: string): void {
    if (this.#isGone) return;
    const bytes = Buffer.from(text);
    if (this.#length + bytes.length > queuedMax) {
      this.#dropped++;
      return;
    }
    this.#queued.push(bytes);
    this.#length += bytes.length;
    if (this.#queued.length === 1) this.#next();
  }

  /** How many texts found no room since this was last asked; 0 while there would be none for saying so, either. */
  takeDropped(): number {
    if (this.#length > queuedMax / 2) return 0;
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  /** Writes what is queued, before the process exits. A reader that takes nothing is given up on after a moment. */
  flush(): void {
    for (let tries = 0; tries < flushTriesMax && !this.#writeQueued(); tries++) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
    }
  }

  #next(): void {
    if (!this.#writeQueued()) setTimeout(() => this.#next(), retryMs).unref();
  }

  /** @returns false when the reader must first make room */
  #writeQueued(): boolean {
    while (this.#queued.length > 0) {
      const bytes = this.#queued[0]!;
      try {
        const count = writeSync(stdout, bytes);
        this.#length -= count;
        if (count === bytes.length) this.#queued.shift();
        else this.#queued[0] = bytes.subarray(count);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false;
        this.#isGone = true;
        this.#queued.length = 0;
      }
    }
    return true;
  }
}
