/**
 * Where a canary stands, as plain JSON: it outlives the control process.
 *
 *            ┌──────── advance ───────┐
 *   running ─┴▶ running … ─ promote ─▶ promoted
 *     │ ▲ hold, resume
 *     ▼ │
 *    held ──────────── rollback ─────▶ rolled_back      (also from running)
 *
 * Must not know when it changes.
 */
import { z } from 'zod';
import type { CanaryPolicy } from './policy.js';

const moments = z.strictObject({
  mean: z.number(),
  variance: z.number().min(0),
  n: z.number().min(0),
  observations: z.number().min(0),
});

const latency = z.strictObject({ boundsMs: z.array(z.number()).max(1000), counts: z.array(z.number()).max(1001) });

/** The champion as it was last seen: what the last step, in which it has no keys, is compared with. */
const baseline = z.strictObject({
  metrics: z.record(z.string(), moments),
  traffic: z.strictObject({ requests: z.number(), faults: z.number(), latency }),
  predictions: z.array(z.number()).max(10_000),
});

export const canaryState = z.strictObject({
  status: z.enum(['running', 'held', 'rolled_back', 'promoted']),
  /** Why it is held or ended; empty while it runs. */
  reason: z.string().max(1000),
  /** Index into the policy's steps. */
  step: z.number().int().min(0),
  /** Counts of one phase are never mixed with those of another. */
  phase: z.number().int().min(1),
  startedAtMs: z.number(),
  stepStartedAtMs: z.number(),
  /** Above it a request is slow: frozen, so that both arms and all steps mean the same. Null = no latency was known. */
  slowMs: z.number().positive().nullable(),
  /** Intervals in a row over a hard limit. */
  breaches: z.number().int().min(0),
  /** Running minima over the looks at this phase. */
  ratioP: z.number().min(0).max(1),
  metricP: z.record(z.string(), z.number().min(0).max(1)),
  baseline: baseline.nullable(),
});

export type CanaryState = z.infer<typeof canaryState>;
export type Baseline = z.infer<typeof baseline>;

export interface CanaryStart {
  readonly nowMs: number;
  /** The champion's p95 of the last hour, rounded up to a bound of the histogram. */
  readonly slowMs: number | null;
  /** Later than every phase of this model so far. */
  readonly phase: number;
  /** For a canary that begins without champion traffic. */
  readonly baseline?: Baseline | null;
}

export function startedCanary({ nowMs, slowMs, phase, baseline: known = null }: CanaryStart): CanaryState {
  return {
    ...freshPhase(phase, nowMs),
    status: 'running',
    reason: '',
    step: 0,
    startedAtMs: nowMs,
    slowMs,
    baseline: known,
  };
}

/** What begins anew with each phase. */
export function freshPhase(phase: number, nowMs: number) {
  return { phase, stepStartedAtMs: nowMs, breaches: 0, ratioP: 1, metricP: {} };
}

/** The same step again, counted from nothing: after a hold, and after a restart that lost the counts. */
export function resumed(state: CanaryState, nowMs: number): CanaryState {
  if (state.status !== 'running' && state.status !== 'held') return state;
  return { ...state, ...freshPhase(state.phase + 1, nowMs), status: 'running', reason: '' };
}

/** The candidate's percentage now. */
export function percentOf(state: CanaryState, { steps }: CanaryPolicy): number {
  if (state.status === 'rolled_back') return 0;
  return state.status === 'promoted' ? 100 : (steps[state.step] ?? 0);
}
