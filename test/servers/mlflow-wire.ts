/**
 * The bodies of the fake MLflow: unset fields left out, int64 as numbers, pages by an offset in base64.
 *
 * Must not know routes.
 */
import { invalidParameter, type Model, type Registry, type Version } from './mlflow-registry.js';

export type Json = Readonly<Record<string, unknown>>;

/** Lists that are empty are left out, as protobuf does. */
function filled(object: Readonly<Record<string, unknown>>): Json {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0)),
  );
}

const pairs = (map: ReadonlyMap<string, string>) => [...map].map(([key, value]) => ({ key, value }));

const metricsOf = (metrics: Readonly<Record<string, number>>, at: number) =>
  Object.entries(metrics).map(([key, value]) => ({ key, value, timestamp: at, step: 0 }));

/** @param aliases of the version; undefined in answers that never have them */
export function versionOf(version: Version, aliases: readonly string[] | undefined): Json {
  return filled({
    name: version.name,
    version: version.version,
    creation_timestamp: version.created,
    last_updated_timestamp: version.updated,
    current_stage: version.stage,
    description: version.description,
    source: version.source,
    run_id: version.runId,
    status: version.status,
    status_message: version.statusMessage === '' ? undefined : version.statusMessage,
    tags: pairs(version.tags),
    run_link: '',
    aliases,
    model_id: version.modelId === '' ? undefined : version.modelId,
    model_metrics: metricsOf(version.metrics, version.created),
  });
}

export function fullVersionOf(registry: Registry, version: Version): Json {
  const aliases = [...registry.model(version.name).aliases].filter(([, number]) => number === version.version);
  return versionOf(
    version,
    aliases.map(([alias]) => alias),
  );
}

export function modelOf(registry: Registry, model: Model): Json {
  return filled({
    name: model.name,
    creation_timestamp: model.created,
    last_updated_timestamp: model.updated,
    description: model.description === '' ? undefined : model.description,
    latest_versions: registry.latest(model).map((version) => versionOf(version, undefined)),
    tags: pairs(model.tags),
    aliases: [...model.aliases].map(([alias, version]) => ({ alias, version })),
  });
}

export interface Search {
  readonly query: URLSearchParams;
  readonly maxResultsDefault: number;
  readonly maxResultsMax: number;
}

/** One page of a search, under the name that its list has in the answer. */
export function pageOf<T>(items: readonly T[], name: string, one: (item: T) => Json, search: Search): Json {
  const { query, maxResultsDefault, maxResultsMax } = search;
  const size = Number(query.get('max_results') ?? maxResultsDefault);
  if (!Number.isInteger(size) || size < 1 || size > maxResultsMax) {
    throw invalidParameter(`Invalid value for max_results. It must be a positive integer at most ${maxResultsMax}.`);
  }
  const from = offsetOf(query.get('page_token'));
  const next = from + size < items.length ? tokenOf(from + size) : undefined;
  return filled({ [name]: items.slice(from, from + size).map(one), next_page_token: next });
}

export function tokenOf(offset: number): string {
  return Buffer.from(`{"offset": ${offset}}`).toString('base64');
}

function offsetOf(token: string | null): number {
  if (token === null || token === '') return 0;
  const match = /^\{"offset": (\d+)\}$/.exec(Buffer.from(token, 'base64').toString());
  if (match === null) throw invalidParameter('Invalid page token, could not base64-decode');
  return Number(match[1]);
}

/** `name='x'` and `name = 'x'` only. */
export function nameFilterOf(filter: string | null): string | undefined {
  if (filter === null || filter === '') return undefined;
  const match = /^\s*name\s*=\s*(['"])(.*)\1\s*$/.exec(filter);
  if (match === null) throw invalidParameter(`Invalid filter '${filter}'`);
  return match[2];
}

type Ordered = { readonly name: string; readonly created: number; readonly updated: number; readonly version?: string };

const attributes: Readonly<Record<string, (item: Ordered) => number | string>> = {
  name: ({ name }) => name,
  version_number: ({ version }) => Number(version),
  creation_timestamp: ({ created }) => created,
  last_updated_timestamp: ({ updated }) => updated,
};

/** Without an order: last updated first. */
export function ordered<T extends Ordered>(items: readonly T[], orderBy: string | null): T[] {
  const [name = '', direction = 'ASC'] = (orderBy ?? 'last_updated_timestamp DESC').split(' ');
  const key = attributes[name];
  if (key === undefined) throw invalidParameter(`Invalid order_by entity '${orderBy}'`);
  const sign = direction === 'DESC' ? -1 : 1;
  return [...items].sort((a, b) => (key(a) < key(b) ? -sign : key(a) > key(b) ? sign : 0));
}

export function runOf(
  id: string,
  run: { readonly artifactUri: string; readonly metrics: Readonly<Record<string, number>> },
) {
  const info = { run_id: id, status: 'FINISHED', artifact_uri: run.artifactUri, lifecycle_stage: 'active' };
  return { run: { info, data: filled({ metrics: metricsOf(run.metrics, 1) }) } };
}
