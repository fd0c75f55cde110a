/**
 * What an operator may ask of the control port beside the V2 calls: a closed union, and the URL table that leads to it.
 *
 * A new operation is a member of the union and a row of `operationRows`; the check of roles and the OpenAPI document follow
 * from the row.
 *
 * Must not know sockets or what is done with an operation.
 */
import { z } from 'zod';
import { invalid } from '../core/errors.js';
import { isLabel, isVersionText } from '../core/model.js';
import type { Role } from './auth.js';
import { checked, modelOf, versionOf } from './checked.js';
import { type DriftQuestion, driftQuery, driftQuestion } from './drift-operations.js';
import { type LogQuestion, logRows } from './log-operations.js';
import { type Monitoring, monitoringRows } from './monitoring-operations.js';
import { type Routing, routingRows } from './route-operations.js';
import { namesIn, type QueryParameter, type Row } from './row.js';
import { type Triggering, triggerRows } from './trigger-operations.js';

export type Operation =
  | { readonly operation: 'show'; readonly model: string }
  | { readonly operation: 'version'; readonly model: string; readonly version: string }
  | { readonly operation: 'history'; readonly model: string }
  /** @param reason why, for the audit log */
  | { readonly operation: 'load' | 'unload'; readonly model: string; readonly reason?: string | undefined }
  | {
      readonly operation: 'promote';
      readonly model: string;
      readonly version: string;
      readonly label: string;
      readonly prepare: boolean;
      readonly allowBreaking: boolean;
      readonly reason?: string | undefined;
    }
  | { readonly operation: 'release'; readonly model: string; readonly label: string }
  | { readonly operation: 'rollback'; readonly model: string; readonly reason: string }
  | { readonly operation: 'pin' | 'unpin' | 'forgive'; readonly model: string; readonly version: string }
  | {
      readonly operation: 'approve';
      readonly model: string;
      readonly version: string;
      readonly reason: string;
      /** That it answers by default, that its inputs or outputs differ then, or that a route gives it a share. */
      readonly action: 'champion' | 'breaking' | 'canary';
      /** Passes over the others who would have to agree. */
      readonly breakGlass: boolean;
    }
  | { readonly operation: 'gc'; readonly graceMs: number }
  | { readonly operation: 'sources' | 'shadows' }
  | {
      readonly operation: 'poll';
      readonly source: string;
      /** What its index says next is believed, although it said newer things before. */
      readonly acceptOlder: boolean;
    }
  | { readonly operation: 'audit'; readonly last: number }
  /** @param file a configuration file to plan with instead of the one in force */
  | { readonly operation: 'plan'; readonly file?: { readonly name: string; readonly text: string } }
  | { readonly operation: 'apply' }
  /** Of routes, canaries and experiments. */
  | { readonly operation: 'routing'; readonly asked: Routing }
  | { readonly operation: 'triggers'; readonly asked: Triggering }
  | { readonly operation: 'log'; readonly asked: LogQuestion }
  | { readonly operation: 'monitoring'; readonly asked: Monitoring }
  | ({ readonly operation: 'drift'; readonly model: string } & DriftQuestion)
  | { readonly operation: 'quality' | 'columns'; readonly model: string };

const version = z
  .preprocess(
    (value) => (typeof value === 'number' ? String(value) : value),
    z.string().refine(isVersionText, 'expected a version number'),
  )
  .meta({ type: ['string', 'integer'], description: 'A version number' });
const label = z.string().refine(isLabel, 'expected a label: a letter, then letters, digits, _ or -');
const reason = z.string().max(1000).default('');

const versionSummary = {
  pin: 'Keep a version in the store and open',
  unpin: 'Let a pinned version go again',
  forgive: 'Lift the quarantine of a version',
} as const;

const nothing = z.strictObject({});
const reasonBody = z.strictObject({ reason: z.string().max(1000).optional() });
const versionBody = z.strictObject({ version });
const labelBody = z.strictObject({ label: label.default('champion') });
const promoteBody = z.strictObject({
  version,
  label: label.default('champion'),
  prepare: z.boolean().default(false),
  allow_breaking: z.boolean().default(false),
  reason: z.string().max(1000).optional(),
});
const approveBody = z
  .strictObject({
    version,
    reason,
    breaking: z.boolean().default(false),
    canary: z.boolean().default(false),
    break_glass: z.boolean().default(false),
  })
  .refine(({ breaking, canary }) => !(breaking && canary), 'expected breaking or canary, each is approved by itself');
const pollBody = z.strictObject({ accept_older: z.boolean().default(false) });
const gcBody = z.strictObject({ grace_ms: z.int().min(0).max(86_400_000).default(3_600_000) });
const planBody = z.strictObject({ name: z.string().min(1).max(1000), text: z.string().max(1 << 20) });

type Names = Readonly<Record<string, string>>;

interface OperationRow extends Row {
  /** @throws INVALID_ARGUMENT, NOT_FOUND */
  readonly read: (names: Names, query: URLSearchParams, body: unknown) => Operation;
}

interface Asking<Schema extends z.ZodType> {
  readonly role: Role;
  readonly summary: string;
  readonly body: Schema;
}

/** Looks at something. */
function get(
  path: string,
  { role = 'viewer', ...row }: { readonly role?: Role; readonly summary: string; readonly query?: QueryParameter[] },
  read: (names: Names, query: URLSearchParams) => Operation,
): OperationRow {
  return { method: 'GET', path, role, ...row, read };
}

/** Changes something. */
function post<Schema extends z.ZodType>(
  path: string,
  asking: Asking<Schema>,
  read: (names: Names, body: z.output<Schema>) => Operation,
): OperationRow {
  return { method: 'POST', path, ...asking, read: (names, _, body) => read(names, checked(asking.body, body)) };
}

const lastQuery: QueryParameter = {
  name: 'last',
  description: 'How many of the newest entries.',
  schema: { type: 'integer', minimum: 1, maximum: 10_000, default: 20 },
};

/** The URL table of operations. */
export const operationRows: readonly OperationRow[] = [
  get('/admin/sources', { summary: 'Where versions come from, and whether it answers' }, () => ({
    operation: 'sources',
  })),
  get('/admin/shadows', { summary: 'What shadows have found, with examples' }, () => ({ operation: 'shadows' })),
  get('/admin/audit', { summary: 'The newest entries of the audit log', query: [lastQuery] }, (_, query) => ({
    operation: 'audit',
    last: lastOf(query),
  })),
  // A plan shows values of options, and a token is one of them.
  get('/admin/plan', { role: 'admin', summary: 'What reading the configuration again would change' }, () => ({
    operation: 'plan',
  })),
  get('/admin/models/{model}', { summary: 'One model with all that is known of its versions' }, ({ model }) => ({
    operation: 'show',
    model: modelOf(model),
  })),
  get(
    '/admin/models/{model}/versions/{version}',
    { summary: 'All that is known of one version: content, manifest, trial, signature, stages, approvals' },
    ({ model, version: text }) => ({ operation: 'version', model: modelOf(model), version: versionOf(text) }),
  ),
  get(
    '/admin/models/{model}/quality',
    { summary: 'How right each version is, by the labels that came' },
    ({ model }) => ({ operation: 'quality', model: modelOf(model) }),
  ),
  get(
    '/admin/models/{model}/columns',
    { summary: 'Which column of the prediction log holds which element of which input' },
    ({ model }) => ({ operation: 'columns', model: modelOf(model) }),
  ),
  get(
    '/admin/models/{model}/drift',
    { summary: 'How live inputs and outputs differ from the profile of each version', query: driftQuery },
    ({ model }, query) => ({ operation: 'drift', model: modelOf(model), ...driftQuestion(query) }),
  ),
  get('/admin/models/{model}/history', { summary: 'Which version answered when' }, ({ model }) => ({
    operation: 'history',
    model: modelOf(model),
  })),
  post(
    '/admin/plan',
    { role: 'admin', summary: 'What this configuration file would change', body: planBody },
    (_, file) => ({ operation: 'plan', file }),
  ),
  post(
    '/admin/apply',
    { role: 'admin', summary: 'Read the configuration again and make it so', body: nothing },
    () => ({ operation: 'apply' }),
  ),
  post(
    '/admin/gc',
    { role: 'admin', summary: 'Remove what nobody uses from the store', body: gcBody },
    (_, { grace_ms: graceMs }) => ({ operation: 'gc', graceMs }),
  ),
  post(
    '/admin/sources/{source}/poll',
    {
      role: 'operator',
      summary: 'Look at a source now, on request also at an index older than before',
      body: pollBody,
    },
    ({ source = '' }, { accept_older: acceptOlder }) => ({ operation: 'poll', source, acceptOlder }),
  ),
  post(
    '/admin/models/{model}/load',
    { role: 'operator', summary: 'Load a model, or load it again', body: reasonBody },
    ({ model }, body) => ({ operation: 'load', model: modelOf(model), ...body }),
  ),
  post(
    '/admin/models/{model}/unload',
    { role: 'operator', summary: 'Stop serving a model', body: reasonBody },
    ({ model }, body) => ({ operation: 'unload', model: modelOf(model), ...body }),
  ),
  post(
    '/admin/models/{model}/promote',
    {
      role: 'operator',
      summary: 'Have a label, by default the one that answers, lead to a version',
      body: promoteBody,
    },
    ({ model }, { allow_breaking: allowBreaking, ...rest }) => ({
      operation: 'promote',
      model: modelOf(model),
      allowBreaking,
      ...rest,
    }),
  ),
  post(
    '/admin/models/{model}/release',
    { role: 'operator', summary: 'Let a label follow its source again', body: labelBody },
    ({ model }, body) => ({ operation: 'release', model: modelOf(model), ...body }),
  ),
  post(
    '/admin/models/{model}/rollback',
    { role: 'operator', summary: 'Return to the version before', body: z.strictObject({ reason }) },
    ({ model }, body) => ({ operation: 'rollback', model: modelOf(model), ...body }),
  ),
  post(
    '/admin/models/{model}/approve',
    {
      role: 'operator',
      summary: 'Agree that a version may answer by default, or get a share of a route',
      body: approveBody,
    },
    ({ model }, { break_glass: breakGlass, breaking, canary, ...rest }) => ({
      operation: 'approve',
      model: modelOf(model),
      breakGlass,
      action: breaking ? 'breaking' : canary ? 'canary' : 'champion',
      ...rest,
    }),
  ),
  ...(['pin', 'unpin', 'forgive'] as const).map((operation) =>
    post(
      `/admin/models/{model}/${operation}`,
      { role: 'operator', summary: versionSummary[operation], body: versionBody },
      ({ model }, body) => ({ operation, model: modelOf(model), ...body }),
    ),
  ),
  ...logRows.map(
    (row): OperationRow => ({
      ...row,
      read: (names, query, body) => ({ operation: 'log', asked: row.read(names, query, body) }),
    }),
  ),
  ...monitoringRows.map(
    (row): OperationRow => ({
      ...row,
      read: (names, query, body) => ({ operation: 'monitoring', asked: row.read(names, query, body) }),
    }),
  ),
  ...triggerRows.map(
    ({ read, ...row }): OperationRow => ({
      ...row,
      read: (names, _, body) => ({ operation: 'triggers', asked: read(names, body) }),
    }),
  ),
  ...routingRows.map(
    ({ read, ...row }): OperationRow => ({
      ...row,
      read: (names, _, body) => ({ operation: 'routing', asked: read(names, body) }),
    }),
  ),
];

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
  for (const row of operationRows) {
    const names = row.method === method ? namesIn(row.path, ['admin', ...segments]) : undefined;
    if (names !== undefined) return row.read(names, query, body);
  }
  return undefined;
}

function lastOf(query: URLSearchParams): number {
  const text = query.get('last') ?? '20';
  const last = Number(text);
  if (!Number.isInteger(last) || last < 1 || last > 10_000)
    throw invalid(`expected last to be 1 to 10000, got '${text.slice(0, 20)}'`);
  return last;
}
