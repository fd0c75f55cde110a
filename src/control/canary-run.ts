/**
 * PART OF THE ROOT: one canary as it is kept and shown, and what it makes of its route.
 *
 * Must not know when it changes.
 */
import { z } from 'zod';
import { configHash } from '../audit/config-hash.js';
import { experimentNameOf } from '../config/route-agreement.js';
import { versionOf } from '../config/route-table.js';
import type { VersionId } from '../core/model.js';
import type { Route } from '../core/route.js';
import { type CanaryState, canaryState, freshPhase, percentOf, resumed } from '../monitor/canary-state.js';
import { type CanaryPolicy, canaryPolicyOf, readOutRules } from '../monitor/policy.js';
import type { ConfiguredRoute } from './route-changes.js';

const run = z.object({
  /** Who is compared with whom, in which steps: when this changes, another canary begins. */
  section: z.string(),
  candidate: z.object({ model: z.string(), version: z.string() }),
  /** It has ended and weights were set by hand since: it has no say in them any more. */
  isReleased: z.boolean(),
  state: canaryState,
});

export const canaryRuns = z.record(z.string(), run);

export interface CanaryRun {
  readonly section: string;
  readonly candidate: VersionId;
  readonly isReleased: boolean;
  readonly state: CanaryState;
}

/** What the route wants of a canary; undefined when it has none. */
export interface WantedCanary {
  readonly section: string;
  /** Undefined while there is no such version. */
  readonly candidate: VersionId | undefined;
}

export function wantedCanary(
  model: string,
  route: ConfiguredRoute,
  routes: Readonly<Record<string, Route>>,
): WantedCanary | undefined {
  const { canary, default: champion } = route;
  if (canary === undefined || champion === undefined) return undefined;
  const target = route.variants[canary.variant]!;
  const version = versionOf(model, target, routes);
  const candidate = version === undefined ? undefined : { model: target.model ?? model, version };
  const { variant, steps } = canary;
  const name = experimentNameOf(model, route);
  return { section: configHash([name, route.salt ?? '', champion, variant, steps, candidate ?? null]), candidate };
}

export function policyOf({ canary }: Pick<ConfiguredRoute, 'canary'>): CanaryPolicy | undefined {
  return canary === undefined ? undefined : canaryPolicyOf(canary);
}

/** By what the experiment of a route is read. */
export function rulesOf(route: ConfiguredRoute | undefined): ReturnType<typeof readOutRules> {
  return readOutRules(route && policyOf(route), route?.readout);
}

export function isUnderWay({ state }: CanaryRun): boolean {
  return state.status === 'running' || state.status === 'held';
}

/** The route with the weights that its canary gives it; before it has begun the candidate gets nothing. */
export function withCanary(route: ConfiguredRoute, canaryRun: CanaryRun | undefined): ConfiguredRoute {
  const policy = policyOf(route);
  if (policy === undefined || canaryRun?.isReleased === true) return route;
  const percent = canaryRun === undefined ? 0 : percentOf(canaryRun.state, policy);
  const [champion, candidate] = [route.default!, route.canary!.variant];
  const weighted = (variant: string, weight: number) => ({ [variant]: { ...route.variants[variant]!, weight } });
  const variants = { ...route.variants, ...weighted(champion, 100 - percent), ...weighted(candidate, percent) };
  // A promoted candidate answers those, too, who take no part.
  return { ...route, variants, default: canaryRun?.state.status === 'promoted' ? candidate : champion };
}

/** After a restart the counts are gone: the same step is counted anew, and who was held stays so. */
export function restarted(before: CanaryRun, nowMs: number): CanaryRun {
  const { state } = before;
  if (state.status === 'running') return { ...before, state: resumed(state, nowMs) };
  if (state.status !== 'held') return before;
  return { ...before, state: { ...state, ...freshPhase(state.phase + 1, nowMs) } };
}
