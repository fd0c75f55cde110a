/**
 * One variant of an experiment against the control, by one metric: difference, interval, p and verdict.
 *
 * p-values made for a single look are shown only when the planned number of units is reached; what decides is valid at every
 * look.
 *
 * Must not know routes, or which comparisons may be shown.
 */
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
import { chanceAbove, type ExpectedLoss, expectedLoss, posteriorOf } from './bayes.js';
import {
  type ExperimentArm,
  type ExperimentMemory,
  type ExperimentMetric,
  type ExperimentPlan,
  predictionMetric,
  questionOf,
} from './experiment-plan.js';
import { welch } from './mean.js';
import { type Moments, noMoments } from './moments.js';
import { driftVerdict, predictionDrift, usedBins } from './prediction-drift.js';
import { type Interval, newcombeInterval, plainShareOf, pooledZ, type Share } from './proportion.js';

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

interface Compared {
  readonly plan: ExperimentPlan;
  readonly metric: ExperimentMetric;
  readonly control: ExperimentArm;
  readonly arm: ExperimentArm;
  readonly memory: ExperimentMemory;
}

export function comparisonOf(compared: Compared): ComparisonReadOut {
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
  const [shareA, shareB] = metric.isShare ? [plainShareOf(a), plainShareOf(b)] : [null, null];
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
    p_always_valid: Math.min(memory.p[questionOf(plan, arm.variant, metric.metric)] ?? 1, p),
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
