/**
 * Tests and intervals that stay right however often one looks (monitoring §5.2, §7). `a` is the control, `b` the treatment,
 * every difference is b − a.
 *
 * A p here is that of one look; what counts is the running minimum over the looks of a phase, which the caller keeps.
 *
 * Must not know what is measured, how keys are assigned, or what follows.
 */
import { invalid } from '../../core/errors.js';
import { alwaysValid, mixtureTest, tunedFor } from '../always-valid.js';
import type { Moments } from '../moments.js';
import { sampleRatio } from '../srm.js';
import { type ArmMoments, checkedAlpha, checkedMoments, type Difference } from './arms.js';
import { insufficient, type TestResult } from './result.js';

export interface SampleRatio extends TestResult {
  readonly logBayesFactor: number | null;
  readonly pSequential: number | null;
}

/**
 * Sample ratio mismatch: whether arms have the sizes that their weights promise. `statistic`, `df`, `p` are Pearson's χ² of
 * fit, for a single look; `logBayesFactor` (nats) and `pSequential` are of a Dirichlet mixture with 10,000 pseudo-keys, for
 * any number of looks. Only ratios of weights matter.
 *
 * A key on a variant of weight 0 is a mismatch at once: p and pSequential 0, no statistic. One weight above 0: p 1.
 *
 * @param observed distinct keys by variant, in the order of `weights`
 * @param before the smallest pSequential of earlier looks
 *
 * Source: Lindon, Malek 2022 (Anytime-valid inference for multinomial count data). χ² equals scipy's `stats.chisquare`.
 */
export function srm(observed: readonly number[], weights: readonly number[], before = 1): SampleRatio {
  if (observed.length !== weights.length) {
    throw invalid(`sample ratio: ${observed.length} arms observed, ${weights.length} weights`);
  }
  for (const value of [...observed, ...weights]) {
    if (!(value >= 0 && value < Infinity)) throw invalid(`sample ratio: got ${value}, expected 0 or more`);
  }
  if (observed.every((keys) => keys === 0)) return { ...insufficient, logBayesFactor: null, pSequential: null };
  const arms = weights.map((weight, index) => ({ weight, keys: observed[index]! }));
  const { chi2, df, p, logBayesFactor, pSequential } = sampleRatio(arms, before);
  return { statistic: df === 0 && p === 1 ? 0 : chi2, df, p, logBayesFactor, pSequential };
}

export interface AlwaysValid extends Difference {
  readonly p: number;
}

export interface SequenceOptions {
  readonly alpha?: number;
  /** Units of both arms together at which the interval is tightest. */
  readonly plannedN?: number;
}

/**
 * Asymptotic confidence sequence of a difference of means: an interval that holds at 1 − α over all looks together, and the
 * p that goes with it. The interval excludes 0 exactly when p < α. Nothing varies, or an arm has fewer than two units: no
 * interval, p 1. The formula stands at `alwaysValid`.
 *
 * Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024 (Time-uniform central limit theory).
 */
export function confidenceSequence(a: ArmMoments, b: ArmMoments, options: SequenceOptions = {}): AlwaysValid {
  const { alpha = 0.05, plannedN = tunedFor } = options;
  if (!(plannedN > 0 && plannedN < Infinity)) throw invalid(`planned n is ${plannedN}: expected more than 0`);
  const [left, right] = [momentsOf(a), momentsOf(b)];
  const { difference, interval, p } = alwaysValid(left, right, checkedAlpha(alpha), plannedN);
  return { difference: isEmpty(a, b) ? null : difference, low: interval?.low ?? null, high: interval?.high ?? null, p };
}

/**
 * Mixture sequential probability ratio test, its mixture normal with variance τ² (in squared units of the means): p =
 * min(1, exp(−ln Λ)), ln Λ = ½ln(V/(V + τ²)) + τ²d²/(2V(V + τ²)), V = v_a/n_a + v_b/n_b. It gives no interval. p 1 when
 * nothing varies or an arm has fewer than two units.
 *
 * Source: Johari, Koomen, Pekelis, Walsh 2022 (Always valid inference).
 */
export function msprt(a: ArmMoments, b: ArmMoments, tau2: number): { difference: number | null; p: number } {
  if (!(tau2 > 0 && tau2 < Infinity)) throw invalid(`tau2 is ${tau2}: expected more than 0`);
  const { difference, p } = mixtureTest(momentsOf(a), momentsOf(b), tau2);
  return { difference: isEmpty(a, b) ? null : difference, p };
}

/** Each unit is one observation. */
function momentsOf(arm: ArmMoments): Moments {
  checkedMoments(arm);
  return { ...arm, observations: arm.n };
}

function isEmpty(a: ArmMoments, b: ArmMoments): boolean {
  return a.n === 0 || b.n === 0;
}
