/**
 * Stdout without waiting for its reader.
 *
 *   write(line) → [ queued, bounded ] → one write at a time on Node's thread pool → stdout
 *
 * A reader that stalls costs lines beyond the bound, which are counted; one that goes away costs all further lines; neither
 * stops the process. Not pino's own stream: its synchronous flush retries a closed pipe for ever, so that a process whose log
 * reader had gone could not end.
 *
 * Must not know what is written.
 */
import { write as writeAsync, writeSync } from 'node:fs';

const stdout = 1;
const queuedMax = 1 << 20;
const retryMs = 20;
const flushTriesMax = 10;

export class Stdout {
  #queued: string[] = [];
  #length = 0;
  #dropped = 0;
  #isWriting = false;
  #isGone = false;

  write(text: string): void {
    if (this.#isGone) return;
    if (this.#length + text.length > queuedMax) {
      this.#dropped++;
      return;
    }
    this.#queued.push(text);
    this.#length += text.length;
    if (!this.#isWriting) this.#next();
  }

  /** How many texts found no room since this was last asked. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  /** Writes what is queued, before the process exits. A reader that takes nothing is given up on after a moment. */
  flush(): void {
    // The write under way cannot be waited for, only given the time that it takes when somebody reads.
    if (this.#isWriting) pause(retryMs);
    let bytes = this.#takeAll();
    for (let tries = 0; bytes.length > 0 && !this.#isGone && tries < flushTriesMax; tries++) {
      try {
        bytes = bytes.subarray(writeSync(stdout, bytes));
      } catch (error) {
        if (!isBusy(error)) this.#isGone = true;
        else pause(retryMs);
      }
    }
  }

  #next(): void {
    if (this.#queued.length > 0) this.#send(this.#takeAll());
  }

  #send(bytes: Buffer): void {
    this.#isWriting = true;
    writeAsync(stdout, bytes, (error, count) => {
      if (error !== null && isBusy(error)) {
        setTimeout(() => this.#send(bytes), retryMs);
        return;
      }
      if (error === null && count < bytes.length) {
        this.#send(bytes.subarray(count));
        return;
      }
      this.#isWriting = false;
      this.#isGone = error !== null;
      if (this.#isGone) this.#takeAll();
      else this.#next();
    });
  }

  #takeAll(): Buffer {
    const bytes = Buffer.from(this.#queued.join(''));
    this.#queued = [];
    this.#length = 0;
    return bytes;
  }
}

function isBusy(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EAGAIN';
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
