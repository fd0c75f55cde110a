/**
 * An arm together with the estimate of how right its version is, as one more of its metrics.
 *
 * Must not know how an estimate is made.
 */
import type { VersionId } from '../core/model.js';
import type { Moments } from '../monitor/moments.js';

/** How right a version probably is since then, without labels; undefined while nobody can tell. */
export type EstimateOf = (id: VersionId, sinceMs: number) => Moments | undefined;

interface Arm {
  readonly metrics: Readonly<Record<string, Moments>>;
}

export function estimatedArm<Known extends Arm>(arm: Known, estimate: Moments | undefined): Known {
  return estimate === undefined ? arm : { ...arm, metrics: { ...arm.metrics, cbpe_accuracy: estimate } };
}
