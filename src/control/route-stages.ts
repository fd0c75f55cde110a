/**
 * PART OF THE ROOT: the stages that routes give to versions: asked for before one gets a share, written down before it is so,
 * and kept over a restart.
 *
 *   routes ─▶ places ─ new: may it? ─ yes ─▶ audit log ─▶ kept ─▶ it gets its share
 *                                   └ no ──▶ it waits: as if it were not ready, the champion answers in its place
 *             kept, and no place any more ─▶ audit log ─▶ forgotten
 *
 * What is in is not asked again: neither a start nor another weight is an entry, but other content under its number is one.
 * The candidate of a canary is asked when that begins, and the canary's own entries tell of it.
 *
 * Must not know the rule of who may enter, or how a call is assigned.
 */
import { z } from 'zod';
import type { AuditLog } from '../audit/log.js';
import { type Target, versionOf } from '../config/route-table.js';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import { nameOf, type VersionId } from '../core/model.js';
import type { Experiment, Route } from '../core/route.js';
import type { Log } from '../log.js';
import { StateDocument, type StateFolder } from '../registry/store/state.js';
import type { CanaryBook } from './canary-book.js';
import type { Act, ConfiguredRoute, RouteChanges } from './route-changes.js';

/** Who may get a share of what a route is asked. */
export interface ShareRules {
  /** The digest of what is open of a version; undefined = nothing was yet. */
  readonly contentOf: (id: VersionId) => string | undefined;
  /** Why a version must not get one yet, in one line; empty = it may. @param requester whoever asks for it */
  readonly withheld: (id: VersionId, requester: string) => string;
  /** One is about to get it. @throws when that cannot be written down */
  readonly used: (id: VersionId) => Promise<void>;
}

export interface RouteStagesOptions {
  readonly audit: AuditLog;
  readonly log: Log;
  readonly book: CanaryBook;
  readonly changes: RouteChanges;
  readonly shares: ShareRules;
}

const kept = z.object({
  stage: z.enum(['shadow', 'canary']),
  route: z.string(),
  /** By which content it got its share. */
  sha256: z.string().optional(),
});
type Kept = Readonly<z.output<typeof kept>>;
type Known = Readonly<Record<string, Route>>;

interface Place extends Omit<Kept, 'sha256'> {
  readonly id: VersionId;
  readonly alias: string | undefined;
}

export class RouteStages {
  readonly #options: RouteStagesOptions;
  readonly #document: StateDocument<Readonly<Record<string, Kept>>>;
  /** Why versions do not get what routes say, by name. */
  #waiting: ReadonlyMap<string, string> = new Map();
  /** What the sources and the registry say of models, as of the last table. */
  #known: Known = {};
  #isUnwritten = false;

  private constructor(options: RouteStagesOptions, document: StateDocument<Readonly<Record<string, Kept>>>) {
    this.#options = options;
    this.#document = document;
  }

  static async open(state: StateFolder, options: RouteStagesOptions): Promise<RouteStages> {
    return new RouteStages(options, await StateDocument.open(state, 'stages', z.record(z.string(), kept), {}));
  }

  /** Something could not be written down: only another table helps. */
  get isUnwritten(): boolean {
    return this.#isUnwritten;
  }

  /** Undefined = no route gives it one. */
  stageOf(id: VersionId): Kept['stage'] | undefined {
    return this.#document.value[nameOf(id)]?.stage;
  }

  /** By which content a version got its share of a route; undefined = it has none, or that was not known. */
  sharedAs(id: VersionId): string | undefined {
    return this.#document.value[nameOf(id)]?.sha256;
  }

  /** Why a variant does not get its share; empty = nothing keeps it from that. */
  waitOf(route: string, target: Target): string {
    const version = versionOf(route, target, this.#known);
    return (version && this.#waiting.get(nameOf({ model: target.model ?? route, version }))) ?? '';
  }

  /** An experiment in which a variant that waits has no version. */
  admitted(experiment: Experiment): Experiment {
    if (this.#waiting.size === 0) return experiment;
    const variants = experiment.variants.map((one) => (this.#waiting.has(nameOf(one)) ? { ...one, version: '' } : one));
    return { ...experiment, variants };
  }

  /** An operator asks for this route. @throws FAILED_PRECONDITION for the first version that must not get its share */
  check(model: string, route: ConfiguredRoute, requester: string): void {
    for (const { id, stage } of placesIn({ [model]: route }, this.#known).places.values()) {
      const reason = stage === 'canary' && !this.#isIn(id, stage) ? this.#options.shares.withheld(id, requester) : '';
      if (reason !== '') throw shareRefusal(id, model, reason);
    }
  }

  /** Before a table is made: what routes with the weights of canaries make of versions. */
  async settle(routes: Config['routes'], known: Known): Promise<void> {
    this.#known = known;
    this.#isUnwritten = false;
    const { places, unsure } = placesIn(routes, known);
    const next: Record<string, Kept> = { ...this.#document.value };
    const waiting = new Map<string, string>();
    for (const [name, before] of Object.entries(next)) {
      if (places.has(name) || unsure.has(modelIn(name))) continue;
      if (await this.#isLeft(name, before)) delete next[name];
    }
    for (const [name, place] of places) {
      const { id, stage, route } = place;
      // One that is not ready gets nothing, and there is nothing yet that could be asked of it.
      if (!isReady(id, known)) continue;
      const sha256 = stage === 'canary' ? this.#options.shares.contentOf(id) : undefined;
      const content = sha256 === undefined ? {} : { sha256 };
      if (this.#isIn(id, stage)) {
        next[name] = { ...next[name]!, ...content };
        continue;
      }
      const reason = await this.#entered(place);
      if (reason === '') next[name] = { stage, route, ...content };
      else waiting.set(name, reason);
    }
    this.#waiting = waiting;
    if (JSON.stringify(next) !== JSON.stringify(this.#document.value)) await this.#document.change(() => next);
  }

  #isIn(id: VersionId, stage: Kept['stage']): boolean {
    const kept = this.#document.value[nameOf(id)];
    const now = this.#options.shares.contentOf(id);
    return kept?.stage === stage && (kept.sha256 === undefined || now === undefined || kept.sha256 === now);
  }

  /** @returns why it must not be so; empty = it is written down */
  async #entered(place: Place): Promise<string> {
    const { audit, log, shares } = this.#options;
    const { id, stage, route } = place;
    const isOther = this.#document.value[nameOf(id)]?.stage === stage;
    if (!isOther && this.#isInCanary(nameOf(id))) return '';
    const { actor, reason } = isOther ? otherContent(place) : this.#actOf(place);
    try {
      const objection = stage === 'canary' ? shares.withheld(id, actor) : '';
      if (objection !== '') {
        if (objection !== this.#waiting.get(nameOf(id)))
          log.warn('route.waits', { route, version: nameOf(id), reason: objection });
        return objection;
      }
      await audit.append('stage.changed', nameOf(id), { ...id, stage, route, reason }, actor);
      if (stage === 'canary') await shares.used(id);
      return '';
    } catch (error) {
      this.#isUnwritten = true;
      log.error('routes.failed', { error: `${stage} of ${nameOf(id)}: ${(error as Error).message}` });
      return `it cannot be written down: ${GatewayError.from(error).message}`;
    }
  }

  /** What no longer has a share has none, whether or not that can be written down; then it is told at the next table. */
  async #isLeft(name: string, { stage, route }: Kept): Promise<boolean> {
    const { audit, log, book, changes } = this.#options;
    const id = { model: modelIn(name), version: name.slice(modelIn(name).length + 1) };
    const run = book.runOf(route);
    const hasEnded = run !== undefined && !run.isReleased && nameOf(run.candidate) === name;
    // That it answers by default now, or that its canary has ended, is an entry of its own.
    if (this.#known[id.model]?.champion === id.version || hasEnded) return true;
    const { actor, reason: said } = changes.actOf(route);
    const reason = `no ${stage} on the route of '${route}' any more${said === '' ? '' : `: ${said}`}`;
    return audit.append('stage.changed', name, { ...id, stage: 'registered', route, reason }, actor).then(
      () => true,
      (error: Error) => {
        this.#isUnwritten = true;
        log.error('routes.failed', { error: `${name} is no ${stage} any more: ${error.message}` });
        return false;
      },
    );
  }

  #isInCanary(name: string): boolean {
    const runs = this.#options.book.runs();
    return runs.some(
      ([, run]) => nameOf(run.candidate) === name && !run.isReleased && run.state.status !== 'rolled_back',
    );
  }

  #actOf({ route, alias, stage }: Place): Act {
    const text = `${stage} on the route of '${route}'`;
    if (alias !== undefined) return { actor: 'system:registry', reason: `${text}: '${alias}' leads to it` };
    const { actor, reason } = this.#options.changes.actOf(route);
    return { actor, reason: reason === '' ? text : `${text}: ${reason}` };
  }
}

function otherContent({ stage, route }: Place): Act {
  return { actor: 'system:registry', reason: `${stage} on the route of '${route}': by other content` };
}

export function shareRefusal(id: VersionId, route: string, reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `${nameOf(id)} must not get a share of '${route}': ${reason}`);
}

/**
 * What routes make of versions that do not answer by default, by name: a share of the requests counts more than copies.
 * @returns unsure: models of which a version that is meant is not known at this moment
 */
function placesIn(
  routes: Config['routes'],
  known: Known,
): { readonly places: ReadonlyMap<string, Place>; readonly unsure: ReadonlySet<string> } {
  const places = new Map<string, Place>();
  const unsure = new Set<string>();
  const put = (route: string, stage: Kept['stage'], target: Target) => {
    const model = target.model ?? route;
    const version = versionOf(route, target, known);
    const isKnown = version !== undefined && Object.hasOwn(known, model);
    if (!isKnown) return void unsure.add(model);
    const id = { model, version };
    if (known[model]!.champion === version || places.has(nameOf(id))) return;
    places.set(nameOf(id), { id, stage, route, alias: target.alias });
  };
  for (const [route, { variants, overrides, default: fallback }] of Object.entries(routes)) {
    for (const [name, variant] of Object.entries(variants)) {
      // Whoever takes no part gets the default whatever its weight, beside a canary at 100 % too.
      if (variant.weight > 0 || name === fallback || Object.hasOwn(overrides.keys, name)) put(route, 'canary', variant);
    }
  }
  for (const [route, { shadows }] of Object.entries(routes)) for (const shadow of shadows) put(route, 'shadow', shadow);
  return { places, unsure };
}

function isReady({ model, version }: VersionId, known: Known): boolean {
  const state = known[model]?.versions.find((entry) => entry.version === version)?.state;
  return state === 'ready' || state === 'lazy';
}

function modelIn(name: string): string {
  return name.slice(0, name.lastIndexOf('@'));
}
