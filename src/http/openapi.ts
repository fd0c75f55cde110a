/**
 * The description of the HTTP interface: an OpenAPI document of the server, one of each model with its real tensors, and a
 * page that lists the operations.
 *
 * Must not know how a request is answered.
 */
import type { ModelMetadata, ServerMetadata } from '../core/inference.js';

interface Operation {
  readonly method: 'get' | 'post';
  readonly path: string;
  readonly summary: string;
}

const operations: readonly Operation[] = [
  { method: 'get', path: '/v2/health/live', summary: 'Is the process alive' },
  { method: 'get', path: '/v2/health/ready', summary: 'Is the server ready' },
  { method: 'get', path: '/livez', summary: 'Is the process alive, as Kubernetes asks' },
  { method: 'get', path: '/readyz', summary: 'Is the server ready, as Kubernetes asks' },
  { method: 'get', path: '/openapi.json', summary: 'This document' },
  { method: 'get', path: '/v2/docs', summary: 'A page that lists these operations' },
  { method: 'get', path: '/v2', summary: 'Server metadata' },
  { method: 'get', path: '/v2/models', summary: 'Models that are ready' },
  { method: 'get', path: '/v2/models/{model}', summary: 'Model metadata' },
  { method: 'get', path: '/v2/models/{model}/ready', summary: 'Is the model ready' },
  { method: 'get', path: '/v2/models/{model}/config', summary: 'Model configuration' },
  { method: 'get', path: '/v2/models/{model}/stats', summary: 'Statistics of a model' },
  { method: 'post', path: '/v2/models/{model}/infer', summary: 'Inference' },
  { method: 'post', path: '/v2/models/{model}/versions/{version}/infer', summary: 'Inference by a version' },
  {
    method: 'post',
    path: '/v2/models/{model}/labels/{label}/infer',
    summary: 'Inference by the version behind a label',
  },
  { method: 'get', path: '/v2/models/{model}/openapi.json', summary: 'Description of a model, with its tensors' },
  { method: 'post', path: '/v2/models/{model}/feedback', summary: 'What predictions should have been' },
  { method: 'get', path: '/v2/models/{model}/trace/setting', summary: 'Trace settings of a model' },
  { method: 'post', path: '/v2/models/{model}/trace/setting', summary: 'Change the trace settings of a model' },
  { method: 'get', path: '/v2/models/stats', summary: 'Statistics of all models' },
  { method: 'get', path: '/v2/trace/setting', summary: 'Trace settings' },
  { method: 'post', path: '/v2/trace/setting', summary: 'Change the trace settings' },
  { method: 'get', path: '/v2/logging', summary: 'Log settings' },
  { method: 'post', path: '/v2/logging', summary: 'Change the log settings' },
  { method: 'post', path: '/v2/repository/index', summary: 'What the repository holds' },
  { method: 'post', path: '/v2/repository/models/{model}/load', summary: 'Load a model' },
  { method: 'post', path: '/v2/repository/models/{model}/unload', summary: 'Unload a model' },
];

/** The server's document. */
export function serverDocument(server: ServerMetadata): object {
  return documentOf(server, `${server.name}: Open Inference Protocol, version 2`, operations, requestSchema(undefined));
}

/** A model's document: the paths are its own and the schema names its tensors. */
export function modelDocument(server: ServerMetadata, model: ModelMetadata): object {
  const own = operations
    .filter(({ path }) => path.startsWith('/v2/models/{model}'))
    .map((operation) => ({ ...operation, path: operation.path.replace('{model}', model.name) }));
  return documentOf(server, `Model ${model.name}`, own, requestSchema(model));
}

function documentOf(server: ServerMetadata, title: string, listed: readonly Operation[], request: object): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const { method, path, summary } of listed) {
    const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!);
    const parameters = names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));
    const content = { 'application/json': { schema: { $ref: '#/components/schemas/InferenceRequest' } } };
    const requestBody = path.endsWith('/infer') ? { required: true, content } : undefined;
    paths[path] ??= {};
    paths[path][method] = { summary, parameters, requestBody, responses: responses(path.endsWith('/infer')) };
  }
  return {
    openapi: '3.1.0',
    info: { title, version: server.version },
    paths,
    components: { schemas: { InferenceRequest: request, InferenceReply: replySchema, Error: errorSchema } },
  };
}

function responses(isInference: boolean): object {
  const json = (schema: object) => ({ 'application/json': { schema } });
  const reply = isInference ? { $ref: '#/components/schemas/InferenceReply' } : {};
  return {
    200: { description: 'OK', content: json(reply) },
    default: { description: 'Error', content: json({ $ref: '#/components/schemas/Error' }) },
  };
}

const errorSchema = { type: 'object', required: ['error'], properties: { error: { type: 'string' } } };

const replySchema = {
  type: 'object',
  required: ['model_name', 'model_version', 'outputs'],
  properties: {
    id: { type: 'string' },
    model_name: { type: 'string' },
    model_version: { type: 'string' },
    outputs: { type: 'array', items: tensorSchema({ type: 'string' }, { type: 'string' }, undefined) },
  },
};

function requestSchema(model: ModelMetadata | undefined): object {
  const any = tensorSchema({ type: 'string' }, { type: 'string' }, undefined);
  const known = model?.inputs.map(({ name, datatype, shape }) =>
    tensorSchema({ const: name }, { const: datatype }, shape),
  );
  const output = model === undefined ? { type: 'string' } : { enum: model.outputs.map(({ name }) => name) };
  return {
    type: 'object',
    required: ['inputs'],
    properties: {
      id: { type: 'string' },
      parameters: { type: 'object' },
      inputs: {
        type: 'array',
        items: known === undefined ? any : { oneOf: known },
        minItems: known?.length,
        maxItems: known?.length,
      },
      outputs: { type: 'array', items: { type: 'object', required: ['name'], properties: { name: output } } },
    },
  };
}

function tensorSchema(name: object, datatype: object, shape: readonly number[] | undefined): object {
  const dimensions = shape?.map((dimension) =>
    dimension === -1 ? { type: 'integer', minimum: 0 } : { const: dimension },
  );
  return {
    type: 'object',
    required: ['name', 'shape', 'datatype'],
    properties: {
      name,
      shape: {
        type: 'array',
        items: dimensions === undefined ? { type: 'integer' } : undefined,
        prefixItems: dimensions,
      },
      datatype,
      data: { type: 'array' },
    },
  };
}

/** A page without scripts or anything from elsewhere. */
export function docsPage(server: ServerMetadata, models: readonly string[]): string {
  const listed = operations
    .map(
      ({ method, path, summary }) =>
        `<tr><td>${method.toUpperCase()}</td><td><code>${path}</code></td><td>${summary}</td></tr>`,
    )
    .join('\n');
  const links = models
    .map((name) => `<li><a href="/v2/models/${encodeURIComponent(name)}/openapi.json">${escaped(name)}</a></li>`)
    .join('\n');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(server.name)}</title>
<style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}td{padding:.2em 1em .2em 0}</style></head>
<body><h1>${escaped(server.name)} ${escaped(server.version)}</h1>
<p>Open Inference Protocol, version 2. Machine-readable: <a href="/openapi.json">openapi.json</a>.</p>
<table>
${listed}
</table>
<h2>Models</h2>
<ul>
${links}
</ul></body></html>
`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
