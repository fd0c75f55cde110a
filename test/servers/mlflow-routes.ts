/**
 * The REST calls of the fake MLflow, below /api/2.0/mlflow: a table from method and path to what the registry says.
 *
 * Must not know sockets, artifacts or faults.
 */
import { Fault, invalidParameter, type Registry } from './mlflow-registry.js';
import { fullVersionOf, type Json, modelOf, nameFilterOf, ordered, pageOf, runOf, versionOf } from './mlflow-wire.js';

/** What happened, as webhooks name it. */
export interface Happening {
  readonly entity: string;
  readonly action: string;
  readonly data: Json;
}

export interface Call {
  /** Query of a GET, body of anything else. */
  readonly text: (name: string) => string;
  readonly optional: (name: string) => string | undefined;
  readonly query: URLSearchParams;
  readonly body: Json;
  readonly happened: (happening: Happening) => void;
}

type Route = (registry: Registry, call: Call) => Json;

const tagsOf = (call: Call): Record<string, string> => {
  const tags = (call.body.tags ?? []) as readonly { readonly key: string; readonly value: string }[];
  return Object.fromEntries(tags.map(({ key, value }) => [key, value]));
};

const withVersion = (registry: Registry, name: string, version: string): Json => ({
  model_version: fullVersionOf(registry, registry.version(name, version)),
});

const latestVersions: Route = (registry, { text, query, body }) => {
  const stages = query.has('stages') ? query.getAll('stages') : ((body.stages ?? []) as string[]);
  const versions = registry
    .latest(registry.model(text('name')), stages)
    .map((version) => versionOf(version, undefined));
  return versions.length === 0 ? {} : { model_versions: versions };
};

export const routes: Readonly<Record<string, Route>> = {
  'GET registered-models/get': (registry, { text }) => ({
    registered_model: modelOf(registry, registry.model(text('name'))),
  }),
  'GET registered-models/search': (registry, { query }) => {
    const name = nameFilterOf(query.get('filter'));
    const models = [...registry.models.values()].filter((model) => name === undefined || model.name === name);
    const search = { query, maxResultsDefault: 100, maxResultsMax: 1000 };
    const sorted = ordered(models, query.get('order_by'));
    return pageOf(sorted, 'registered_models', (model) => modelOf(registry, model), search);
  },
  'GET registered-models/alias': (registry, { text }) => {
    const { name, version } = registry.byAlias(text('name'), text('alias'));
    return withVersion(registry, name, version);
  },
  'GET model-versions/get': (registry, { text }) => withVersion(registry, text('name'), text('version')),
  'GET model-versions/search': (registry, { query }) => {
    const name = nameFilterOf(query.get('filter'));
    const versions = [...registry.models.values()].flatMap((model) => [...model.versions.values()]);
    const wanted = versions.filter((version) => name === undefined || version.name === name);
    const search = { query, maxResultsDefault: 200_000, maxResultsMax: 200_000 };
    const sorted = ordered(wanted, query.get('order_by'));
    return pageOf(sorted, 'model_versions', (version) => versionOf(version, undefined), search);
  },
  'GET model-versions/get-download-uri': (registry, { text }) => {
    const version = registry.version(text('name'), text('version'));
    return { artifact_uri: version.location === '' ? version.source : version.location };
  },
  'GET registered-models/get-latest-versions': latestVersions,
  'POST registered-models/get-latest-versions': latestVersions,
  'GET runs/get': (registry, { text }) => {
    const id = text('run_id');
    const run = registry.runs.get(id);
    if (run === undefined) throw new Fault(404, 'RESOURCE_DOES_NOT_EXIST', `Run with id=${id} not found`);
    return runOf(id, run);
  },
  'POST registered-models/create': (registry, { text, optional, happened }) => {
    const model = registry.createModel(text('name'), optional('description'));
    happened({ entity: 'registered_model', action: 'created', data: { name: model.name } });
    return { registered_model: modelOf(registry, model) };
  },
  'DELETE registered-models/delete': (registry, { text }) => {
    registry.deleteModel(text('name'));
    return {};
  },
  'POST model-versions/create': (registry, call) => {
    const { text, optional, happened } = call;
    const [runId, description] = [optional('run_id'), optional('description')];
    const version = registry.createVersion(text('name'), {
      source: text('source'),
      runId,
      description,
      tags: tagsOf(call),
    });
    const data = { name: version.name, version: version.version, source: version.source };
    happened({ entity: 'model_version', action: 'created', data });
    return withVersion(registry, version.name, version.version);
  },
  'DELETE model-versions/delete': (registry, { text }) => {
    registry.deleteVersion(text('name'), text('version'));
    return {};
  },
  'POST model-versions/transition-stage': (registry, { text }) => {
    const { name, version } = registry.transition(text('name'), text('version'), text('stage'));
    return withVersion(registry, name, version);
  },
  'POST model-versions/set-tag': (registry, { text, happened }) => {
    const [name, version, key, value] = [text('name'), text('version'), text('key'), text('value')];
    registry.version(name, version).tags.set(key, value);
    happened({ entity: 'model_version_tag', action: 'set', data: { name, version, key, value } });
    return {};
  },
  'DELETE model-versions/delete-tag': (registry, { text, happened }) => {
    const [name, version, key] = [text('name'), text('version'), text('key')];
    registry.version(name, version).tags.delete(key);
    happened({ entity: 'model_version_tag', action: 'deleted', data: { name, version, key } });
    return {};
  },
  'POST registered-models/alias': (registry, { text, happened }) => {
    const [name, alias, version] = [text('name'), text('alias'), text('version')];
    registry.setAlias(name, alias, version);
    happened({ entity: 'model_version_alias', action: 'created', data: { name, alias, version } });
    return {};
  },
  'DELETE registered-models/alias': (registry, { text, happened }) => {
    const [name, alias] = [text('name'), text('alias')];
    registry.deleteAlias(name, alias);
    happened({ entity: 'model_version_alias', action: 'deleted', data: { name, alias } });
    return {};
  },
};

export function callOf(query: URLSearchParams, body: Json, happened: Call['happened']): Call {
  const optional = (name: string) => query.get(name) ?? (body[name] as string | undefined);
  const text = (name: string) => {
    const value = optional(name);
    if (value !== undefined && value !== '') return value;
    throw invalidParameter(
      `Missing value for required parameter '${name}'. See the API docs for more information about request parameters.`,
    );
  };
  return { text, optional, query, body, happened };
}
