/**
 * What may be told to the world outside, as a closed list, and what a retraining policy is made of.
 *
 * The configuration checks these words, the outbox sends them and the roots raise them, so they stand on the floor.
 *
 * Must not know who raises, decides or sends.
 */

export const triggerTypes = [
  'io.sluice.drift.detected',
  'io.sluice.drift.resolved',
  'io.sluice.quality.degraded',
  'io.sluice.quality.recovered',
  'io.sluice.data_quality.detected',
  'io.sluice.retrain.requested',
  'io.sluice.canary.advanced',
  'io.sluice.canary.held',
  'io.sluice.canary.rolled_back',
  'io.sluice.canary.promoted',
  'io.sluice.experiment.srm',
  'io.sluice.model.promoted',
  'io.sluice.model.quarantined',
  'io.sluice.model.rolled_back',
  'io.sluice.registry.stale',
  'io.sluice.governance.break_glass',
] as const;

export type TriggerType = (typeof triggerTypes)[number];

/** `>=0.3`. */
export type Comparison = string;

export const comparison = /^(>=|<=|>|<)\s*([0-9]{1,12}(?:\.[0-9]{1,12})?)$/;

/** When to ask for a new training. `any` and `all` nest. */
export type RetrainCondition =
  | { readonly any: readonly RetrainCondition[] }
  | { readonly all: readonly RetrainCondition[] }
  | RetrainSign;

/** One thing that speaks for it. */
export type RetrainSign =
  | { readonly drift_share: Comparison }
  | { readonly quality: 'degraded' }
  | { readonly cbpe: 'alert' }
  | { readonly labels_since_training: Comparison }
  /** Five fields, UTC. */
  | { readonly cron: string };

/** What is known of a model now. What is left out has not been looked at this time. */
export interface RetrainSignals {
  /** Weight of the features that drift, from 0 to 1. */
  readonly driftShare?: number;
  readonly quality?: 'ok' | 'degraded';
  readonly cbpe?: 'ok' | 'alert';
  readonly labelsSinceTraining?: number;
}
