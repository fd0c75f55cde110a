/**
 * Questions about the log, answered in the analytics child: read-only, within the log, and within limits of time, rows and
 * bytes.
 *
 * The views are `predictions` and `labels`. They name the files of the span that was asked for, so that a question about an
 * hour does not open those of a year. Rows that are still in segments are seen by `explain` and `tail` only.
 *
 * Must not know who asks, or DuckDB's library.
 */
import { existsSync, renameSync, rmSync } from 'node:fs';
import { dirname, isAbsolute } from 'node:path';
import { GatewayError, invalid } from '../core/errors.js';
import { checkConfined } from './confinement.js';
import { type Answer, type Database, openConfined, quoted } from './database.js';
import type { ColumnsJob, ExplainJob, ExportJob, QueryJob, ReadJob, Results, RowPlace, TailJob } from './jobs.js';
import { labelFileColumns, labelsThatCount } from './label-parquet.js';
import { type Part, partsOf, type Span } from './partitions.js';
import { eventOf } from './record.js';
import { fixedColumns, type Row } from './rows.js';
import { type OpenedSegment, openSegment, segmentFiles, segmentRows } from './segment-reader.js';

const partsMax = 5000;
const sqlCharsMax = 65_536;
const viewNames = ['predictions', 'labels'];

function viewOver(
  parts: readonly Pick<Part, 'path'>[],
  columns: Readonly<Record<string, string>>,
  hours: string,
): string {
  const whole = { ...columns, date: 'DATE', model: 'VARCHAR' };
  const typed = Object.entries(whole).map(([name, type]) => `CAST(NULL AS ${type}) AS "${name}"`);
  const empty = `SELECT ${typed.join(', ')} WHERE false`;
  if (parts.length === 0) return empty;
  const files = parts.map(({ path }) => quoted(path)).join(', ');
  const types = `hive_types = {'model': VARCHAR, 'date': DATE${hours}}`;
  const found = `SELECT * FROM read_parquet([${files}], hive_partitioning = true, union_by_name = true, ${types})`;
  // Columns that all of these files were stripped of are still there, empty.
  return `${found} UNION ALL BY NAME ${empty}`;
}

const predictionColumns = {
  ...Object.fromEntries(fixedColumns.map(({ name, type }) => [name, type])),
  hour: 'VARCHAR',
};

async function openViews(root: string, span: Span, output?: string): Promise<Database> {
  const parts = partsOf(root, 'log', span);
  const labels = partsOf(root, 'labels', span);
  if (parts.length > partsMax || labels.length > partsMax) {
    throw invalid(`query: ${parts.length} files, at most ${partsMax} are read at once; name a model or a shorter time`);
  }
  return openConfined({
    directory: root,
    ...(output === undefined ? {} : { output }),
    views: {
      predictions: viewOver(parts, predictionColumns, ", 'hour': VARCHAR"),
      labels: labelsThatCount(viewOver(labels, labelFileColumns, '')),
    },
  });
}

/** @throws DEADLINE_EXCEEDED when it takes longer */
async function within<Result>(database: Database, timeoutMs: number, run: () => Promise<Result>): Promise<Result> {
  const timer = setTimeout(() => database.interrupt(), timeoutMs);
  try {
    return await run();
  } finally {
    clearTimeout(timer);
    database.close();
  }
}

async function check(database: Database, sql: string): Promise<void> {
  if (sql.length > sqlCharsMax) throw invalid(`query: longer than ${sqlCharsMax} characters`);
  const tree = await database.ask('SELECT json_serialize_sql($1::VARCHAR)', 1, [sql]);
  checkConfined(tree.rows[0]![0] as string, viewNames);
}

export async function query({ root, sql, span, rowsMax, bytesMax, timeoutMs }: QueryJob): Promise<Answer> {
  const database = await openViews(root, span);
  return within(database, timeoutMs, async () => {
    await check(database, sql);
    return cutTo(await database.ask(sql, rowsMax), bytesMax);
  });
}

function cutTo(answer: Answer, bytesMax: number): Answer {
  let bytes = 0;
  let count = 0;
  for (const row of answer.rows) {
    bytes += JSON.stringify(row).length;
    if (bytes > bytesMax) return { ...answer, rows: answer.rows.slice(0, count), isCut: true };
    count++;
  }
  return answer;
}

const sampleSeed = 7;

/** A file beside the log. Texts are not taken for numbers because the first thousand of them look like some. */
export async function columns({ path, format, rowsMax, timeoutMs }: ColumnsJob): Promise<Answer> {
  if (!isAbsolute(path)) throw invalid('columns: the file must be named by its whole path');
  const found = format === 'csv' ? `read_csv(${quoted(path)}, sample_size = -1)` : `read_parquet(${quoted(path)})`;
  const database = await openConfined({ directory: dirname(path), views: { source: `SELECT * FROM ${found}` } });
  const sample = `USING SAMPLE reservoir(${Math.trunc(rowsMax)} ROWS) REPEATABLE (${sampleSeed})`;
  return within(database, timeoutMs, () => database.ask(`SELECT * FROM source ${sample}`, rowsMax));
}

const formats = {
  csv: 'FORMAT csv, HEADER true',
  parquet: 'FORMAT parquet, COMPRESSION zstd',
  jsonl: 'FORMAT json, ARRAY false',
};

export async function exportTo({ root, sql, span, format, output, timeoutMs }: ExportJob): Promise<Results['export']> {
  if (!isAbsolute(output)) throw invalid('export: the file must be named by its whole path');
  if (existsSync(output)) throw new GatewayError('FAILED_PRECONDITION', 'export: there is a file of that name already');
  const partial = `${output}.partial`;
  const database = await openViews(root, span, partial);
  return within(database, timeoutMs, async () => {
    await check(database, sql);
    const asked = sql.replace(/[;\s]+$/, '');
    try {
      // The line feed ends a comment that the statement may end with.
      await database.run(`COPY (${asked}\n) TO ${quoted(partial)} (${formats[format]})`);
      const counted = await database.ask(`SELECT count(*) FROM (${asked}\n)`, 1);
      renameSync(partial, output);
      return { rows: counted.rows[0]![0] as number };
    } catch (error) {
      rmSync(partial, { force: true });
      throw error;
    }
  });
}

function rowObjects({ columns, rows }: Answer): Row[] {
  return rows.map((row) => Object.fromEntries(columns.map(({ name }, i) => [name, row[i]])) as Row);
}

function open(file: { readonly path: string; readonly name: string }): OpenedSegment | undefined {
  try {
    return openSegment(file);
  } catch {
    // Converted and deleted while we looked: its rows are in Parquet by now.
    return undefined;
  }
}

/** All rows of a request, wherever they are. */
export async function explain(job: ExplainJob): Promise<Results['explain']> {
  const { root, segments, requestId, rowsMax, timeoutMs } = job;
  const rows: Row[] = [];
  for (const file of segmentFiles(segments)) {
    const segment = open(file);
    for (const event of segment?.events ?? []) {
      if (rows.length >= rowsMax) break;
      if (eventOf(segment!.recordOf(event)).requestId === requestId)
        rows.push(...stamped(segmentRows(segment!, event)));
    }
  }
  const database = await openViews(root, {});
  const found = await within(database, timeoutMs, () =>
    database.ask('SELECT * FROM predictions WHERE request_id = $1 ORDER BY ts, attempt, role, item_index', rowsMax, [
      requestId,
    ]),
  );
  return { rows: withoutRepeats([...rowObjects(found), ...rows]).slice(0, rowsMax) };
}

/** Rows of segments tell the time as those of Parquet do. */
function stamped(rows: readonly Row[]): Row[] {
  return rows.map((row) => ({ ...row, ts: timeText(Number(row.ts)), date: timeText(Number(row.ts)).slice(0, 10) }));
}

function timeText(tsUs: number): string {
  const text = new Date(Math.floor(tsUs / 1e6) * 1000).toISOString();
  const fraction = String(Math.floor(tsUs % 1e6))
    .padStart(6, '0')
    .replace(/0+$/, '');
  return `${text.slice(0, 10)} ${text.slice(11, 19)}${fraction === '' ? '' : `.${fraction}`}`;
}

function withoutRepeats(rows: readonly Row[]): Row[] {
  const seen = new Set<string>();
  return rows.filter(({ gateway_id, incarnation, seq, item_index }) => {
    const key = `${gateway_id} ${incarnation} ${seq} ${item_index}`;
    return !seen.has(key) && seen.add(key) !== undefined;
  });
}

/** How many of the newest segments are looked into. */
const tailSegmentsMax = 8;

/** The newest rows, oldest first. */
export async function tail(job: TailJob): Promise<Results['tail']> {
  const { root, segments, model, afterUs, rowsMax, timeoutMs } = job;
  const rows: Row[] = [];
  for (const file of segmentFiles(segments).slice(-tailSegmentsMax)) {
    const segment = open(file);
    const own: Row[] = [];
    for (const event of segment?.events.slice(-rowsMax) ?? []) {
      for (const row of segmentRows(segment!, event)) {
        if (Number(row.ts) > afterUs && (model === undefined || row.model === model)) own.push(row);
      }
    }
    rows.push(...stamped(own));
  }
  if (rows.length < rowsMax) rows.push(...(await tailOfParts({ root, model, afterUs, rowsMax, timeoutMs })));
  const sorted = withoutRepeats(rows).sort((a, b) => String(a.ts).localeCompare(String(b.ts)));
  return { rows: sorted.slice(-rowsMax) };
}

const tailPartsMax = 64;

async function tailOfParts(job: Omit<TailJob, 'kind' | 'segments'>): Promise<Row[]> {
  const { root, model, afterUs, rowsMax, timeoutMs } = job;
  const parts = partsOf(root, 'log', { model, fromUs: afterUs }).slice(-tailPartsMax);
  const views = { predictions: viewOver(parts, predictionColumns, ", 'hour': VARCHAR") };
  const database = await openConfined({ directory: root, views });
  const sql = `SELECT * FROM predictions WHERE epoch_us(ts) > ${Math.floor(afterUs)} ORDER BY ts DESC`;
  return rowObjects(await within(database, timeoutMs, () => database.ask(sql, rowsMax)));
}

export async function read({ root, path, after, rowsMax, bytesMax, timeoutMs }: ReadJob): Promise<Results['read']> {
  if (!existsSync(path)) throw new GatewayError('NOT_FOUND', 'this file of the log is no more');
  const views = { part: viewOver([{ path }], {}, ", 'hour': VARCHAR") };
  const database = await openConfined({ directory: root, views });
  const sql = `SELECT * FROM part ${behind(after)} LIMIT ${Math.floor(rowsMax)}`;
  const answer = await within(database, timeoutMs, () => database.ask(sql, rowsMax));
  const cut = cutTo(answer, bytesMax);
  return { rows: rowObjects({ ...cut, rows: cut.rows.length === 0 ? answer.rows.slice(0, 1) : cut.rows }) };
}

/** Groups of rows that are older than `ts` are not even read. */
function behind(after: RowPlace | undefined): string {
  if (after === undefined) return '';
  const { seq, item } = after;
  const ts = `TIMESTAMP ${quoted(after.ts)}`;
  return `WHERE ts >= ${ts} AND (ts > ${ts} OR seq > ${seq} OR (seq = ${seq} AND item_index > ${item}))`;
}
