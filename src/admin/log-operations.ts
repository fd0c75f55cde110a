/**
 * What may be asked of the prediction log: a closed union, and the URL table that leads to it.
 *
 * Must not know how it is answered.
 */
import { z } from 'zod';
import { invalid } from '../core/errors.js';
import { checked, requestIdOf } from './checked.js';
import type { QueryParameter, Row } from './row.js';

export type LogQuestion =
  | { readonly ask: 'query'; readonly sql: string }
  | { readonly ask: 'tail'; readonly last: number; readonly model: string | undefined }
  | { readonly ask: 'request'; readonly id: string };

const queryBody = z.strictObject({ sql: z.string().min(1).max(65_536) });

const tailQuery: readonly QueryParameter[] = [
  {
    name: 'last',
    description: 'How many of the newest rows.',
    schema: { type: 'integer', minimum: 1, maximum: 10_000, default: 20 },
  },
  { name: 'model', description: 'Only rows of this model.', schema: { type: 'string' } },
];

export interface LogRow extends Row {
  /** @throws INVALID_ARGUMENT */
  readonly read: (names: Readonly<Record<string, string>>, query: URLSearchParams, body: unknown) => LogQuestion;
}

/** Rows hold what callers sent, so a viewer of states must not read them. */
export const logRows: readonly LogRow[] = [
  {
    method: 'POST',
    path: '/admin/log/query',
    role: 'operator',
    summary: 'Ask the prediction log in SQL; it can only be read',
    body: queryBody,
    read: (_, __, body) => ({ ask: 'query', ...checked(queryBody, body) }),
  },
  {
    method: 'GET',
    path: '/admin/log/tail',
    role: 'operator',
    summary: 'The newest rows of the prediction log',
    query: tailQuery,
    read: (_, query) => ({ ask: 'tail', last: lastOf(query), model: query.get('model') ?? undefined }),
  },
  {
    method: 'GET',
    path: '/admin/requests/{request}',
    role: 'operator',
    summary: 'Everything that is logged of one request',
    read: ({ request }) => ({ ask: 'request', id: requestIdOf(request) }),
  },
];

function lastOf(query: URLSearchParams): number {
  const last = Number(query.get('last') ?? '20');
  if (Number.isInteger(last) && last >= 1 && last <= 10_000) return last;
  throw invalid(`expected last to be 1 to 10000, got '${query.get('last')!.slice(0, 20)}'`);
}
