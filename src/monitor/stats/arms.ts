/**
 * Two arms of an experiment from their counts or moments (monitoring §6): `a` is the control, `b` the treatment, and every
 * difference is b − a. Made for one look; for many there is sequential.ts.
 *
 * An interval is at confidence 1 − α, two-sided unless it says otherwise. Null = not defined.
 *
 * Must not know what was counted or measured.
 */
import { invalid } from '../../core/errors.js';
import { welch as welchOf } from '../mean.js';
import { momentsOfCounts } from '../moments.js';
import {
  mcNemar,
  newcombeInterval,
  nonInferiority as nonInferiorityOf,
  pooledZ,
  type Share,
  waldInterval,
  wilsonInterval,
} from '../proportion.js';
import { insufficient, type TestResult } from './result.js';

/** Mean and variance of one unit, and how many units. */
export interface ArmMoments {
  readonly mean: number;
  readonly variance: number;
  readonly n: number;
}

interface Bounds {
  readonly low: number | null;
  readonly high: number | null;
}

export interface Difference extends Bounds {
  readonly difference: number | null;
}

const unbounded = { low: null, high: null, insufficientData: true } as const;

function shareOf(x: number, n: number): Share {
  if (!(n >= 0 && n < Infinity && x >= 0 && x <= n)) throw invalid(`a share of ${x} in ${n}: expected 0 ≤ x ≤ n`);
  return { hits: x, n };
}

/** @throws INVALID_ARGUMENT outside (0, 1) */
export function checkedAlpha(alpha: number): number {
  if (!(alpha > 0 && alpha < 1)) throw invalid(`alpha is ${alpha}: expected a number between 0 and 1`);
  return alpha;
}

/** @throws INVALID_ARGUMENT for moments that no sample has */
export function checkedMoments({ mean, variance, n }: ArmMoments): ArmMoments {
  const isOf = n >= 0 && n < Infinity && (n === 0 || (Number.isFinite(mean) && variance >= 0 && variance < Infinity));
  if (!isOf)
    throw invalid(
      `moments: mean ${mean}, variance ${variance}, n ${n}: expected finite ones, none below 0 but the mean`,
    );
  return { mean, variance, n };
}

function differenceOf(a: Share, b: Share): number {
  return b.hits / b.n - a.hits / a.n;
}

export interface TwoProportions extends TestResult, Difference {
  /** The statistic, by its name in the specification. */
  readonly zPooled: number | null;
}

/**
 * z test of two shares with the pooled standard error, and the Wald interval of the difference with the unpooled one.
 *
 *   z = (p_b − p_a)/√(p̂(1 − p̂)(1/n_a + 1/n_b)), 0 when nothing varies;   p = 2Φ̄(|z|);   d ± z_{1−α/2}·√(Σ p(1 − p)/n)
 *
 * Equals statsmodels' `proportions_ztest`; z² is Pearson's χ² of the 2 × 2 table.
 */
export function twoProportions(xa: number, na: number, xb: number, nb: number, alpha = 0.05): TwoProportions {
  const [a, b] = [shareOf(xa, na), shareOf(xb, nb)];
  const test = pooledZ(a, b);
  const interval = waldInterval(a, b, checkedAlpha(alpha));
  if (test === null || interval === null) return { ...insufficient, ...unbounded, difference: null, zPooled: null };
  const { z, pTwoSided } = test;
  return { statistic: z, df: null, p: pTwoSided, zPooled: z, difference: differenceOf(a, b), ...interval };
}

/** Wilson's score interval of the share x/n, in [0, 1]; nulls when n is 0. Source: Wilson 1927. */
export function wilson(x: number, n: number, alpha = 0.05): Bounds {
  return wilsonInterval(shareOf(x, n), checkedAlpha(alpha)) ?? unbounded;
}

/** Interval of the difference of two shares, from the Wilson intervals of both; in [−1, 1]. Source: Newcombe 1998, method 10. */
export function newcombe(xa: number, na: number, xb: number, nb: number, alpha = 0.05): Difference {
  const [a, b] = [shareOf(xa, na), shareOf(xb, nb)];
  const interval = newcombeInterval(a, b, checkedAlpha(alpha));
  return interval === null ? { difference: null, ...unbounded } : { difference: differenceOf(a, b), ...interval };
}

/**
 * Welch's t test from moments, with his degrees of freedom and the interval of the difference. Nulls, except the difference,
 * when nothing varies or an arm has fewer than two units.
 *
 *   t = d/√(A + B), A = v_a/n_a, B = v_b/n_b;   df = (A + B)²/(A²/(n_a − 1) + B²/(n_b − 1));   d ± t_{1−α/2, df}·√(A + B)
 *
 * Source: Welch 1947. Equals scipy's `stats.ttest_ind_from_stats(…, equal_var=False)` with the arms exchanged.
 */
export function welch(a: ArmMoments, b: ArmMoments, alpha = 0.05): TestResult & Difference {
  const [ofA, ofB] = [checkedMoments(a), checkedMoments(b)];
  const result = welchOf({ ...ofA, observations: a.n }, { ...ofB, observations: b.n }, checkedAlpha(alpha));
  if (a.n === 0 || b.n === 0) return { ...insufficient, ...unbounded, difference: null };
  const difference = b.mean - a.mean;
  if (result === null) return { statistic: null, df: null, p: null, difference, low: null, high: null };
  return { statistic: result.t, df: result.df, p: result.pTwoSided, difference, ...result.interval };
}

export interface NonInferiority extends TestResult {
  readonly difference: number | null;
  /** The p, by its name in the specification. */
  readonly pOneSided: number | null;
  readonly lowerOneSided: number | null;
  readonly nonInferior: boolean | null;
}

/**
 * Whether the share of `b` is not below that of `a` by more than the margin; higher is better. Where lower is, exchange the
 * arms. Nulls, except the difference, when nothing varies.
 *
 *   z = (d + m)/se, se as in the Wald interval;   p = Φ̄(z);   lower bound d − z_{1−α}·se;   non-inferior ⇔ p < α
 */
export function nonInferiority(
  xa: number,
  na: number,
  xb: number,
  nb: number,
  margin: number,
  alpha = 0.05,
): NonInferiority {
  if (!(margin >= 0 && margin < Infinity)) throw invalid(`margin is ${margin}: expected 0 or more`);
  const [a, b] = [shareOf(xa, na), shareOf(xb, nb)];
  const undefinedNumbers = { pOneSided: null, lowerOneSided: null, nonInferior: null };
  const result = nonInferiorityOf(a, b, margin, checkedAlpha(alpha));
  if (na === 0 || nb === 0) return { ...insufficient, difference: null, ...undefinedNumbers };
  const difference = differenceOf(a, b);
  if (result === null) return { statistic: null, df: null, p: null, difference, ...undefinedNumbers };
  const error = Math.sqrt(momentsOfCounts(xa, na).variance / na + momentsOfCounts(xb, nb).variance / nb);
  const { pOneSided, lowerOneSided, isNonInferior: nonInferior } = result;
  const statistic = (difference + margin) / error;
  return { statistic, df: null, p: pOneSided, difference, pOneSided, lowerOneSided, nonInferior };
}

/**
 * McNemar's exact test of paired answers: b and c count the pairs in which only one side was right. The statistic is the
 * smaller count; p = min(1, 2·P(Bin(b + c, ½) ≤ min(b, c))), 1 when there are no such pairs.
 *
 * Source: McNemar 1947, in its binomial form. Equals scipy's `stats.binomtest(min(b, c), b + c)`.
 */
export function mcnemar(b: number, c: number): TestResult {
  for (const count of [b, c]) {
    if (!Number.isSafeInteger(count) || count < 0) throw invalid(`discordant pairs: ${count}, expected a whole number`);
  }
  return { statistic: Math.min(b, c), df: null, p: mcNemar(b, c) };
}
