/**
 * What a canary is judged by: the two arms of its present phase, each with the estimate of its version.
 *
 * Must not know what is decided by it.
 */
import { versionOf } from '../config/route-table.js';
import type { Config } from '../config/schema.js';
import type { Route } from '../core/route.js';
import type { CanaryArm } from '../monitor/canary.js';
import type { ArmsSeen } from './arms-seen.js';
import type { CanaryRun } from './canary-run.js';
import { type EstimateOf, estimatedArm } from './estimated-arm.js';

export interface Evidence {
  readonly champion: CanaryArm;
  readonly candidate: CanaryArm;
}

export interface EvidenceSources {
  /** Of the model, as written. */
  readonly route: Config['routes'][string];
  /** What the sources and the registry say of models. */
  readonly known: Readonly<Record<string, Route>>;
  readonly seen: ArmsSeen;
  readonly estimateOf: EstimateOf;
}

/** The next interval begins here. @returns undefined while an arm has not been seen */
export function evidenceOf(
  model: string,
  { candidate, state }: CanaryRun,
  { route, known, seen, estimateOf }: EvidenceSources,
): Evidence | undefined {
  const { canary, default: name, variants } = route;
  const arms = seen.phases.get(model)?.counts.look();
  const championArm = arms?.find(({ variant }) => variant === name);
  const candidateArm = arms?.find(({ variant }) => variant === canary!.variant);
  if (championArm === undefined || candidateArm === undefined) return undefined;
  const target = variants[name!]!;
  const version = versionOf(model, target, known);
  const champion = version === undefined ? undefined : { model: target.model ?? model, version };
  const since = state.stepStartedAtMs;
  return {
    champion: estimatedArm(championArm, champion && estimateOf(champion, since)),
    candidate: estimatedArm(candidateArm, estimateOf(candidate, since)),
  };
}
