/**
 * PART OF THE ROOT: routes and canaries as the JSON of the control port.
 *
 * Must not know how they are changed.
 */
import { GatewayError } from '../core/errors.js';
import type { CanaryNumbers } from '../monitor/canary.js';
import { percentOf } from '../monitor/canary-state.js';
import type { ArmsSeen } from './arms-seen.js';
import type { CanaryBook } from './canary-book.js';
import { policyOf } from './canary-run.js';
import type { Change, ConfiguredRoute, RouteChanges } from './route-changes.js';
import type { RouteStages } from './route-stages.js';
import type { Routes } from './routes.js';

export interface CanaryDocument {
  readonly model: string;
  readonly variant: string;
  /** `model@version`; empty while there is none. */
  readonly candidate: string;
  readonly status: 'waiting' | 'running' | 'held' | 'rolled_back' | 'promoted';
  readonly reason: string;
  /** Of the steps, from 1; 0 = it gets nothing. */
  readonly place: number;
  readonly steps: readonly number[];
  readonly percent: number;
  readonly phase: number | null;
  readonly started_at: string | null;
  readonly step_started_at: string | null;
  readonly slow_ms: number | null;
  /** False once weights were set by hand after its end. */
  readonly has_weights: boolean;
  readonly last_look: {
    readonly at: string;
    readonly action: string;
    readonly reasons: readonly string[];
    readonly numbers: CanaryNumbers;
  } | null;
}

export interface RouteDocument {
  readonly model: string;
  readonly experiment: string | null;
  readonly phase: number;
  readonly default: string | null;
  readonly source: 'file' | 'changed';
  /** Number of the last change; 0 = none. */
  readonly change: number;
  readonly variants: readonly {
    readonly name: string;
    readonly model: string;
    readonly version: string;
    readonly weight: number;
    readonly share: number;
    /** Why it does not get its share; empty = nothing keeps it from that. */
    readonly waits: string;
  }[];
  readonly shadows: readonly string[];
  readonly canary: Pick<CanaryDocument, 'status' | 'place' | 'percent'> | null;
}

export interface ChangeDocument {
  readonly number: number;
  readonly at: string;
  readonly actor: string;
  readonly reason: string;
  /** Null = as the file says. */
  readonly weights: Readonly<Record<string, number>> | null;
}

/** One route as a whole; only the history of one that is gone. */
export type WholeRouteDocument = (RouteDocument | { readonly model: string }) & {
  readonly route: unknown;
  /** The newest first. */
  readonly history: readonly ChangeDocument[];
};

export interface Shown {
  readonly changes: RouteChanges;
  readonly book: CanaryBook;
  readonly routes: Routes;
  readonly stages: RouteStages;
  readonly seen: ArmsSeen;
}

export function routeDocuments(shown: Shown): RouteDocument[] {
  return Object.keys(shown.changes.inForce()).map((model) => routeDocument(model, shown));
}

function routeDocument(model: string, shown: Shown): RouteDocument {
  const { routes, changes, stages, seen } = shown;
  const route = routes.weighted()[model]!;
  const experiment = seen.phases.get(model)?.experiment;
  const total = Object.values(route.variants).reduce((sum, { weight }) => sum + weight, 0);
  const variants = Object.entries(route.variants).map(([name, { weight, ...target }]) => {
    const version = experiment?.variants.find((one) => one.name === name)?.version || (target.version ?? '');
    const share = total === 0 ? 0 : weight / total;
    return { name, model: target.model ?? model, version, weight, share, waits: stages.waitOf(model, target) };
  });
  const canary = route.canary === undefined ? undefined : canaryDocument(model, shown);
  return {
    model,
    experiment: experiment?.name ?? null,
    phase: routes.phaseOf(model),
    default: route.default ?? null,
    source: changes.isChanged(model) ? 'changed' : 'file',
    change: changes.history(model).at(-1)?.number ?? 0,
    variants,
    shadows: route.shadows.map(({ name }) => name),
    canary: canary === undefined ? null : { status: canary.status, place: canary.place, percent: canary.percent },
  };
}

/** @throws NOT_FOUND */
export function wholeRouteDocument(model: string, shown: Shown): WholeRouteDocument {
  const { changes } = shown;
  const history = changes.history(model).map(changeDocument).toReversed();
  const inForce = changes.inForce();
  if (Object.hasOwn(inForce, model)) return { ...routeDocument(model, shown), route: inForce[model], history };
  if (history.length === 0) throw noRoute(model);
  return { model, route: null, history };
}

function changeDocument({ number, at, actor, reason, route }: Change): ChangeDocument {
  return { number, at, actor, reason, weights: weightsOf(route ?? undefined) };
}

export function weightsOf(route: ConfiguredRoute | undefined): Record<string, number> | null {
  if (route === undefined) return null;
  return Object.fromEntries(Object.entries(route.variants).map(([name, { weight }]) => [name, weight]));
}

export function noRoute(model: string): GatewayError {
  return new GatewayError('NOT_FOUND', `model '${model}' has no route`);
}

export function canaryDocuments(shown: Shown): CanaryDocument[] {
  const routes = Object.entries(shown.changes.inForce());
  return routes.flatMap(([model, { canary }]) => (canary === undefined ? [] : [canaryDocument(model, shown)]));
}

/** @throws NOT_FOUND */
export function canaryDocument(model: string, { changes, book }: Shown): CanaryDocument {
  const routes = changes.inForce();
  if (!Object.hasOwn(routes, model)) throw noRoute(model);
  const route = routes[model]!;
  const policy = policyOf(route);
  if (policy === undefined) throw new GatewayError('NOT_FOUND', `the route of '${model}' has no canary`);
  const run = book.runOf(model);
  const look = book.lookOf(model);
  const time = (ms: number | undefined) => (ms === undefined ? null : new Date(ms).toISOString());
  const { action, reasons, numbers, atMs } = look ?? {};
  const isShown = action !== undefined && reasons !== undefined && numbers !== undefined;
  return {
    model,
    variant: route.canary!.variant,
    candidate: run === undefined ? '' : `${run.candidate.model}@${run.candidate.version}`,
    status: run?.state.status ?? 'waiting',
    reason: run?.state.reason ?? (book.waitOf(model) || 'its version is not ready yet'),
    place: run === undefined || run.state.status === 'rolled_back' ? 0 : run.state.step + 1,
    steps: policy.steps,
    percent: run === undefined ? 0 : percentOf(run.state, policy),
    phase: run?.state.phase ?? null,
    started_at: time(run?.state.startedAtMs),
    step_started_at: time(run?.state.stepStartedAtMs),
    slow_ms: run?.state.slowMs ?? null,
    has_weights: run?.isReleased !== true,
    last_look: isShown ? { at: time(atMs)!, action, reasons, numbers } : null,
  };
}
