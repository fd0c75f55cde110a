/**
 * PART OF THE ROOT: what an operator asks of routes, canaries and experiments: judged, written down, made so, and shown.
 *
 * A change is checked whole before anything is touched: a running table is never replaced by a wrong one.
 *
 * Must not know over which wire somebody asked.
 */
import type { Routing } from '../admin/route-operations.js';
import type { JsonObject } from '../audit/canonical.js';
import { configHash, withDecimalsAsText } from '../audit/config-hash.js';
import type { AuditLog } from '../audit/log.js';
import type { Config } from '../config/schema.js';
import { invalid } from '../core/errors.js';
import { hintOf } from '../core/nearest.js';
import { advancedByHand, rolledBack } from '../monitor/canary.js';
import { resumed } from '../monitor/canary-state.js';
import type { Canaries } from './canaries.js';
import { policyOf, withCanary } from './canary-run.js';
import type { Experiments } from './experiments.js';
import type { Act, ConfiguredRoute } from './route-changes.js';
import {
  canaryDocument,
  noRoute,
  routeDocuments,
  type Shown,
  weightsOf,
  wholeRouteDocument,
} from './route-document.js';

export interface RouteDeskTools extends Shown {
  readonly canaries: Canaries;
  readonly experiments: Experiments;
  readonly audit: AuditLog;
  readonly now: () => number;
  /** @throws INVALID_ARGUMENT with a line for each name that does not exist */
  readonly check: (routes: Config['routes']) => void;
  /** Has versions that routes name opened. */
  readonly open: () => Promise<void>;
  readonly publish: (reason: string) => Promise<void>;
  /** Resolves when every process has told its counts. */
  readonly refresh: () => Promise<void>;
}

export class RouteDesk {
  readonly #tools: RouteDeskTools;
  #last: Promise<unknown> = Promise.resolve();

  constructor(tools: RouteDeskTools) {
    this.#tools = tools;
  }

  async operate(asked: Routing, actor: string): Promise<unknown> {
    const { experiments, refresh } = this.#tools;
    switch (asked.ask) {
      case 'routes':
        return { routes: routeDocuments(this.#tools) };
      case 'route':
        return wholeRouteDocument(asked.model, this.#tools);
      case 'canary':
        return canaryDocument(asked.model, this.#tools);
      case 'experiments':
        await refresh();
        return { experiments: experiments.lookAtAll() };
      case 'experiment':
        await refresh();
        return experiments.answer(asked.experiment);
      case 'set':
        await this.#serial(() => this.#set(asked, { actor, reason: asked.reason }));
        return wholeRouteDocument(asked.model, this.#tools);
      case 'revert':
        await this.#serial(() => this.#revert(asked, { actor, reason: asked.reason }));
        return wholeRouteDocument(asked.model, this.#tools);
      case 'steer':
        await this.#steer(asked, { actor, reason: asked.reason });
        return canaryDocument(asked.model, this.#tools);
    }
  }

  async #set({ model, weights, route }: Extract<Routing, { ask: 'set' }>, act: Act): Promise<void> {
    const next = weights === undefined ? route : reweighted(model, this.#inForce(model), weights);
    await this.#put(model, next, { act, isWeights: weights !== undefined });
  }

  async #revert({ model, to }: Extract<Routing, { ask: 'revert' }>, act: Act): Promise<void> {
    const before = this.#tools.changes.before(model, to);
    const reason = act.reason === '' ? `revert to ${to ?? 'the one before'}` : act.reason;
    await this.#put(model, before, { act: { ...act, reason }, isWeights: false });
  }

  /** @param route null = as the file says */
  async #put(model: string, route: unknown, { act, isWeights }: { act: Act; isWeights: boolean }): Promise<void> {
    const { changes, canaries, stages, audit, check, open, publish } = this.#tools;
    const routes = changes.with(model, route);
    check(routes);
    const next = routes[model];
    // The candidate of a canary is asked when that begins, unless its weight is set by hand; what the file says waits.
    if (route !== null && next !== undefined)
      stages.check(model, isWeights ? next : withCanary(next, undefined), act.actor);
    if (isWeights) await canaries.release(model);
    const detail = {
      reason: act.reason,
      change: (changes.history(model).at(-1)?.number ?? 0) + 1,
      from: weightsOf(changes.inForce()[model]),
      to: weightsOf(routes[model]),
      config_hash: configHash(routes[model] ?? null),
    };
    await audit.append('route.changed', model, withDecimalsAsText(detail) as JsonObject, act.actor);
    await changes.put(model, route === null ? null : routes[model]!, act);
    await open();
    await publish('route.changed');
  }

  async #steer({ model, verb }: Extract<Routing, { ask: 'steer' }>, act: Act): Promise<void> {
    const { canaries, changes, routes, now, refresh } = this.#tools;
    if (verb === 'start') return canaries.start(model, routes.phaseOf(model) + 1, act);
    // Who takes back a candidate that hangs does not wait for its counts.
    if (verb === 'advance') await refresh();
    const reason = act.reason === '' ? 'by hand' : act.reason;
    await canaries.steer(model, { ...act, reason }, ({ state }, evidence) => {
      if (verb === 'hold') return { ...state, status: 'held', reason };
      if (verb === 'resume') return resumedIfHeld(state, now());
      if (verb === 'rollback') return rolledBack(state, reason);
      const policy = policyOf(changes.inForce()[model]!)!;
      return advancedByHand(state, { ...evidence, blamed: null }, now(), policy);
    });
  }

  #inForce(model: string): ConfiguredRoute {
    const routes = this.#tools.changes.inForce();
    if (Object.hasOwn(routes, model)) return routes[model]!;
    throw noRoute(model);
  }

  #serial<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

function resumedIfHeld(state: Parameters<typeof resumed>[0], nowMs: number): ReturnType<typeof resumed> {
  return state.status === 'held' ? resumed(state, nowMs) : state;
}

/** A route with other weights; what they are is judged with the route as a whole. */
function reweighted(model: string, route: ConfiguredRoute, weights: Readonly<Record<string, unknown>>): unknown {
  const names = Object.keys(route.variants);
  for (const name of Object.keys(weights)) {
    if (names.includes(name)) continue;
    const path = `routes.${model}.variants.${name.slice(0, 64)}`;
    throw invalid(`${path}: expected one of the variants: ${names.join(', ')}${hintOf(name, names)}`);
  }
  const variants = Object.entries(route.variants).map(([name, variant]) => [
    name,
    Object.hasOwn(weights, name) ? { ...variant, weight: weights[name] } : variant,
  ]);
  return { ...route, variants: Object.fromEntries(variants) };
}
