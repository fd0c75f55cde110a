/**
 * What an operator may ask of the control port beside the V2 calls: a closed union, read from path and body.
 *
 *   GET  /admin/models/{m}            show        POST /admin/models/{m}/load | unload
 *   GET  /admin/models/{m}/history    history     POST /admin/models/{m}/promote | release | rollback
 *   GET  /admin/sources               sources     POST /admin/models/{m}/pin | unpin | forgive
 *   GET  /admin/audit?last=20         audit       POST /admin/sources/{s}/poll    POST /admin/gc
 *   GET | POST /admin/plan            plan        POST /admin/apply
 *
 * Must not know sockets or what is done with an operation.
 */
import { z } from 'zod';
import { GatewayError, invalid } from '../core/errors.js';
import { isLabel, isModelName, isVersionText } from '../core/model.js';

export type Operation =
  | { readonly operation: 'show'; readonly model: string }
  | { readonly operation: 'history'; readonly model: string }
  | { readonly operation: 'load' | 'unload'; readonly model: string }
  | {
      readonly operation: 'promote';
      readonly model: string;
      readonly version: string;
      readonly label: string;
      readonly prepare: boolean;
      readonly allowBreaking: boolean;
    }
  | { readonly operation: 'release'; readonly model: string; readonly label: string }
  | { readonly operation: 'rollback'; readonly model: string; readonly reason: string }
  | { readonly operation: 'pin' | 'unpin' | 'forgive'; readonly model: string; readonly version: string }
  | { readonly operation: 'gc'; readonly graceMs: number }
  | { readonly operation: 'sources' }
  | { readonly operation: 'poll'; readonly source: string }
  | { readonly operation: 'audit'; readonly last: number }
  /** @param file a configuration file to plan with instead of the one in force */
  | { readonly operation: 'plan'; readonly file?: { readonly name: string; readonly text: string } }
  | { readonly operation: 'apply' };

const version = z.preprocess(
  (value) => (typeof value === 'number' ? String(value) : value),
  z.string().refine(isVersionText, 'expected a version number'),
);
const label = z.string().refine(isLabel, 'expected a label: a letter, then letters, digits, _ or -');
const reason = z.string().max(1000).default('');

const bodies = {
  load: z.strictObject({}),
  unload: z.strictObject({}),
  promote: z.strictObject({
    version,
    label: label.default('champion'),
    prepare: z.boolean().default(false),
    allow_breaking: z.boolean().default(false),
  }),
  release: z.strictObject({ label: label.default('champion') }),
  rollback: z.strictObject({ reason }),
  pin: z.strictObject({ version }),
  unpin: z.strictObject({ version }),
  forgive: z.strictObject({ version }),
} as const;

const gcBody = z.strictObject({ grace_ms: z.int().min(0).max(86_400_000).default(3_600_000) });
const nothing = z.strictObject({});
const planBody = z.strictObject({ name: z.string().min(1).max(1000), text: z.string().max(1 << 20) });

/**
 * @param segments decoded path segments after `/admin`
 * @param body parsed JSON, or undefined for an empty body
 * @returns undefined when the path is none of these
 * @throws INVALID_ARGUMENT; NOT_FOUND for a name that no model can have
 */
export function operationOf(
  method: string,
  segments: readonly string[],
  query: URLSearchParams,
  body: unknown,
): Operation | undefined {
  const [first, second, third] = segments;
  if (method === 'GET') {
    if (segments.length === 1 && first === 'sources') return { operation: 'sources' };
    if (segments.length === 1 && first === 'plan') return { operation: 'plan' };
    if (segments.length === 1 && first === 'audit') return { operation: 'audit', last: lastOf(query) };
    if (first !== 'models' || second === undefined) return undefined;
    if (segments.length === 2) return { operation: 'show', model: modelOf(second) };
    if (segments.length === 3 && third === 'history') return { operation: 'history', model: modelOf(second) };
    return undefined;
  }
  if (segments.length === 1 && first === 'apply') {
    read(nothing, body);
    return { operation: 'apply' };
  }
  if (segments.length === 1 && first === 'plan') return { operation: 'plan', file: read(planBody, body) };
  if (segments.length === 1 && first === 'gc') return { operation: 'gc', graceMs: read(gcBody, body).grace_ms };
  if (segments.length === 3 && first === 'sources' && third === 'poll') return { operation: 'poll', source: second! };
  if (segments.length !== 3 || first !== 'models') return undefined;
  return ofModel(modelOf(second!), third!, body);
}

function ofModel(model: string, verb: string, body: unknown): Operation | undefined {
  switch (verb) {
    case 'load':
    case 'unload':
      read(bodies[verb], body);
      return { operation: verb, model };
    case 'promote': {
      const { allow_breaking: allowBreaking, ...rest } = read(bodies.promote, body);
      return { operation: 'promote', model, allowBreaking, ...rest };
    }
    case 'release':
      return { operation: 'release', model, ...read(bodies.release, body) };
    case 'rollback':
      return { operation: 'rollback', model, ...read(bodies.rollback, body) };
    case 'pin':
    case 'unpin':
    case 'forgive':
      return { operation: verb, model, ...read(bodies[verb], body) };
    default:
      return undefined;
  }
}

function modelOf(name: string): string {
  if (isModelName(name)) return name;
  throw new GatewayError('NOT_FOUND', `Request for unknown model: '${name.slice(0, 128)}' is not found`);
}

function lastOf(query: URLSearchParams): number {
  const text = query.get('last') ?? '20';
  const last = Number(text);
  if (!Number.isInteger(last) || last < 1 || last > 10_000)
    throw invalid(`expected last to be 1 to 10000, got '${text.slice(0, 20)}'`);
  return last;
}

function read<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body ?? {});
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw invalid(`${issue.path.length === 0 ? 'body' : issue.path.join('.')}: ${issue.message}`);
}
