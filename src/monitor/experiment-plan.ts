/**
 * What an experiment is read out by: its plan, the counts of its arms, and what one look leaves for the next.
 *
 * Must not know what is made of them.
 */
import type { Direction } from './always-valid.js';
import type { Moments } from './moments.js';

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

/** Running minima over the looks at a phase. */
export interface ExperimentMemory {
  readonly phase: number;
  readonly ratioP: number;
  /** By what was asked. */
  readonly p: Readonly<Record<string, number>>;
}

/** The minimum under another α, by another method or against another control is that of another question. */
export function questionOf({ control, alpha, method, tau2 }: ExperimentPlan, variant: string, metric: string): string {
  return `${variant}:${metric}:${control}:${method}:${tau2 ?? alpha}`;
}

export function freshMemory(phase: number): ExperimentMemory {
  return { phase, ratioP: 1, p: {} };
}
