/**
 * Beta–Binomial with the prior Beta(1, 1): numbers for display. Nothing is decided by them.
 *
 * Must not know what was counted.
 */
import type { Interval, Share } from './proportion.js';
import { betaQuantile, lnBeta } from './special.js';

export interface Posterior {
  readonly alpha: number;
  readonly beta: number;
}

export function posteriorOf({ hits, n }: Share): Posterior {
  return { alpha: 1 + hits, beta: 1 + n - hits };
}

/** Terms of the exact sum: about 40 ms. */
const termsMax = 1_000_000;

/** P(a draw of `second` is above one of `first`); null when the sum would be too long. */
export function chanceAbove(first: Posterior, second: Posterior): number | null {
  if (second.alpha > termsMax) return null;
  const [a, b, beta2] = [first.alpha, first.beta, second.beta];
  // Each term is the one before times a rational number; kept as a logarithm because the first may be far below 1e-308.
  let lnTerm = lnBeta(a, b + beta2) - lnBeta(a, b);
  let sum = 0;
  for (let i = 0; i < second.alpha; i++) {
    sum += Math.exp(lnTerm);
    lnTerm += Math.log(((a + i) * (beta2 + i)) / ((a + b + beta2 + i) * (1 + i)));
  }
  return Math.min(1, sum);
}

export interface ExpectedLoss {
  readonly choosingA: number;
  readonly choosingB: number;
}

export function expectedLoss(a: Posterior, b: Posterior): ExpectedLoss | null {
  const [meanA, meanB] = [a.alpha / (a.alpha + a.beta), b.alpha / (b.alpha + b.beta)];
  const ifA = chanceAbove({ ...a, alpha: a.alpha + 1 }, b);
  const ifB = chanceAbove(a, { ...b, alpha: b.alpha + 1 });
  if (ifA === null || ifB === null) return null;
  return { choosingB: meanA * (1 - ifA) - meanB * (1 - ifB), choosingA: meanB * ifB - meanA * ifA };
}

/** The middle 95 %. */
export function credibleInterval({ alpha, beta }: Posterior): Interval {
  return { low: betaQuantile(0.025, alpha, beta), high: betaQuantile(0.975, alpha, beta) };
}
