/**
 * PART OF THE ROOT: what is said of routes, put into the tables that the registry makes.
 *
 *   file ─▶ changes made while serving ─▶ weights of canaries ─▶ who may have them ─▶ experiments, each with its phase ─▶ table
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
import type { Experiment, Route, RouteTable } from '../core/route.js';
import type { OfferedModel } from '../registry/catalogue.js';
import { StateDocument, type StateFolder } from '../registry/store/state.js';
import type { ArmsSeen } from './arms-seen.js';
import type { Canaries } from './canaries.js';
import type { CanaryBook } from './canary-book.js';
import { rulesOf, withCanary } from './canary-run.js';
import type { RouteChanges } from './route-changes.js';
import type { RouteStages } from './route-stages.js';

type Phases = Readonly<Record<string, { readonly text: string; readonly phase: number }>>;

const phases: z.ZodType<Phases> = z.record(z.string(), z.object({ text: z.string(), phase: z.int().min(1) }));

export interface RoutesOptions {
  readonly changes: RouteChanges;
  readonly canaries: Canaries;
  readonly book: CanaryBook;
  readonly stages: RouteStages;
  readonly seen: ArmsSeen;
  /** From which duration on a request of this experiment is slow. */
  readonly slowMs: (model: string, experiment: string) => number | undefined;
}

export class Routes {
  readonly #options: RoutesOptions;
  readonly #document: StateDocument<Phases>;

  private constructor(options: RoutesOptions, document: StateDocument<Phases>) {
    this.#options = options;
    this.#document = document;
  }

  static async open(state: StateFolder, options: RoutesOptions): Promise<Routes> {
    return new Routes(options, await StateDocument.open<Phases>(state, 'phases', phases, {}));
  }

  /** Of the experiment that a model has or had last; 0 = none. */
  readonly phaseOf = (model: string): number => this.#document.value[model]?.phase ?? 0;

  /** Routes with the weights by which requests are split. */
  weighted(): Config['routes'] {
    const { changes, book } = this.#options;
    const routes = Object.entries(changes.inForce());
    return Object.fromEntries(routes.map(([model, route]) => [model, withCanary(route, book.runOf(model))]));
  }

  /** The table with its experiments. @throws when a new phase cannot be written down */
  async with(table: RouteTable): Promise<RouteTable> {
    const { changes, canaries, stages } = this.#options;
    await changes.settle();
    await canaries.settle(table.routes, this.phaseOf);
    const routes = this.weighted();
    await stages.settle(routes, table.routes);
    await this.#beginPhases(routes, table.routes);
    const split = tableRoutes(routes, table.routes, this.phaseOf);
    const finished = Object.fromEntries(
      Object.entries(split).map(([model, route]) => [model, this.#watched(route, routes[model])]),
    );
    this.#follow(routes, finished);
    return { ...table, routes: finished };
  }

  async #beginPhases(routes: Config['routes'], known: RouteTable['routes']): Promise<void> {
    const { book, stages } = this.#options;
    const begun: Record<string, Phases[string]> = {};
    for (const [model, route] of Object.entries(routes)) {
      const experiment = experimentOf(model, route, { routes: known, phase: 1 });
      if (experiment === undefined || !Object.hasOwn(known, model)) continue;
      const text = phaseText(stages.admitted(experiment));
      const last = this.phaseOf(model);
      const isSame = this.#document.value[model]?.text === text;
      // A canary that counts a step anew asks for a new phase although nothing else is new.
      const phase = Math.max(isSame ? last : last + 1, book.runOf(model)?.state.phase ?? 0);
      if (!isSame || phase !== last) begun[model] = { text, phase };
    }
    if (Object.keys(begun).length > 0) await this.#document.change((all) => ({ ...all, ...begun }));
    for (const model of Object.keys(routes))
      if (this.phaseOf(model) > 0) await book.setPhase(model, this.phaseOf(model));
  }

  /** What processes are to look at, beside who gets what. */
  #watched(route: Route, written: Config['routes'][string] | undefined): Route {
    if (route.experiment === undefined) return route;
    const experiment = this.#options.stages.admitted(route.experiment);
    const slowMs = this.#options.slowMs(route.model, experiment.name);
    const isCompared = metricsOf(written).includes('prediction_drift');
    const more = { ...(slowMs !== undefined && { slowMs }), ...(isCompared && { countsPredictions: true as const }) };
    return { ...route, experiment: { ...experiment, ...more } };
  }

  #follow(routes: Config['routes'], table: RouteTable['routes']): void {
    const experiments: Record<string, Experiment> = {};
    for (const { model, experiment } of Object.values(table))
      if (experiment !== undefined) experiments[model] = experiment;
    this.#options.seen.follow(experiments, (model) => labelMetricsOf(routes[model]));
  }
}

const countedHere = ['error_rate', 'slow_share', 'prediction_drift', 'cbpe_accuracy'];

/** Metrics for which labels have to come: those of a canary, and of an experiment that is none how often it is right. */
function labelMetricsOf(route: Config['routes'][string] | undefined): string[] {
  if (route?.canary === undefined) return ['accuracy'];
  return metricsOf(route).filter((metric) => !countedHere.includes(metric));
}

function metricsOf(route: Config['routes'][string] | undefined): string[] {
  return rulesOf(route).guardrails.map(({ metric }) => metric);
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
