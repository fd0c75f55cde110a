/**
 * A histogram in fixed buckets, which is counted in place and read as a series.
 *
 * The counts are small integers in a plain array: adding is a comparison or two and an increment, and a copy for a snapshot
 * is one move of memory.
 *
 * Must not know what is counted.
 */
import type { Series } from './series.js';

export class Tally {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  count = 0;
  #sum = 0;

  /** @param bounds upper bounds, ascending, without +Inf */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array(bounds.length + 1).fill(0);
  }

  add(value: number): void {
    let at = 0;
    while (at < this.#bounds.length && value > this.#bounds[at]!) at++;
    this.#counts[at]!++;
    this.count++;
    this.#sum += value;
  }

  series(labels: Readonly<Record<string, string>>): Series {
    return { labels, value: this.count, counts: this.#counts.slice(), sum: this.#sum };
  }
}
