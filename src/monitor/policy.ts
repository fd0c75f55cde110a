/**
 * What a canary is told: its steps, its patience, and what must not get worse; and by what an experiment is read.
 *
 * Must not know how what is written came to be checked.
 */
import type { Direction } from './always-valid.js';
import type { ExperimentPlan } from './experiment-plan.js';

export interface Guardrail {
  /** `error_rate`, `slow_share`, `prediction_drift`, `cbpe_accuracy`, or the name of a metric of labels. */
  readonly metric: string;
  /** How much worse is still no failure, in the metric's own unit; of a share, in points. */
  readonly margin: number;
  /** Only for metrics that are not known by name. */
  readonly better?: Direction | undefined;
}

export interface CanaryPolicy {
  /** The candidate's share in percent, ascending. */
  readonly steps: readonly number[];
  readonly minDurationS: number;
  readonly maxDurationS: number;
  readonly minKeysPerArm: number;
  /** Requests for each arm. */
  readonly minSamples: number;
  readonly minLabelsPerArm: number;
  readonly intervalS: number;
  readonly alpha: number;
  /** In place of twice the champion's p99. */
  readonly p99HardMs: number | null;
  readonly guardrails: readonly Guardrail[];
}

export const defaultCanaryPolicy: CanaryPolicy = {
  steps: [1, 5, 25, 50, 100],
  minDurationS: 600,
  maxDurationS: 7200,
  minKeysPerArm: 200,
  minSamples: 0,
  minLabelsPerArm: 200,
  intervalS: 60,
  alpha: 0.05,
  p99HardMs: null,
  guardrails: [
    { metric: 'error_rate', margin: 0.005 },
    { metric: 'slow_share', margin: 0.02 },
  ],
};

/** A canary as it is written, checked and with its defaults; times in milliseconds. */
export interface WrittenCanary {
  readonly steps: readonly number[];
  readonly min_duration: number;
  readonly max_duration: number;
  readonly interval: number;
  /** Keys for each arm. */
  readonly min_samples: number;
  readonly min_labels: number;
  /** 0 = twice the champion's p99. */
  readonly p99_hard_ms: number;
  /** Empty = errors and slow requests: a canary without any would be promoted unseen. */
  readonly guardrails: readonly { readonly metric: string; readonly margin: number }[];
}

export function canaryPolicyOf(written: WrittenCanary): CanaryPolicy {
  return {
    ...defaultCanaryPolicy,
    steps: written.steps,
    minDurationS: written.min_duration / 1000,
    maxDurationS: written.max_duration / 1000,
    intervalS: written.interval / 1000,
    minKeysPerArm: written.min_samples,
    minLabelsPerArm: written.min_labels,
    p99HardMs: written.p99_hard_ms === 0 ? null : written.p99_hard_ms,
    guardrails: guardrailsOf(written),
  };
}

function guardrailsOf({ guardrails }: Pick<WrittenCanary, 'guardrails'>): readonly Guardrail[] {
  if (guardrails.length === 0) return defaultCanaryPolicy.guardrails;
  // A percentile is judged as the share of requests above the one that the champion had at the start.
  return guardrails.map(({ metric, margin }) => ({ metric: metric === 'p95_latency' ? 'slow_share' : metric, margin }));
}

/** By what an experiment is read. */
interface ReadOutRules extends Pick<ExperimentPlan, 'alpha' | 'method' | 'tau2' | 'plannedN'> {
  readonly guardrails: readonly Guardrail[];
}

/** The same as it is written. */
interface WrittenReadOut extends Pick<WrittenCanary, 'guardrails'> {
  readonly alpha: number;
  readonly method: ExperimentPlan['method'];
  readonly tau2?: number | undefined;
  readonly planned_n?: number | undefined;
}

/** @param policy of an experiment that is a canary */
export function readOutRules(policy: CanaryPolicy | undefined, written: WrittenReadOut | undefined): ReadOutRules {
  const { alpha, guardrails } = policy ?? defaultCanaryPolicy;
  if (written === undefined) return { alpha, guardrails, method: 'always_valid', tau2: null, plannedN: null };
  return {
    alpha: written.alpha,
    method: written.method,
    tau2: written.tau2 ?? null,
    plannedN: written.planned_n ?? null,
    guardrails: guardrailsOf(written),
  };
}

export interface MetricFacts {
  readonly better: Direction;
  /** A number from 0 to 1 for each observation. */
  readonly isShare: boolean;
  readonly needsLabels: boolean;
}

const known: Readonly<Record<string, MetricFacts>> = {
  error_rate: { better: 'lower', isShare: true, needsLabels: false },
  slow_share: { better: 'lower', isShare: true, needsLabels: false },
  cbpe_accuracy: { better: 'higher', isShare: false, needsLabels: false },
  accuracy: { better: 'higher', isShare: true, needsLabels: true },
};

/** What is not known by name comes with labels. */
export function metricFacts({ metric, better }: Pick<Guardrail, 'metric' | 'better'>): MetricFacts {
  const facts = Object.hasOwn(known, metric) ? known[metric] : undefined;
  return facts ?? { better: better ?? 'higher', isShare: false, needsLabels: true };
}
