/**
 * Which version answers a request. Holds the open versions and one route table; a new table is one assignment.
 *
 *   find(model, selector) ──────────▶ table ─▶ open version ─┐
 *   assign(model, selector, terms) ─▶ route ─▶ open version ─┤
 *   infer(request) ────────────────────────────────────────▶ version.infer ─▶ ONE event ─▶ reply
 *
 * A request keeps the version it was given: its reply names it even when the table has changed meanwhile. A version that may
 * be opened on demand is asked for at the control process, and the request waits for that.
 *
 * Must not know queues, protocols or how a version is opened.
 */

import { GatewayError } from '../core/errors.js';
import type { Observe } from '../core/events.js';
import type {
  Assigned,
  CallTerms,
  Infer,
  InferenceReply,
  InferenceRequest,
  ModelMetadata,
  ModelReadiness,
  Refusal,
  Selector,
} from '../core/inference.js';
import { nameOf, type Version, type VersionId } from '../core/model.js';
import { ownOf } from '../core/own.js';
import { checkedModel, checkedVersion } from '../core/relay.js';
import { emptyTable, type Route, type RouteTable, type VersionEntry } from '../core/route.js';
import type { ClaimOf } from './key.js';
import { type Arm, RoutedModel } from './routed-model.js';

/** A version that can be let go. */
export interface DrainableVersion extends Version {
  readonly properties: Readonly<Record<string, string>>;
  readonly depth: number;
  readonly inFlight: number;
  /** Threads that run it, and how many of them do so now. */
  readonly threads?: number;
  readonly busy?: number;
  drain(): Promise<void>;
}

export interface RouterOptions {
  readonly observe: Observe;
  readonly now: () => number;
  /** Has the version opened in this process and resolves when it is. */
  readonly want: (id: VersionId) => Promise<void>;
  /** Runs a request in another way than by its version, such as from memory. */
  readonly run?: Infer;
  /** Shows a request that is about to run to the shadows of its model; undefined when none takes a copy. */
  readonly expose?: (request: InferenceRequest) => Exposed | undefined;
  /** Reads the tokens of callers; absent = none is believed. */
  readonly claimOf?: ClaimOf;
}

/** A request that shadows look at. */
export interface Exposed {
  /** Called once, however the request ended. */
  end(result: InferenceReply | GatewayError): void;
}

export class Router {
  readonly #options: RouterOptions;
  readonly #open = new Map<string, DrainableVersion>();
  /** Versions that answered since `takeUsed` was called. */
  #used = new Set<Version>();
  /**
   * What answers a request for a model and nothing more, when it is open: the champion, or the variant of those who take no
   * part in its experiment. The common request needs this one look-up.
   */
  #champions = new Map<string, DrainableVersion>();
  /** Models with an experiment. */
  #routed = new Map<string, RoutedModel<DrainableVersion>>();
  #table: RouteTable = emptyTable;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  get table(): RouteTable {
    return this.#table;
  }

  get versions(): Iterable<DrainableVersion> {
    return this.#open.values();
  }

  /** @returns the version of the same name that it takes the place of: the caller drains it */
  add(version: DrainableVersion): DrainableVersion | undefined {
    const replaced = this.#open.get(nameOf(version.id));
    this.#open.set(nameOf(version.id), version);
    if (replaced !== undefined) this.publish(this.#table);
    return replaced;
  }

  publish(table: RouteTable): void {
    const champions = new Map<string, DrainableVersion>();
    const routed = new Map<string, RoutedModel<DrainableVersion>>();
    for (const { model, champion, experiment } of Object.values(table.routes)) {
      const version = champion === undefined ? undefined : this.#open.get(nameOf({ model, version: champion }));
      if (version !== undefined) champions.set(model, version);
      if (experiment === undefined) continue;
      const route = new RoutedModel(model, experiment, {
        arm: (id) => this.#armOf(table, id),
        fallback: () => this.find(model, {}),
        claimOf: this.#options.claimOf,
      });
      routed.set(model, route);
      if (route.champion.open !== undefined) champions.set(model, route.champion.open);
    }
    this.#champions = champions;
    this.#routed = routed;
    this.#table = table;
  }

  /** How to come by a version: neither way when it may not answer. */
  #armOf(table: RouteTable, id: VersionId): Arm<DrainableVersion> {
    const route = ownOf(table.routes, id.model);
    const state = route?.versions.find(({ version }) => version === id.version)?.state;
    const open = state === 'ready' ? this.#open.get(nameOf(id)) : undefined;
    const want = state === 'lazy' ? () => this.#open.get(nameOf(id)) ?? this.#wanted(id) : undefined;
    return { open, want };
  }

  /** Lets a version go that no table names any more: resolves when its last request is answered and its memory is free. */
  async drain(id: VersionId): Promise<void> {
    const version = this.#open.get(nameOf(id));
    this.#open.delete(nameOf(id));
    await version?.drain();
  }

  /** Which versions answered since the last call: what a lazy load policy must not close. */
  takeUsed(): string[] {
    const used = Array.from(this.#used, ({ id }) => nameOf(id));
    this.#used = new Set();
    return used;
  }

  /** @see DataPlane.find */
  find(model: string, selector: Selector): DrainableVersion | Promise<DrainableVersion> {
    if (selector.version === undefined && selector.label === undefined) {
      const champion = this.#champions.get(model);
      if (champion !== undefined) return champion;
    }
    const route = this.#routeOf(model);
    const entry = entryOf(route, selector);
    const id = { model, version: entry.version };
    const open = this.#open.get(nameOf(id));
    if (entry.state === 'ready' && open !== undefined) return open;
    if (entry.state === 'lazy') return open ?? this.#wanted(id);
    const text = `Request for unknown model: '${model}' version ${entry.version} is not at ready state`;
    throw new GatewayError('UNAVAILABLE', text, { retryAfterMs: 1000 });
  }

  /** @see DataPlane.assign */
  assign(model: string, selector: Selector, terms: CallTerms): Assigned | undefined {
    if (this.#routed.size === 0) return undefined;
    const routed = this.#routed.get(model);
    if (routed === undefined) return undefined;
    if (selector.version === undefined && selector.label === undefined) return routed.assign(terms);
    return { version: this.find(model, selector), assignment: routed.explicit };
  }

  async #wanted(id: VersionId): Promise<DrainableVersion> {
    await this.#options.want(id);
    const open = this.#open.get(nameOf(id));
    if (open !== undefined) return open;
    const text = `Request for unknown model: '${id.model}' version ${id.version} is not at ready state`;
    throw new GatewayError('UNAVAILABLE', text, { retryAfterMs: 1000 });
  }

  #routeOf(model: string): Route {
    checkedModel(model);
    if (Object.hasOwn(this.#table.routes, model)) return this.#table.routes[model]!;
    throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' is not found`);
  }

  /** @see DataPlane.readiness */
  readiness(model: string, selector: Selector): ModelReadiness {
    const route = this.#routeOf(model);
    if (selector.version === undefined && selector.label === undefined && route.champion === undefined) {
      return { isReady: false, reason: route.versions.at(-1)?.reason || 'no version is ready' };
    }
    const { state, reason } = entryOf(route, selector);
    const isReady = isServed(state);
    return { isReady, reason: isReady ? '' : reason || state };
  }

  /** @see DataPlane.metadata */
  async metadata(model: string, selector: Selector): Promise<ModelMetadata> {
    const route = this.#routeOf(model);
    const version = await this.find(model, selector);
    const isNamed = selector.version !== undefined || selector.label !== undefined;
    const ready = route.versions.filter(({ state }) => isServed(state)).map((entry) => entry.version);
    const { inputs, outputs } = version.signature;
    return {
      name: model,
      versions: isNamed ? [version.id.version] : ready,
      platform: version.config.platform,
      inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
      outputs: outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
      ...(Object.keys(version.properties).length > 0 ? { properties: version.properties } : {}),
    };
  }

  /** Names of models with a version that answers. */
  models(): string[] {
    return Object.values(this.#table.routes).flatMap(({ model, versions }) =>
      versions.some(({ state }) => isServed(state)) ? [model] : [],
    );
  }

  /** @see Infer */
  readonly infer = (request: InferenceRequest): Promise<InferenceReply> => {
    this.#used.add(request.version);
    const exposed = this.#options.expose?.(request);
    const { run } = this.#options;
    return (run === undefined ? request.version.infer(request) : run(request)).then(
      (reply) => {
        this.#observe(request, reply);
        exposed?.end(reply);
        return reply;
      },
      (thrown: unknown) => {
        const error = GatewayError.from(thrown);
        this.#observe(request, error);
        exposed?.end(error);
        throw error;
      },
    );
  };

  #observe(request: InferenceRequest, result: InferenceReply | GatewayError): void {
    const error = result instanceof GatewayError ? result : undefined;
    this.#options.observe({
      kind: 'inference',
      version: request.version.id,
      model: request.model,
      protocol: request.protocol,
      requestId: request.id,
      code: error === undefined ? 'OK' : error.code,
      reason: error?.reason,
      rows: request.rows,
      durationMs: this.#options.now() - request.receivedAt,
      timing: error === undefined ? (result as InferenceReply).timing : undefined,
      cache: error === undefined ? (result as InferenceReply).cache : undefined,
      assignment: request.assignment,
      trace: request.trace,
    });
  }

  /** The event of a request that ended before it could be inferred. */
  readonly refuse = ({ model, protocol, receivedAt, error, id = '', trace }: Refusal): void => {
    const isKnown = Object.hasOwn(this.#table.routes, model);
    const champion = this.#champions.get(model);
    this.#options.observe({
      kind: 'inference',
      version: champion?.id,
      model: isKnown ? model : '_other',
      protocol,
      requestId: id,
      code: error.code,
      reason: error.reason,
      rows: 0,
      durationMs: this.#options.now() - receivedAt,
      timing: undefined,
      trace,
    });
  };
}

/** Answers requests, or will when the first one comes. */
function isServed(state: VersionEntry['state']): boolean {
  return state === 'ready' || state === 'lazy';
}

function entryOf(route: Route, selector: Selector): VersionEntry {
  const { model } = route;
  const wanted = selector.version ? checkedVersion(selector.version) : undefined;
  let version = wanted;
  if (version === undefined && selector.label !== undefined) {
    version = route.labels[selector.label];
    if (version === undefined) {
      throw new GatewayError(
        'NOT_FOUND',
        `Request for unknown model: '${model}' label '${selector.label}' is not found`,
      );
    }
  }
  version ??= route.champion;
  if (version === undefined) {
    throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' has no available versions`);
  }
  const entry = route.versions.find((candidate) => candidate.version === version);
  if (entry === undefined) {
    throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' version ${version} is not found`);
  }
  return entry;
}
