/**
 * Two things that add up: a histogram in fixed buckets, and a sum of durations that stays exact.
 *
 * Must not know what is counted.
 */
import type { Series } from '../core/series.js';
import type { DurationSum } from '../core/statistics.js';

export class Tally {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  count = 0;
  #sum = 0;

  /** @param bounds upper bounds, ascending, without +Inf */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  add(value: number): void {
    let at = 0;
    while (at < this.#bounds.length && value > this.#bounds[at]!) at++;
    this.#counts[at]!++;
    this.count++;
    this.#sum += value;
  }

  series(labels: Readonly<Record<string, string>>): Series {
    return { labels, value: this.count, counts: Array.from(this.#counts), sum: this.#sum };
  }
}

/** Nanoseconds from here on are carried into the exact part: far below 2^53, so no addition rounds. */
const carryNs = 2 ** 50;

export class DurationTotal {
  #count = 0;
  #ns = 0;
  #carriedNs = 0n;

  add(durationMs: number): void {
    this.#count++;
    this.#ns += Math.round(durationMs * 1e6);
    if (this.#ns >= carryNs) {
      this.#carriedNs += BigInt(this.#ns);
      this.#ns = 0;
    }
  }

  sum(): DurationSum {
    return { count: this.#count, ns: this.#carriedNs + BigInt(this.#ns) };
  }
}
