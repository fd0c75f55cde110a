/**
 * A closed segment as Parquet: one file for each model and hour in it, named after the segment, so that doing it again puts
 * the same files in the same places.
 *
 *   rows ─▶ table of one model ─▶ COPY, sorted, per hour ─▶ .partial ─ fsync ─ rename ─▶ manifest ─▶ segment deleted
 *
 * A crash at any point loses nothing: the segment goes last. One with damage in it gives the rows before the damage and is set
 * aside instead of deleted.
 *
 * Must not know who asked, or DuckDB's library.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { type Database, openDatabase, quoted } from './database.js';
import type { Converted, ConvertJob, RewriteJob, Rewritten } from './jobs.js';
import { place } from './layout.js';
import { hourOf } from './partitions.js';
import { rangesOf } from './ranges.js';
import { CellRows, type Column, columnsWith, isPayloadColumn } from './rows.js';
import type { RecordPlace } from './segment.js';
import { type OpenedSegment, openSegment, segmentCells } from './segment-reader.js';
import type { SubjectRecord } from './subject.js';

/** The events of one model, and every subject that they have. */
interface ModelEvents {
  readonly model: string;
  readonly subjects: Set<SubjectRecord>;
  readonly events: RecordPlace[];
}

interface PartLine {
  readonly file: string;
  readonly rows: number;
  readonly min_ts: number;
  readonly max_ts: number;
  readonly sha256: string;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly dropped: number;
  readonly sampled_out: number;
  readonly segment: string;
}

const compression = 'FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880';

export async function convert({ root, segment: path }: ConvertJob): Promise<Converted> {
  const name = basename(path);
  const segment = openSegment({ path, name });
  if (segment === undefined) {
    renameSync(path, `${path}.bad`);
    return { isSegment: false, damagedBytes: 0, events: 0, rows: 0, files: [] };
  }
  const lines: PartLine[] = [];
  for (const part of modelsIn(segment)) lines.push(...(await partsOfModel(root, name, segment, part)));
  appendDurably(join(root, '_segments.jsonl'), [segmentLine(name, segment, lines)]);
  const { tornBytes: damagedBytes } = segment;
  if (damagedBytes > 0) renameSync(path, `${path}.bad`);
  else rmSync(path);
  const rows = lines.reduce((sum, line) => sum + line.rows, 0);
  return { isSegment: true, damagedBytes, events: segment.events.length, rows, files: lines.map(({ file }) => file) };
}

function modelsIn(segment: OpenedSegment): ModelEvents[] {
  const models = new Map<string, ModelEvents>();
  for (const event of segment.events) {
    const subject = segment.subjectOf(segment.recordOf(event));
    if (subject === undefined) continue;
    const { model } = subject;
    const found = models.get(model) ?? { model, subjects: new Set<SubjectRecord>(), events: [] };
    models.set(model, found);
    found.subjects.add(subject);
    found.events.push(event);
  }
  return [...models.values()];
}

async function partsOfModel(
  root: string,
  name: string,
  segment: OpenedSegment,
  { model, subjects, events }: ModelEvents,
): Promise<PartLine[]> {
  const columns = columnsWith([...subjects].flatMap(({ features }) => features));
  mkdirSync(root, { recursive: true });
  const database = await openDatabase(join(root, '_temp'));
  const lines: PartLine[] = [];
  try {
    const declared = columns.map((column) => `"${column.name}" ${column.type}`).join(', ');
    await database.run(`CREATE TABLE rows (${declared})`);
    await database.append('rows', columns, cellsOf(segment, events, columns));
    for (const hour of hoursOf(segment, events))
      lines.push(await writePart(database, root, model, hour, name, segment));
  } finally {
    database.close();
  }
  appendDurably(
    join(root, 'log', `model=${model}`, '_manifest.jsonl'),
    lines.map((line) => JSON.stringify(line)),
  );
  return lines;
}

function* cellsOf(segment: OpenedSegment, events: readonly RecordPlace[], columns: readonly Column[]) {
  const rows = new CellRows(columns);
  for (const event of events) yield* segmentCells(segment, event, rows);
}

const hourUs = 3_600_000_000;

/** The starts of the hours that events arrived in. */
function hoursOf(segment: OpenedSegment, events: readonly RecordPlace[]): number[] {
  const hours = new Set<number>();
  for (const event of events) {
    hours.add(Math.floor(segment.bytes.readDoubleLE(event.start + place.ts) / hourUs) * hourUs);
  }
  return [...hours].sort((a, b) => a - b);
}

async function writePart(
  database: Database,
  root: string,
  model: string,
  fromUs: number,
  name: string,
  segment: OpenedSegment,
): Promise<PartLine> {
  const { date, hour } = hourOf(fromUs);
  const path = join(
    root,
    'log',
    `model=${model}`,
    `date=${date}`,
    `hour=${hour}`,
    `part-${name.replace(/\.seg$/, '')}.parquet`,
  );
  const within = `epoch_us(ts) >= ${fromUs} AND epoch_us(ts) < ${fromUs + hourUs}`;
  await writeParquet(database, `SELECT * FROM rows WHERE ${within} ORDER BY ts, seq, item_index`, path);
  const counted = await database.ask(
    `SELECT count(*), epoch_us(min(ts)), epoch_us(max(ts)), min(seq), max(seq) FROM rows WHERE ${within}`,
    1,
  );
  const [rows, min_ts, max_ts, first_seq, last_seq] = counted.rows[0] as number[];
  return {
    file: relative(join(root, 'log', `model=${model}`), path),
    rows: rows!,
    min_ts: min_ts!,
    max_ts: max_ts!,
    sha256: createHash('sha256').update(readFileSync(path)).digest('hex'),
    first_seq: first_seq!,
    last_seq: last_seq!,
    dropped: segment.gaps.reduce((sum, { count }) => sum + count, 0),
    sampled_out: segment.end?.sampledOut ?? 0,
    segment: name,
  };
}

/** The whole file or none. */
export async function writeParquet(database: Database, sql: string, path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const partial = `${path}.partial`;
  rmSync(partial, { force: true });
  await database.run(`COPY (${sql}) TO ${quoted(partial)} (${compression})`);
  syncPath(partial);
  renameSync(partial, path);
  syncPath(dirname(path));
}

function syncPath(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function appendDurably(path: string, lines: readonly string[]): void {
  if (lines.length === 0) return;
  mkdirSync(dirname(path), { recursive: true });
  appendFileSync(path, lines.map((line) => `${line}\n`).join(''));
  syncPath(path);
}

function segmentLine(name: string, segment: OpenedSegment, lines: readonly PartLine[]): string {
  const { gatewayId, incarnation } = segment.origin;
  return JSON.stringify({
    segment: name,
    gateway_id: gatewayId,
    incarnation,
    events: segment.events.length,
    rows: lines.reduce((sum, line) => sum + line.rows, 0),
    ranges: rangesOf(segment.events),
    gaps: segment.gaps.map(({ first, last, count, reason }) => [first, last, count, reason]),
    end: segment.end ?? null,
  });
}

export async function rewrite({ path, withoutPayload, withoutUnits }: RewriteJob): Promise<Rewritten> {
  const database = await openDatabase(join(dirname(path), '_temp'));
  try {
    const from = `read_parquet(${quoted(path)}, hive_partitioning = false)`;
    const { columns } = await database.ask(`SELECT * FROM ${from} LIMIT 0`, 0);
    const kept = columns.filter(({ name }) => !(withoutPayload && isPayloadColumn(name)));
    const units = withoutUnits.map(quoted).join(', ');
    const where = units === '' ? '' : ` WHERE unit_key_hash IS NULL OR unit_key_hash NOT IN (${units})`;
    const names = kept.map(({ name }) => `"${name}"`).join(', ');
    const counted = await database.ask(`SELECT count(*), (SELECT count(*) FROM ${from}${where}) FROM ${from}`, 1);
    const [rowsBefore, rows] = counted.rows[0] as [number, number];
    if (rows < rowsBefore || kept.length < columns.length) {
      await writeParquet(database, `SELECT ${names} FROM ${from}${where} ORDER BY ts, seq, item_index`, path);
    }
    return { rowsBefore, rows };
  } finally {
    database.close();
  }
}
