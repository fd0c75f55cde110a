/**
 * The read-out of an experiment: per variant its counts and rates, per comparison with the control its interval and p.
 *
 * While the arms do not have the sizes that were promised, nothing but that is said. p-values made for a single look are shown
 * only when the planned number of units is reached; what decides is valid at every look.
 *
 * Must not know routes, or where the counts come from.
 */
import { z } from 'zod';
import {
  alwaysValid,
  type Direction,
  type GuardrailVerdict,
  guardrailVerdict,
  mixtureTest,
  oriented,
  type SuccessVerdict,
  successVerdict,
} from './always-valid.js';
import { chanceAbove, credibleInterval, type ExpectedLoss, expectedLoss, posteriorOf } from './bayes.js';
import { welch } from './mean.js';
import { type Moments, noMoments } from './moments.js';
import { driftVerdict, predictionDrift, usedBins } from './prediction-drift.js';
import { type Interval, newcombeInterval, pooledZ, type Share, wilsonInterval } from './proportion.js';
import { isRatioMismatch, type RatioLook, sampleRatio } from './srm.js';

export interface ExperimentMetric {
  readonly metric: string;
  readonly better: Direction;
  /** A number from 0 to 1 for each observation. */
  readonly isShare: boolean;
  /** A guardrail has a margin, a success metric has none. */
  readonly margin: number | null;
}

/** The guardrail that compares what the arms answer, and no mean. */
export const predictionMetric = 'prediction_drift';

export interface ExperimentPlan {
  readonly name: string;
  /** The variant that the others are compared with. */
  readonly control: string;
  readonly metrics: readonly ExperimentMetric[];
  readonly alpha: number;
  readonly method: 'always_valid' | 'msprt';
  /** Variance of the mixture; only for `msprt`. */
  readonly tau2: number | null;
  /** Units per arm from which single-look p-values are shown; null = never. */
  readonly plannedN: number | null;
}

export interface ExperimentArm {
  readonly variant: string;
  readonly version: string;
  readonly weight: number;
  readonly requests: number;
  readonly keys: number;
  readonly metrics: Readonly<Record<string, Moments>>;
  /** By bin of the output; empty where they are not counted. */
  readonly predictions: readonly number[];
}

/** Running minima over the looks at a phase: plain JSON, which outlives the control process. */
export const experimentMemory = z.strictObject({
  phase: z.number().int().min(1),
  ratioP: z.number().min(0).max(1),
  /** By `variant:metric`. */
  p: z.record(z.string(), z.number().min(0).max(1)),
});

export type ExperimentMemory = z.infer<typeof experimentMemory>;

export function freshMemory(phase: number): ExperimentMemory {
  return { phase, ratioP: 1, p: {} };
}

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

export interface ComparisonReadOut {
  readonly variant: string;
  readonly metric: string;
  readonly better: Direction;
  /** By how much it may be worse; null of a success metric. */
  readonly margin: number | null;
  /** Units of each arm that were compared. */
  readonly control_n: number;
  readonly n: number;
  readonly control_mean: number | null;
  readonly mean: number | null;
  /** Treatment − control, in the metric's own sense; of `prediction_drift` how far their answers are apart. */
  readonly difference: number | null;
  readonly interval: Interval | null;
  /** The smallest of all looks at this phase. */
  readonly p_always_valid: number;
  readonly verdict: GuardrailVerdict | SuccessVerdict;
  readonly fixed: FixedReadOut | null;
  readonly bayes: BayesReadOut | null;
}

/** For one look at the planned size. */
export interface FixedReadOut {
  readonly p_two_sided: number | null;
  readonly interval: Interval | null;
  readonly test: 'two_proportions' | 'welch';
}

export interface BayesReadOut {
  readonly prob_b_gt_a: number | null;
  readonly expected_loss: ExpectedLoss | null;
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
  const p = Object.fromEntries(comparisons.map((one) => [`${one.variant}:${one.metric}`, one.p_always_valid]));
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
    const share = isShare ? shareOf(moments) : null;
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

/** Counts of a plain share. Where keys have several observations they are not independent, and no share is plain. */
function shareOf({ mean, n, observations }: Moments): Share | null {
  return n > 0 && n === observations ? { hits: Math.round(mean * n), n } : null;
}

interface Compared {
  readonly plan: ExperimentPlan;
  readonly metric: ExperimentMetric;
  readonly control: ExperimentArm;
  readonly arm: ExperimentArm;
  readonly memory: ExperimentMemory;
}

function comparisonOf(compared: Compared): ComparisonReadOut {
  return compared.metric.metric === predictionMetric ? compareAnswers(compared) : compareMeans(compared);
}

/** It has no mean, no interval and no margin of its own. */
function compareAnswers({ metric, control, arm }: Compared): ComparisonReadOut {
  const drift = predictionDrift(...usedBins(control.predictions, arm.predictions));
  return {
    variant: arm.variant,
    metric: metric.metric,
    better: metric.better,
    margin: null,
    control_n: drift?.championN ?? 0,
    n: drift?.candidateN ?? 0,
    control_mean: null,
    mean: null,
    difference: drift?.psiCorrected ?? null,
    interval: null,
    p_always_valid: 1,
    verdict: driftVerdict(drift),
    fixed: null,
    bayes: null,
  };
}

function compareMeans({ plan, metric, control, arm, memory }: Compared): ComparisonReadOut {
  const [a, b] = [control.metrics[metric.metric] ?? noMoments, arm.metrics[metric.metric] ?? noMoments];
  const sequential = alwaysValid(a, b, plan.alpha);
  const p = plan.method === 'msprt' && plan.tau2 !== null ? mixtureTest(a, b, plan.tau2).p : sequential.p;
  const turned = sequential.interval === null ? null : oriented(sequential.interval, metric.better);
  const isKnown = a.n > 0 && b.n > 0;
  const [shareA, shareB] = metric.isShare ? [shareOf(a), shareOf(b)] : [null, null];
  return {
    variant: arm.variant,
    metric: metric.metric,
    better: metric.better,
    margin: metric.margin,
    control_n: a.n,
    n: b.n,
    control_mean: a.n > 0 ? a.mean : null,
    mean: b.n > 0 ? b.mean : null,
    difference: isKnown ? sequential.difference : null,
    interval: sequential.interval,
    p_always_valid: Math.min(memory.p[`${arm.variant}:${metric.metric}`] ?? 1, p),
    verdict: metric.margin === null ? successVerdict(turned) : guardrailVerdict(turned, metric.margin),
    fixed:
      plan.plannedN !== null && Math.min(a.n, b.n) >= plan.plannedN ? fixedOf(a, b, shareA, shareB, plan.alpha) : null,
    bayes: shareA === null || shareB === null ? null : bayesOf(shareA, shareB),
  };
}

function fixedOf(a: Moments, b: Moments, shareA: Share | null, shareB: Share | null, alpha: number): FixedReadOut {
  if (shareA !== null && shareB !== null) {
    const p = pooledZ(shareA, shareB)?.pTwoSided ?? null;
    return { test: 'two_proportions', p_two_sided: p, interval: newcombeInterval(shareA, shareB, alpha) };
  }
  const result = welch(a, b, alpha);
  return { test: 'welch', p_two_sided: result?.pTwoSided ?? null, interval: result?.interval ?? null };
}

function bayesOf(a: Share, b: Share): BayesReadOut {
  const [posteriorA, posteriorB] = [posteriorOf(a), posteriorOf(b)];
  return { prob_b_gt_a: chanceAbove(posteriorA, posteriorB), expected_loss: expectedLoss(posteriorA, posteriorB) };
}
