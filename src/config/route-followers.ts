/**
 * What follows a split: shadows, which see a copy of the requests, a canary, which moves the weights by what it measures, and
 * by which rules an experiment that is no canary is read.
 *
 * Must not know how either works.
 */
import { z } from 'zod';
import {
  alias,
  duration,
  expecting,
  integer,
  list,
  modelName,
  number,
  safeName,
  variantName,
  version,
} from './route-words.js';

const compare = z.strictObject({
  outputs: list(z.string(expecting('the name of an output')).min(1).max(256), 64, 'outputs').optional(),
  /** The commonest case: one output. */
  output: z.string(expecting('the name of an output')).min(1).max(256).optional(),
  rule: z.enum(['argmax', 'label', 'match'], expecting('one of argmax, label, match')).default('match'),
  probabilities: z.boolean(expecting('true or false')).default(false),
  absolute: number(0, 1e9, 'a tolerance').default(1e-6),
  relative: number(0, 1, 'a tolerance').default(1e-4),
  top_k: integer(1, 1000, 'a count').default(5),
});

export const shadow = z
  .strictObject({
    name: safeName,
    version: version.optional(),
    alias: alias.optional(),
    model: modelName.optional(),
    percent: number(0, 100, 'a percentage').default(100),
    sample_salt: safeName.optional(),
    when: z.enum(['after', 'parallel'], expecting('after or parallel')).default('after'),
    max_concurrency: integer(1, 1024, 'a count').default(32),
    max_queue_size: integer(0, 100_000, 'a count').default(64),
    timeout: duration(1).optional(),
    /** The p99 of the event loop's recent delays beyond which copies are not run. */
    max_loop_lag: duration(1).default(20),
    compare: compare.default(compare.parse({})),
  })
  .refine(isTarget, expecting('version, alias or model, and not both version and alias'));

/** What requests may be sent to. */
export function isTarget(given: { version?: unknown; alias?: unknown; model?: unknown }): boolean {
  if (given.version !== undefined && given.alias !== undefined) return false;
  return given.version !== undefined || given.alias !== undefined || given.model !== undefined;
}

const metrics = ['error_rate', 'p95_latency', 'accuracy', 'cbpe_accuracy', 'prediction_drift'] as const;

const guardrail = z.strictObject({
  metric: z.enum(metrics, expecting(`one of ${metrics.join(', ')}`)),
  margin: number(0, 1, 'a margin').default(0.02),
});

const isAscending = (steps: readonly number[]) => steps.every((step, at) => at === 0 || step > steps[at - 1]!);

export const canary = z.strictObject({
  variant: variantName,
  steps: list(number(0.01, 100, 'a percentage'), 32, 'steps')
    .refine((steps) => steps.length > 0 && isAscending(steps), expecting('percentages that rise, such as [1, 5, 25]'))
    .default([1, 5, 25, 50, 100]),
  min_duration: duration(0).default(600_000),
  max_duration: duration(1000).default(7_200_000),
  interval: duration(100).default(60_000),
  min_samples: integer(1, 1e9, 'a count').default(200),
  min_labels: integer(0, 1e9, 'a count').default(200),
  /** 0 = twice the champion's of the same interval. */
  p99_hard_ms: number(0, 3_600_000, 'milliseconds').default(0),
  guardrails: list(guardrail, 16, 'guardrails').default([]),
});

/** Of what a canary measures its own part says more. */
export const readout = z
  .strictObject({
    alpha: number(1e-6, 0.5, 'a share of wrong conclusions').default(0.05),
    method: z.enum(['always_valid', 'msprt'], expecting('always_valid or msprt')).default('always_valid'),
    /** Variance of the mixture of `msprt`. */
    tau2: number(1e-12, 1e12, 'a variance').optional(),
    /** Keys of each arm from which p-values that are made for one look are shown. */
    planned_n: integer(2, 1e9, 'a count').optional(),
    guardrails: list(guardrail, 16, 'guardrails').default([]),
  })
  .refine(({ method, tau2 }) => (method === 'msprt') === (tau2 !== undefined), {
    path: ['tau2'],
    message: 'expected a variance with method msprt, and none without',
  });
