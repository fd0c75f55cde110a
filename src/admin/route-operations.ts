/**
 * What may be asked of routes, canaries and experiments: a closed union, and the URL table that leads to it.
 *
 * A route is sent as it is written in the configuration; whether it is right is judged where configurations are.
 *
 * Must not know what is done with an operation.
 */
import { z } from 'zod';
import { checked, modelOf } from './checked.js';
import type { Row } from './row.js';

export type Routing =
  | { readonly ask: 'routes' | 'experiments' }
  | { readonly ask: 'route' | 'canary'; readonly model: string }
  | { readonly ask: 'experiment'; readonly experiment: string }
  /** @param to number of a change, 0 = the file; left out = the one before */
  | { readonly ask: 'revert'; readonly model: string; readonly to?: number | undefined; readonly reason: string }
  /** Either weights of variants that are there, or a whole route. */
  | {
      readonly ask: 'set';
      readonly model: string;
      readonly weights?: Readonly<Record<string, unknown>> | undefined;
      readonly route?: unknown;
      readonly reason: string;
    }
  | { readonly ask: 'steer'; readonly model: string; readonly verb: CanaryVerb; readonly reason: string };

const canaryVerbs = ['start', 'advance', 'hold', 'resume', 'rollback'] as const;

export type CanaryVerb = (typeof canaryVerbs)[number];

const reason = z.string().max(1000).default('');
const reasonBody = z.strictObject({ reason });
const setBody = z
  .strictObject({
    weights: z.record(z.string().max(64), z.unknown()).optional(),
    route: z.record(z.string(), z.unknown()).optional(),
    reason,
  })
  .refine(
    ({ weights, route }) => (weights === undefined) !== (route === undefined),
    'expected either weights or route',
  );
const revertBody = z.strictObject({ to: z.int().min(0).optional(), reason });

type Names = Readonly<Record<string, string>>;

export interface RoutingRow extends Row {
  /** @throws INVALID_ARGUMENT, NOT_FOUND */
  readonly read: (names: Names, body: unknown) => Routing;
}

function get(path: string, summary: string, read: (names: Names) => Routing): RoutingRow {
  return { method: 'GET', path, role: 'viewer', summary, read };
}

function post<Body extends z.ZodType>(
  path: string,
  { summary, body }: { readonly summary: string; readonly body: Body },
  read: (names: Names, body: z.output<Body>) => Routing,
): RoutingRow {
  return {
    method: 'POST',
    path,
    role: 'operator',
    summary,
    body,
    read: (names, sent) => read(names, checked(body, sent)),
  };
}

const canarySummary: Readonly<Record<CanaryVerb, string>> = {
  start: 'Begin a canary anew at its first step',
  advance: 'Take a canary one step on, whatever its guardrails say',
  hold: 'Keep a canary at its step',
  resume: 'Count the step of a held canary anew',
  rollback: 'Take a canary back to 0 %',
};

/** The URL table of routes. */
export const routingRows: readonly RoutingRow[] = [
  get('/admin/routes', 'All routes with their weights', () => ({ ask: 'routes' })),
  get('/admin/routes/{model}', 'One route, and how it was changed', ({ model }) => ({
    ask: 'route',
    model: modelOf(model),
  })),
  get('/admin/routes/{model}/history', 'One route, and how it was changed', ({ model }) => ({
    ask: 'route',
    model: modelOf(model),
  })),
  get('/admin/models/{model}/canary', 'How the canary of a route stands', ({ model }) => ({
    ask: 'canary',
    model: modelOf(model),
  })),
  get('/admin/experiments', 'Read-outs of all experiments', () => ({ ask: 'experiments' })),
  get('/admin/experiments/{experiment}', 'Read-out of an experiment', ({ experiment = '' }) => ({
    ask: 'experiment',
    experiment,
  })),
  post(
    '/admin/routes/{model}',
    { summary: 'Change the weights of a route, or the whole route', body: setBody },
    ({ model }, body) => ({ ask: 'set', model: modelOf(model), ...body }),
  ),
  post(
    '/admin/routes/{model}/revert',
    { summary: 'Take a change of a route back', body: revertBody },
    ({ model }, body) => ({ ask: 'revert', model: modelOf(model), ...body }),
  ),
  ...canaryVerbs.map((verb) =>
    post(
      `/admin/models/{model}/canary/${verb}`,
      { summary: canarySummary[verb], body: reasonBody },
      ({ model }, body) => ({ ask: 'steer', model: modelOf(model), verb, ...body }),
    ),
  ),
];
