/**
 * Intervals and p-values that stay right however often one looks, and what a guardrail concludes from them.
 *
 * A test made for one look, looked at every minute, finds something in an A/A comparison sooner or later (39 % after 100
 * looks); these are ever wrong in at most α of all runs, to the end of time. The price is a wider interval.
 *
 * Must not know what is measured, or what follows.
 */
import type { Moments } from './moments.js';
import type { Interval } from './proportion.js';

export interface Look {
  readonly difference: number;
  /** Null when nothing varies or an arm has fewer than two units. */
  readonly interval: Interval | null;
  /** Of this look alone: the running minimum over the looks of a phase is what counts. */
  readonly p: number;
}

/** Units in all at which the interval is tightest: chosen, as the specification does. */
export const tunedFor = 5000;

/**
 * Asymptotic confidence sequence: at `1 − alpha`, over all looks together.
 *
 *   ρ² = (−2·ln α + ln(−2·ln α + 1))/N*;   n = n_a + n_b;   se² = v_a/n_a + v_b/n_b
 *   half = √(n·se²)·√(2(nρ² + 1)·ln(√(nρ² + 1)/α)/(nρ)²);   ln e = ρ²(d²n/se²)/(2(nρ² + 1)) − ½ln(nρ² + 1);   p = min(1, 1/e)
 *
 * @param plannedN N*
 */
export function alwaysValid(a: Moments, b: Moments, alpha: number, plannedN = tunedFor): Look {
  const difference = b.mean - a.mean;
  const square = squaredError(a, b);
  if (square === 0) return { difference, interval: null, p: 1 };
  const twice = -2 * Math.log(alpha);
  const nRho2 = ((a.n + b.n) * (twice + Math.log(twice + 1))) / plannedN;
  const spread = nRho2 + 1;
  const half = Math.sqrt((square * 2 * spread * Math.log(Math.sqrt(spread) / alpha)) / nRho2);
  const logE = (nRho2 * difference * difference) / square / (2 * spread) - Math.log(spread) / 2;
  const interval = { low: difference - half, high: difference + half };
  return { difference, interval, p: Math.min(1, Math.exp(-logE)) };
}

/** Mixture sequential probability ratio test with a normal mixture of the variance `tau2`; it gives no interval. */
export function mixtureTest(a: Moments, b: Moments, tau2: number): Look {
  const difference = b.mean - a.mean;
  const square = squaredError(a, b);
  if (square === 0) return { difference, interval: null, p: 1 };
  const logLambda =
    0.5 * Math.log(square / (square + tau2)) + (tau2 * difference * difference) / (2 * square * (square + tau2));
  return { difference, interval: null, p: Math.min(1, Math.exp(-logLambda)) };
}

function squaredError(a: Moments, b: Moments): number {
  return a.n < 2 || b.n < 2 ? 0 : a.variance / a.n + b.variance / b.n;
}

export type Direction = 'higher' | 'lower';

/** The interval turned so that positive is better. */
export function oriented({ low, high }: Interval, better: Direction): Interval {
  return better === 'higher' ? { low, high } : { low: -high, high: -low };
}

export type GuardrailVerdict = 'fail' | 'pass' | 'continue';

/** @param interval turned so that positive is better */
export function guardrailVerdict(interval: Interval | null, margin: number): GuardrailVerdict {
  if (interval === null) return 'continue';
  if (interval.high < -margin) return 'fail';
  return interval.low > -margin ? 'pass' : 'continue';
}

export type SuccessVerdict = 'better' | 'worse' | 'continue';

/** @param interval turned so that positive is better */
export function successVerdict(interval: Interval | null): SuccessVerdict {
  if (interval === null) return 'continue';
  if (interval.low > 0) return 'better';
  return interval.high < 0 ? 'worse' : 'continue';
}

/**
 * A share in which nothing varied, as if one observation more had been the other way. Without it a canary with no errors
 * at all, which is the good case, would never have an interval, and one with none yet a too narrow one.
 */
export function withDoubt(share: Moments): Moments {
  if (share.variance > 0 || share.observations < 2) return share;
  const q = 1 / (share.observations + 2);
  const observationsEach = share.observations / share.n;
  return { ...share, variance: (q * (1 - q)) / observationsEach };
}
