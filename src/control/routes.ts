/**
 * PART OF THE ROOT: what the configuration says of routes, put into the tables that the registry makes.
 *
 *   registry ─ table ─▶ + experiments, each with the number of its phase ─▶ processes
 *
 * A phase begins whenever versions, weights, coverage or targeting change; its number is on the disk before the table is sent,
 * so that numbers of one phase are never counted under another, also over a restart.
 *
 * Must not know how a call is assigned.
 */
import { z } from 'zod';
import { type RouteProblem, routeProblems } from '../config/route-problems.js';
import { experimentOf, phaseText, tableRoutes } from '../config/route-table.js';
import type { Config } from '../config/schema.js';
import type { Route, RouteTable } from '../core/route.js';
import type { OfferedModel } from '../registry/catalogue.js';
import { StateDocument, type StateFolder } from '../registry/store/state.js';

type Phases = Readonly<Record<string, { readonly text: string; readonly phase: number }>>;

const phases: z.ZodType<Phases> = z.record(z.string(), z.object({ text: z.string(), phase: z.int().min(1) }));

export class Routes {
  readonly #document: StateDocument<Phases>;
  readonly #config: () => Config;

  private constructor(document: StateDocument<Phases>, config: () => Config) {
    this.#document = document;
    this.#config = config;
  }

  static async open(state: StateFolder, config: () => Config): Promise<Routes> {
    return new Routes(await StateDocument.open<Phases>(state, 'phases', phases, {}), config);
  }

  /** The table with its experiments. @throws when a new phase cannot be written down */
  async with(table: RouteTable): Promise<RouteTable> {
    const { routes } = this.#config();
    const begun: Record<string, Phases[string]> = {};
    for (const [model, route] of Object.entries(routes)) {
      const experiment = experimentOf(model, route, { routes: table.routes, phase: 1 });
      if (experiment === undefined || !Object.hasOwn(table.routes, model)) continue;
      const text = phaseText(experiment);
      const last = this.#document.value[model];
      if (last?.text !== text) begun[model] = { text, phase: (last?.phase ?? 0) + 1 };
    }
    if (Object.keys(begun).length > 0) await this.#document.change((all) => ({ ...all, ...begun }));
    const phaseOf = (model: string) => this.#document.value[model]?.phase ?? 1;
    return { ...table, routes: tableRoutes(routes, table.routes, phaseOf) };
  }
}

/** Versions of a model that routes name by number: they must be open, whatever the policy says. */
export function routedVersions(routes: Config['routes'], model: string): string[] {
  const named: string[] = [];
  for (const [name, route] of Object.entries(routes)) {
    for (const target of [...Object.values(route.variants), ...route.shadows])
      if ((target.model ?? name) === model && target.version !== undefined) named.push(target.version);
  }
  return named;
}

/** What is wrong with routes, given what the sources offer. */
export function problemsWith(routes: Config['routes'], offered: readonly OfferedModel[]): RouteProblem[] {
  const known: Record<string, Route> = {};
  for (const { name, known: versions, wanted, aliases } of offered) {
    known[name] = {
      model: name,
      versions: versions.map(({ version }) => ({ version, state: 'ready', reason: '' })),
      champion: aliases.champion ?? wanted.at(-1)?.version,
      labels: aliases,
    };
  }
  return routeProblems(routes, known);
}
