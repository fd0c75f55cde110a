/**
 * The mean of a loss that is counted row by row, and can be taken back when a label is replaced.
 *
 * Sums, not Welford: a removed row must leave no trace, and losses are of one size, so that nothing cancels.
 *
 * Must not know which loss.
 */
import type { Interval } from './proportion.js';
import { studentQuantile } from './special.js';

export interface MeanLoss {
  readonly n: number;
  readonly mean: number | null;
  /** Sample variance of one row; null below two. */
  readonly variance: number | null;
}

export class LossTally {
  #n = 0;
  #sum = 0;
  #squares = 0;

  /** @param weight negative to take a row back */
  add(loss: number, weight: number): void {
    this.#n += weight;
    this.#sum += weight * loss;
    this.#squares += weight * loss * loss;
  }

  value(): MeanLoss {
    const n = this.#n;
    if (n <= 0) return { n: 0, mean: null, variance: null };
    const mean = this.#sum / n;
    return { n, mean, variance: n < 2 ? null : Math.max(0, (this.#squares - n * mean * mean) / (n - 1)) };
  }
}

/** Student's interval of a mean; null where no variance is known. */
export function meanInterval({ n, mean, variance }: MeanLoss, alpha = 0.05): Interval | null {
  if (mean === null || variance === null || n < 2) return null;
  const half = studentQuantile(1 - alpha / 2, n - 1) * Math.sqrt(variance / n);
  return { low: mean - half, high: mean + half };
}
