/**
 * How often a peer may do what costs us work and gets nobody an answer: a number at once, and some more every second.
 *
 * Must not know what is counted. Time is given.
 */
export class Patience {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  #left: number;
  #countedAt: number;

  constructor(burst: number, perSecond: number, now: () => number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#left = burst;
    this.#countedAt = now();
  }

  /** @returns whether there is any left */
  spend(): boolean {
    if (--this.#left >= 0) return true;
    const now = this.#now();
    this.#left = Math.min(this.#burst, ((now - this.#countedAt) / 1000) * this.#perSecond) - 1;
    this.#countedAt = now;
    return this.#left >= 0;
  }
}
