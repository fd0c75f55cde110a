/**
 * What is wrong with routes: as a text, and against the models that are there. For `check`, `plan` and the admin API, before
 * a running table is touched.
 *
 * Must not know where models come from.
 */
import { hintOf } from '../core/nearest.js';
import type { Route } from '../core/route.js';
import { routeComplaint } from './complaint.js';
import { type Target, versionOf } from './route-table.js';
import { routes as schema } from './routes.js';
import type { Config } from './schema.js';

type Routes = Config['routes'];
type Known = Readonly<Record<string, Route>>;

export interface RouteProblem {
  /** Of the key: `routes.digits.variants.treatment.version`. */
  readonly path: string;
  /** What was expected and what came. */
  readonly message: string;
}

/** Routes from a document that somebody sends, checked as those of a file are. */
export function readRoutes(value: unknown): { readonly routes: Routes; readonly problems: readonly RouteProblem[] } {
  const result = schema.safeParse(value);
  if (result.success) return { routes: result.data, problems: [] };
  const problems = result.error.issues.map((issue) => {
    const { path, message } = routeComplaint(value, issue);
    return { path: path === '' ? 'routes' : `routes.${path}`, message };
  });
  return { routes: {}, problems };
}

/** @param known the models by name, as the registry would put them in a table */
export function routeProblems(routes: Routes, known: Known): RouteProblem[] {
  return Object.entries(routes).flatMap(([model, route]) => {
    const path = `routes.${model}`;
    if (!Object.hasOwn(known, model)) return [missing(path, 'a model that is served', model, Object.keys(known))];
    const variants = Object.entries(route.variants).flatMap(([name, target]) =>
      targetProblems(`${path}.variants.${name}`, model, target, known),
    );
    const shadows = route.shadows.flatMap((target, at) => [
      ...targetProblems(`${path}.shadows.${at}`, model, target, known),
      ...selfProblems(`${path}.shadows.${at}`, model, { target, route, known }),
    ]);
    return [...variants, ...shadows];
  });
}

function targetProblems(path: string, model: string, target: Target, known: Known): RouteProblem[] {
  const name = target.model ?? model;
  if (!Object.hasOwn(known, name)) {
    return [missing(`${path}.model`, 'a model that is served', name, Object.keys(known))];
  }
  const { versions, labels, champion } = known[name]!;
  const numbers = versions.map(({ version }) => version);
  if (target.version !== undefined) {
    if (numbers.includes(target.version)) return [];
    return [missing(`${path}.version`, `a version of '${name}' that is served`, target.version, numbers)];
  }
  if (versionOf(model, target, known) !== undefined) return [];
  const aliases = [...(champion === undefined ? [] : ['champion']), ...Object.keys(labels)];
  if (target.alias !== undefined) return [missing(`${path}.alias`, `an alias of '${name}'`, target.alias, aliases)];
  return [missing(`${path}.model`, 'a model with a champion', name, [])];
}

/** A shadow repeats requests on another version than the one that answered them. */
function selfProblems(
  path: string,
  model: string,
  { target, route, known }: { readonly target: Target; readonly route: Routes[string]; readonly known: Known },
): RouteProblem[] {
  const shadow = { model: target.model ?? model, version: versionOf(model, target, known) };
  const variants = Object.entries(route.variants).filter(([name, { weight }]) => weight > 0 || name === route.default);
  const answering = variants.length === 0 ? ([['champion', {}]] as const) : variants;
  const same = answering.find(
    ([, answer]) =>
      (('model' in answer ? answer.model : undefined) ?? model) === shadow.model &&
      versionOf(model, answer, known) === shadow.version,
  );
  if (same === undefined || shadow.version === undefined) return [];
  const message = `expected another version than ${shadow.version} of '${shadow.model}', which answers as '${same[0]}': a shadow of itself shows nothing`;
  return [{ path, message }];
}

const shownMax = 20;

function missing(path: string, expected: string, got: string, candidates: readonly string[]): RouteProblem {
  const choice = candidates.length === 0 ? '' : ` (${candidates.slice(0, shownMax).join(', ')})`;
  // Numbers have no misspellings.
  const hint = /^[0-9]+$/.test(got) ? '' : hintOf(got, candidates);
  return { path, message: `expected ${expected}${choice}, got '${got}'${hint}` };
}
