/**
 * Keeps requests from a shadow that mostly fails.
 *
 *   closed ─ ≥ 20 results in 10 s, half of them failures ─▶ open for 5 s ─▶ one probe ─┬─ answered ─▶ closed
 *                                                            ▲  twice as long, ≤ 60 s ─┘ failed
 *
 * Results are counted in one-second slots, so the window costs ten numbers however many results there are.
 *
 * Must not know requests. Time is given.
 */

/** How a request came to run. */
export type Passage = 'refused' | 'normal' | 'probe';

const slots = 10;
const slotMs = 1000;
const resultsMin = 20;
const openMsMin = 5000;
const openMsMax = 60_000;

export class Breaker {
  readonly #results = new Float64Array(slots);
  readonly #failures = new Float64Array(slots);
  /** The second that the newest slot stands for. */
  #second = 0;
  #openMs = openMsMin;
  #openUntil = 0;
  #state: 'closed' | 'open' | 'probing' = 'closed';

  /** Whether `start` would say yes; changes nothing. */
  allows(now: number): boolean {
    return this.#state === 'closed' || (this.#state === 'open' && now >= this.#openUntil);
  }

  /** Lets a request through, or not. While the breaker is open the first one after its time is the probe. */
  start(now: number): Passage {
    if (!this.allows(now)) return 'refused';
    if (this.#state === 'closed') return 'normal';
    this.#state = 'probing';
    return 'probe';
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** The result of a request that `start` let through. What began before the breaker opened says nothing new after that. */
  add(passage: Passage, isFailure: boolean, now: number): void {
    if (passage === 'probe') {
      if (isFailure) this.#open(now, Math.min(openMsMax, this.#openMs * 2));
      else this.#close();
      return;
    }
    if (this.#state !== 'closed') return;
    this.#advance(now);
    const slot = this.#second % slots;
    this.#results[slot]!++;
    if (isFailure) this.#failures[slot]!++;
    const results = sum(this.#results);
    if (results >= resultsMin && sum(this.#failures) * 2 >= results) this.#open(now, openMsMin);
  }

  #open(now: number, forMs: number): void {
    this.#state = 'open';
    this.#openMs = forMs;
    this.#openUntil = now + forMs;
    this.#clear();
  }

  #close(): void {
    this.#state = 'closed';
    this.#openMs = openMsMin;
  }

  #clear(): void {
    this.#results.fill(0);
    this.#failures.fill(0);
  }

  /** Empties the slots of the seconds that have passed. */
  #advance(now: number): void {
    const second = Math.floor(now / slotMs);
    if (second - this.#second >= slots) this.#clear();
    for (let gone = this.#second + 1; gone <= second && gone <= this.#second + slots; gone++) {
      this.#results[gone % slots] = 0;
      this.#failures[gone % slots] = 0;
    }
    this.#second = Math.max(this.#second, second);
  }
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
