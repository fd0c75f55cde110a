/**
 * The description of the control port as an OpenAPI 3.1 document, made from the URL table and the very schemas that check
 * bodies.
 *
 * Must not know how a request is answered.
 */
import { z } from 'zod';
import { answerSchemas } from './answer-schemas.js';
import type { QueryParameter, Row } from './row.js';

type Json = Readonly<Record<string, unknown>>;

/** @param version of the package */
export function openApiDocument(rows: readonly Row[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const row of rows) {
    paths[row.path] ??= {};
    paths[row.path]![row.method.toLowerCase()] = operationOf(row);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sluice: control port',
      version,
      description:
        'Roles contain each other: viewer looks, operator changes what is served, admin changes configuration and store. Where no token is configured, whoever reaches the port is an admin.',
    },
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: answerSchemas,
      responses: {
        Refused: { description: 'What was wrong', content: jsonOf({ $ref: '#/components/schemas/Error' }) },
      },
    },
  };
}

function operationOf(row: Row): Json {
  const { path, role, summary, body, query = [] } = row;
  const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!);
  return {
    operationId: idOf(row),
    summary,
    tags: [tagOf(path)],
    security: role === 'open' ? [] : [{ token: [role] }],
    ...(role === 'open' ? {} : { description: `Needs the role ${role}.` }),
    parameters: [...names.map(pathParameter), ...query.map(queryParameter)],
    ...(body === undefined ? {} : { requestBody: requestBody(body) }),
    responses: { ...success(row), default: { $ref: '#/components/responses/Refused' } },
  };
}

/** `postAdminModelsModelPromote`: unique because method and path are. */
function idOf({ method, path }: Row): string {
  const words = path.split(/[^A-Za-z0-9]+/).filter((word) => word !== '');
  return `${method.toLowerCase()}${words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('')}`;
}

function tagOf(path: string): string {
  if (path === '/' || path.startsWith('/console/')) return 'console';
  if (path.startsWith('/admin/')) return 'admin';
  if (path.startsWith('/hooks/')) return 'hooks';
  return path.startsWith('/v2/') && !path.startsWith('/v2/health/') ? 'protocol' : 'monitoring';
}

function pathParameter(name: string): Json {
  return { name, in: 'path', required: true, schema: { type: 'string' } };
}

function queryParameter({ name, description, schema }: QueryParameter): Json {
  return { name, in: 'query', required: false, description, schema };
}

function requestBody(body: z.ZodType): Json {
  const { $schema: _, ...schema } = z.toJSONSchema(body, { io: 'input', unrepresentable: 'any' });
  return { required: Array.isArray(schema.required) && schema.required.length > 0, content: jsonOf(schema) };
}

function success({ path, contentType }: Row): Json {
  if (path.startsWith('/hooks/')) return { 202: { description: 'Heard', content: jsonOf({ type: 'object' }) } };
  if (contentType !== undefined) {
    const plain = contentType.split(';')[0]!;
    return { 200: { description: 'OK', content: { [plain]: { schema: { type: 'string' } } } } };
  }
  const name = schemaNameOf(path);
  const schema = name === undefined ? { type: 'object' } : { $ref: `#/components/schemas/${name}` };
  return { 200: { description: 'OK', content: jsonOf(schema) } };
}

const schemaNames: Readonly<Record<string, keyof typeof answerSchemas>> = {
  '/admin/me': 'Caller',
  '/admin/models': 'Models',
  '/admin/activity': 'Activity',
  '/admin/audit': 'AuditEntries',
  '/admin/sources': 'Sources',
  '/admin/models/{model}': 'Model',
  '/admin/models/{model}/versions/{version}': 'Version',
};

/** Every change of a model is answered with the model as it is then. */
function schemaNameOf(path: string): string | undefined {
  const isChange = /^\/admin\/models\/\{model\}\/(load|unload|promote|release|rollback|pin|unpin|forgive)$/.test(path);
  return isChange ? 'Model' : schemaNames[path];
}

function jsonOf(schema: Json): Json {
  return { 'application/json': { schema } };
}
