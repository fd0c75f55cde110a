/**
 * Whether the other side is too slow to wait for: fewer bytes than the rate allows, over a whole window of waiting.
 *
 * Only time spent waiting for bytes is counted, because a reader that is slow itself (a busy disk) is not the sender's
 * fault; so a window may stretch over any length of real time.
 *
 * Must not know sockets or clocks.
 */

export interface PaceLimit {
  readonly stallTimeoutMs: number;
  readonly stallBytesPerS: number;
}

export class Pace {
  readonly #limit: PaceLimit;
  #waitedMs = 0;
  #bytes = 0;

  constructor(limit: PaceLimit) {
    this.#limit = limit;
  }

  /** How much more waiting the current window holds; more than 0. */
  remainingMs(): number {
    return this.#limit.stallTimeoutMs - this.#waitedMs;
  }

  /** @returns whether a window ended with too little in it */
  isStalledAfter(waitedMs: number, bytes: number): boolean {
    // A wait cannot be longer than the window that would have interrupted it, whatever the clock says.
    this.#waitedMs += Math.min(Math.max(0, waitedMs), this.remainingMs());
    this.#bytes += bytes;
    if (this.remainingMs() > 0) return false;
    const isStalled = this.#bytes * 1000 < this.#limit.stallBytesPerS * this.#limit.stallTimeoutMs;
    this.#waitedMs = 0;
    this.#bytes = 0;
    return isStalled;
  }
}
