/**
 * What stands beside the population stability index (monitoring §11): its two halves, a form without ε, and how large it is
 * by chance. Reference first, current second; null when a side is empty.
 *
 * Must not know what the bins stand for, or what is decided.
 */
import { chiSquareTail } from '../special.js';
import { type Counts, histogramsOf, samplingFactor } from './bins.js';
import { leastShare, psi } from './distances.js';
import { Sum } from './sum.js';

/** Psi over all k bins with p = (a + ½)/(N + ½k), in nats: no share is 0, so none is replaced (Jeffreys' prior). */
export function psiJeffreys(reference: Counts, current: Counts): number | null {
  const both = histogramsOf(reference, current);
  if (both === null) return null;
  const half = both.bins / 2;
  const sum = new Sum();
  for (let i = 0; i < both.bins; i++) {
    const p = (reference[i]! + 0.5) / (both.referenceTotal + half);
    const q = (current[i]! + 0.5) / (both.currentTotal + half);
    sum.add((q - p) * Math.log(q / p));
  }
  return sum.value;
}

/**
 * Kullback–Leibler divergence Σ p′·ln(p′/q′) in nats, with the ε of `psi`: not symmetric, and psi is the sum of both
 * directions (`kl_ref_cur_nats`; exchange the arguments for `kl_cur_ref_nats`). A replaced share can make it negative.
 */
export function klNats(from: Counts, to: Counts): number | null {
  const both = histogramsOf(from, to);
  if (both === null) return null;
  const sum = new Sum();
  for (let i = 0; i < both.bins; i++) {
    if (from[i] === 0 && to[i] === 0) continue;
    const p = from[i]! / both.referenceTotal || leastShare;
    const q = to[i]! / both.currentTotal || leastShare;
    sum.add(p * Math.log(p / q));
  }
  return sum.value;
}

/** Chance of a psi at least this large without drift: χ² tail of psi/f at k − 1; for large samples only. One bin: 1. */
export function psiPValue(reference: Counts, current: Counts): number | null {
  const both = histogramsOf(reference, current);
  const value = psi(reference, current);
  if (both === null || value === null) return null;
  return both.bins === 1 ? 1 : chiSquareTail(value / samplingFactor(both), both.bins - 1);
}

/** What psi exceeds in 5 % of windows without drift: χ²-quantile(0.95, k − 1)·(1/N + 1/M), in nats. One bin: 0. */
export function psiCritical95(reference: Counts, current: Counts): number | null {
  const both = histogramsOf(reference, current);
  if (both === null) return null;
  return both.bins === 1 ? 0 : chiSquareUpperPoint(0.05, both.bins - 1) * samplingFactor(both);
}

/** x with P(χ² ≥ x) = tail, by bisection to the last digit. */
function chiSquareUpperPoint(tail: number, df: number): number {
  let [low, high] = [0, df + 1];
  while (chiSquareTail(high, df) > tail) high *= 2;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return middle;
    if (chiSquareTail(middle, df) > tail) low = middle;
    else high = middle;
  }
}
