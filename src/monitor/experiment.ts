/**
 * The read-out of an experiment: who was shown what, per variant its counts and rates, and the comparisons with the control.
 *
 * While the arms do not have the sizes that were promised, nothing but that is said.
 *
 * Must not know routes, or where the counts come from.
 */
import { credibleInterval, posteriorOf } from './bayes.js';
import { type ComparisonReadOut, comparisonOf } from './comparison.js';
import {
  type ExperimentArm,
  type ExperimentMemory,
  type ExperimentMetric,
  type ExperimentPlan,
  predictionMetric,
  questionOf,
} from './experiment-plan.js';
import { noMoments } from './moments.js';
import { type Interval, plainShareOf, wilsonInterval } from './proportion.js';
import { isRatioMismatch, type RatioLook, sampleRatio } from './srm.js';

export interface VariantReadOut {
  readonly variant: string;
  readonly version: string;
  readonly weight: number;
  readonly requests: number;
  readonly keys: number;
  readonly metrics: readonly {
    readonly metric: string;
    readonly mean: number | null;
    readonly n: number;
    readonly observations: number;
    /** Wilson, of a share whose every key has one observation. */
    readonly wilson: Interval | null;
    readonly credible: Interval | null;
  }[];
}

/** Who was shown what: the first thing to look at, and shown even when the sizes are wrong. */
export interface ExposureReadOut {
  readonly variant: string;
  readonly weight: number;
  readonly keys: number;
  /** Of all keys; null without any. */
  readonly share: number | null;
  /** As the weights promise it. */
  readonly expected_share: number | null;
}

export interface ExperimentReadOut {
  readonly experiment: string;
  readonly phase: number;
  readonly exposure: readonly ExposureReadOut[];
  readonly srm: {
    readonly chi2: number | null;
    readonly df: number;
    readonly p: number;
    readonly p_seq: number;
    readonly is_mismatch: boolean;
    readonly keys: Readonly<Record<string, number>>;
  };
  /** Empty while the sample ratio is wrong. */
  readonly variants: readonly VariantReadOut[];
  readonly comparisons: readonly ComparisonReadOut[];
  readonly keys_over_cap: number;
}

export interface ExperimentLook {
  readonly plan: ExperimentPlan;
  readonly arms: readonly ExperimentArm[];
  readonly memory: ExperimentMemory;
  readonly keysOverCap: number;
}

/** One look: what is to be shown, and what the next look must remember. */
export function readOut(look: ExperimentLook): {
  readonly readOut: ExperimentReadOut;
  readonly memory: ExperimentMemory;
} {
  const { plan, arms, memory, keysOverCap } = look;
  const ratio = sampleRatio(arms, memory.ratioP);
  const isWithheld = isRatioMismatch(ratio);
  const control = arms.find(({ variant }) => variant === plan.control);
  const comparisons =
    control === undefined
      ? []
      : arms
          .filter((arm) => arm !== control)
          .flatMap((arm) => plan.metrics.map((metric) => comparisonOf({ plan, metric, control, arm, memory })));
  const shown: ExperimentReadOut = {
    experiment: plan.name,
    phase: memory.phase,
    exposure: exposureOf(arms),
    srm: srmOf(ratio, arms),
    variants: isWithheld ? [] : arms.map((arm) => variantOf(arm, plan.metrics)),
    comparisons: isWithheld ? [] : comparisons,
    keys_over_cap: keysOverCap,
  };
  const p = Object.fromEntries(
    comparisons.map((one) => [questionOf(plan, one.variant, one.metric), one.p_always_valid]),
  );
  return { readOut: shown, memory: { phase: memory.phase, ratioP: ratio.pSequential, p } };
}

function exposureOf(arms: readonly ExperimentArm[]): ExposureReadOut[] {
  const keys = arms.reduce((sum, arm) => sum + arm.keys, 0);
  const weights = arms.reduce((sum, arm) => sum + arm.weight, 0);
  return arms.map((arm) => ({
    variant: arm.variant,
    weight: arm.weight,
    keys: arm.keys,
    share: keys === 0 ? null : arm.keys / keys,
    expected_share: weights === 0 ? null : arm.weight / weights,
  }));
}

function srmOf(ratio: RatioLook, arms: readonly ExperimentArm[]): ExperimentReadOut['srm'] {
  return {
    chi2: ratio.chi2,
    df: ratio.df,
    p: ratio.p,
    p_seq: ratio.pSequential,
    is_mismatch: isRatioMismatch(ratio),
    keys: Object.fromEntries(arms.map(({ variant, keys }) => [variant, keys])),
  };
}

function variantOf(arm: ExperimentArm, metrics: readonly ExperimentMetric[]): VariantReadOut {
  const { variant, version, weight, requests, keys } = arm;
  const measured = metrics.filter(({ metric }) => metric !== predictionMetric);
  const shown = measured.map(({ metric, isShare }) => {
    const moments = arm.metrics[metric] ?? noMoments;
    const share = isShare ? plainShareOf(moments) : null;
    return {
      metric,
      mean: moments.n === 0 ? null : moments.mean,
      n: moments.n,
      observations: moments.observations,
      wilson: share === null ? null : wilsonInterval(share, 0.05),
      credible: share === null ? null : credibleInterval(posteriorOf(share)),
    };
  });
  return { variant, version, weight, requests, keys, metrics: shown };
}
