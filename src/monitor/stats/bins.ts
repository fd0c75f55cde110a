/**
 * Two histograms over the same bins: what every distance and every test of counts takes (monitoring §11).
 *
 *   a_i reference, b_i current, k bins;   N = Σa, M = Σb;   p_i = a_i/N, q_i = b_i/M
 *
 * Must not know what the bins stand for.
 */
import { invalid } from '../../core/errors.js';

/** Counts by bin: whole numbers as a rule, weights where rows are weighted. */
export type Counts = ArrayLike<number>;

export interface Histograms {
  readonly reference: Counts;
  readonly current: Counts;
  /** k, bins that are empty on both sides included. */
  readonly bins: number;
  /** N, always above 0. */
  readonly referenceTotal: number;
  /** M, always above 0. */
  readonly currentTotal: number;
}

/**
 * @returns null when a side is empty: there is nothing to compare
 * @throws INVALID_ARGUMENT when the sides have different bins, or a count is negative or not finite
 */
export function histogramsOf(reference: Counts, current: Counts): Histograms | null {
  if (reference.length !== current.length) {
    throw invalid(`counts: the reference has ${reference.length} bins, the current side ${current.length}`);
  }
  const referenceTotal = totalOf(reference, 'reference');
  const currentTotal = totalOf(current, 'current');
  if (referenceTotal === 0 || currentTotal === 0) return null;
  return { reference, current, bins: reference.length, referenceTotal, currentTotal };
}

function totalOf(counts: Counts, side: string): number {
  let total = 0;
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i]!;
    if (!(count >= 0 && count < Infinity)) throw invalid(`counts: bin ${i} of the ${side} side is ${count}`);
    total += count;
  }
  return total;
}

/** f = 1/N + 1/M: what a distance shrinks with when both sides grow. */
export function samplingFactor({ referenceTotal, currentTotal }: Histograms): number {
  return 1 / referenceTotal + 1 / currentTotal;
}
