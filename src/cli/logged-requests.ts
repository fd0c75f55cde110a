/**
 * Requests of the prediction log, newest first, as they are asked for page by page from the control port.
 *
 *   SQL, one page after the other ─▶ rows, one for each item ─▶ rows of one request together ─▶ LoggedRequest
 *
 * Only what answered callers is asked for: no copies of shadows, and nothing that a replay sent itself.
 *
 * Must not know what is done with them.
 */
import type { LoggedColumn } from '../control/logged-columns.js';
import type { ColumnsByVersion } from '../control/logged-inputs.js';
import { type LoggedRequest, loggedRequestOf } from '../control/logged-request.js';
import { type Gateway, questionTo } from './control-port.js';
import { Exit } from './exit.js';
import type { LoggedRow } from './logged-row.js';

/** Ids of requests that a replay sends begin so. */
export const replayPrefix = 'replay-';

/** Which requests. */
export interface Stretch {
  readonly model: string;
  /** Milliseconds since the epoch. */
  readonly fromMs: number;
  /** Only what this version answered. */
  readonly version?: string | undefined;
}

interface Answer {
  readonly columns: readonly { readonly name: string }[];
  readonly rows: readonly (readonly unknown[])[];
}

const rowsPerPage = 2000;
const timeoutMs = 600_000;

/** The place of a row in the log: of one request all but the last are the same. */
const place = ['epoch_us(ts)', 'gateway_id', 'incarnation', 'seq', 'item_index'];

async function query(gateway: Gateway, sql: string): Promise<LoggedRow[]> {
  const { columns, rows } = (await questionTo(gateway, 'log/query', { sql }, timeoutMs)) as Answer;
  return rows.map((row) => Object.fromEntries(columns.map(({ name }, at) => [name, row[at]])));
}

const answered = `role IN ('primary', 'fallback') AND NOT starts_with(request_id, '${replayPrefix}')`;

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function since(fromMs: number): string {
  return `ts >= TIMESTAMP '${new Date(fromMs).toISOString().slice(0, 23).replace('T', ' ')}'`;
}

/** Models with requests in that time. */
export async function loggedModels(gateway: Gateway, fromMs: number): Promise<string[]> {
  const sql = `SELECT DISTINCT model FROM predictions WHERE ${answered} AND ${since(fromMs)} ORDER BY model LIMIT 100`;
  return (await query(gateway, sql)).map(({ model }) => String(model));
}

export async function* loggedRequests(gateway: Gateway, stretch: Stretch): AsyncGenerator<LoggedRequest, void> {
  let group: LoggedRow[] = [];
  for await (const row of rowsOf(gateway, stretch)) {
    if (group.length > 0 && keyOf(row) !== keyOf(group[0]!)) {
      yield loggedRequestOf(group.toReversed());
      group = [];
    }
    group.push(row);
  }
  if (group.length > 0) yield loggedRequestOf(group.toReversed());
}

async function* rowsOf(gateway: Gateway, { model, fromMs, version }: Stretch): AsyncGenerator<LoggedRow, void> {
  const conditions = [`model = ${quoted(model)}`, answered, since(fromMs)];
  if (version !== undefined) conditions.push(`version = ${quoted(version)}`);
  for (let before = ''; ; ) {
    const rows = await query(
      gateway,
      `SELECT epoch_us(ts) AS at_us, * FROM predictions WHERE ${conditions.join(' AND ')}${before}
       ORDER BY ${place.map((column) => `${column} DESC`).join(', ')} LIMIT ${rowsPerPage}`,
    );
    if (rows.length === 0) return;
    yield* rows;
    // A page may be shorter than it was asked to be: answers are bounded in bytes, too.
    const { at_us, gateway_id, incarnation, seq, item_index } = rows.at(-1)!;
    before = ` AND (${place.join(', ')}) < (${Number(at_us)}, ${quoted(String(gateway_id))}, ${Number(incarnation)}, ${Number(seq)}, ${Number(item_index)})`;
  }
}

function keyOf({ at_us, gateway_id, incarnation, seq }: LoggedRow): string {
  return `${String(at_us)} ${String(gateway_id)} ${String(incarnation)} ${String(seq)}`;
}

/** @throws Exit 1 when the gateway does not know the model */
export async function loggedColumns(gateway: Gateway, model: string): Promise<ColumnsByVersion> {
  const answer = await questionTo(gateway, `models/${encodeURIComponent(model)}/columns`);
  const { versions } = answer as { versions?: { version: string; columns: LoggedColumn[] }[] };
  if (!Array.isArray(versions)) throw new Exit(1, 'the control port is of another release: it names no columns');
  return new Map(versions.map(({ version, columns }) => [version, columns]));
}
