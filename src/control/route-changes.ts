/**
 * PART OF THE ROOT: routes that were changed while serving, each change numbered, kept and revertible.
 *
 *   file ─ routes ─┐
 *   set, revert ───┴▶ the last word for each model ─▶ routes in force
 *
 * A change made while serving wins over the file until the file says something else of that model; from then on the file is
 * right again, which is a change of its own in the history. What is kept is always a whole route.
 *
 * Must not know models, or how a table is made.
 */
import { z } from 'zod';
import { configHash } from '../audit/config-hash.js';
import { type RouteProblem, readRoutes } from '../config/route-problems.js';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import { StateDocument, type StateFolder } from '../registry/store/state.js';

type Routes = Config['routes'];
export type ConfiguredRoute = Routes[string];

const change = z.object({
  /** From 1, one more each time. */
  number: z.int().min(1),
  at: z.string(),
  actor: z.string(),
  reason: z.string(),
  /** Of the file's route at that time. */
  section: z.string(),
  /** Null = as the file says. */
  route: z.unknown(),
});
const changes = z.record(z.string(), z.array(change));

type Changes = Readonly<Record<string, readonly Change[]>>;

export interface Change extends Omit<z.output<typeof change>, 'route'> {
  readonly route: ConfiguredRoute | null;
}

/** Who changes a route, and why. */
export interface Act {
  readonly actor: string;
  readonly reason: string;
}

export interface RouteChangesOptions {
  readonly state: StateFolder;
  readonly configured: () => Routes;
  readonly epochNow: () => number;
  readonly report: (message: string) => void;
}

const keptMax = 50;
const byFile = 'system:file';

export class RouteChanges {
  readonly #options: RouteChangesOptions;
  readonly #document: StateDocument<Changes>;

  private constructor(options: RouteChangesOptions, document: StateDocument<Changes>) {
    this.#options = options;
    this.#document = document;
  }

  static async open(options: RouteChangesOptions): Promise<RouteChanges> {
    const schema = changes as unknown as z.ZodType<Changes>;
    const opened = new RouteChanges(options, await StateDocument.open<Changes>(options.state, 'routes', schema, {}));
    await opened.#dropUnreadable();
    return opened;
  }

  /** What an earlier release wrote, or what the file now contradicts, must not keep the server from starting. */
  async #dropUnreadable(): Promise<void> {
    const { configured, report } = this.#options;
    const { problems } = readRoutes(this.inForce(configured()));
    if (problems.length === 0) return;
    report(`changes of routes no longer fit and are left: ${linesOf(problems)}`);
    await this.#document.change(() => ({}));
  }

  /** Routes of a configuration with what was changed since; by default of the present one. */
  inForce(configured: Routes = this.#options.configured()): Routes {
    const result: Record<string, ConfiguredRoute> = { ...configured };
    for (const model of Object.keys(this.#document.value)) {
      const last = this.#lastOf(model, configured);
      if (last?.route != null) result[model] = last.route;
    }
    return result;
  }

  /** The routes in force under another configuration. @throws INVALID_ARGUMENT when file and changes do not go together */
  foreseen(configured: Routes): Routes {
    return rightOf(this.inForce(configured));
  }

  /** The change that holds; undefined when the file does. */
  #lastOf(model: string, configured: Routes): Change | undefined {
    const last = this.#document.value[model]?.at(-1);
    return last?.section === sectionOf(configured, model) ? last : undefined;
  }

  /** Whether the route is another one than the file's. */
  isChanged(model: string): boolean {
    return this.#lastOf(model, this.#options.configured())?.route != null;
  }

  /** Who made the route what it is, and why. */
  actOf(model: string): Act {
    return this.#lastOf(model, this.#options.configured()) ?? { actor: byFile, reason: '' };
  }

  /** Oldest first. */
  history(model: string): readonly Change[] {
    return this.#document.value[model] ?? [];
  }

  /** Notes where the file has spoken since. */
  async settle(): Promise<void> {
    const configured = this.#options.configured();
    const act = { actor: byFile, reason: 'the configuration file says otherwise' };
    for (const [model, all] of Object.entries(this.#document.value)) {
      const last = all.at(-1);
      if (last === undefined || last.section === sectionOf(configured, model)) continue;
      await this.put(model, null, act);
    }
  }

  /** The routes as they would be. @throws INVALID_ARGUMENT with a line for each problem of the text */
  with(model: string, route: unknown): Routes {
    const { [model]: _, ...others } = this.inForce();
    const next = route === null ? this.#options.configured()[model] : route;
    return rightOf(next === undefined ? others : { ...others, [model]: next });
  }

  /** The route that a revert leads to. @throws FAILED_PRECONDITION, NOT_FOUND */
  before(model: string, to: number | undefined): ConfiguredRoute | null {
    const all = this.history(model);
    if (to === 0) return null;
    const wanted = to ?? (all.at(-1)?.number ?? 0) - 1;
    if (all.length === 0 || wanted < 0)
      throw new GatewayError('FAILED_PRECONDITION', `the route of '${model}' was never changed: it is the file's`);
    if (wanted === 0) return null;
    const found = all.find(({ number }) => number === wanted);
    if (found !== undefined) return found.route;
    const kept = `${all[0]!.number} to ${all.at(-1)!.number}`;
    throw new GatewayError('NOT_FOUND', `expected 0 (the file) or a change of '${model}' from ${kept}, got ${wanted}`);
  }

  async put(model: string, route: ConfiguredRoute | null, { actor, reason }: Act): Promise<void> {
    const section = sectionOf(this.#options.configured(), model);
    const at = new Date(this.#options.epochNow()).toISOString();
    await this.#document.change((all) => {
      const own = all[model] ?? [];
      const next = { number: (own.at(-1)?.number ?? 0) + 1, at, actor, reason, section, route };
      return { ...all, [model]: [...own, next].slice(-keptMax) };
    });
  }
}

function sectionOf(configured: Routes, model: string): string {
  return configHash(Object.hasOwn(configured, model) ? configured[model] : null);
}

function rightOf(value: unknown): Routes {
  const { routes, problems } = readRoutes(value);
  if (problems.length > 0) throw new GatewayError('INVALID_ARGUMENT', linesOf(problems));
  return routes;
}

function linesOf(problems: readonly RouteProblem[]): string {
  return problems.map(({ path, message }) => `${path}: ${message}`).join('\n');
}
