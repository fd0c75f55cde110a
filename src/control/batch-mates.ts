/**
 * PART OF THE ROOT: which requests ran together with one, as far as the log can tell.
 *
 *   rows of the same version in the same process, by number ─▶ those around it with the same run ─▶ cut where a batch is full
 *
 * Requests of one run are answered one after the other, so their rows stand together, with the same size of the batch and the
 * same time of the run. Where their rows do not add up to that size (some were left out, or are not in finished files yet)
 * nothing is said: a guess would be worse.
 *
 * Must not know how a row is stored.
 */
import type { Archive } from '../predictions/archive.js';
import type { Row } from '../predictions/rows.js';

export interface BatchMates {
  readonly seq: number;
  /** Ids of the others; null = they cannot be told. */
  readonly mates: readonly string[] | null;
}

/** One request of the log. */
export interface LoggedRun {
  readonly requestId: string;
  readonly seq: number;
  readonly items: number;
  readonly batchSize: number;
  readonly runUs: number;
}

/** @param runs of one version in one process, by number */
export function matesAmong(runs: readonly LoggedRun[], seq: number): string[] | null {
  const at = runs.findIndex((run) => run.seq === seq);
  if (at === -1) return null;
  const { batchSize, runUs } = runs[at]!;
  const isOfRun = (run: LoggedRun | undefined) => run?.batchSize === batchSize && run.runUs === runUs;
  let first = at;
  while (isOfRun(runs[first - 1])) first--;
  let batch: LoggedRun[] = [];
  let rows = 0;
  for (let i = first; isOfRun(runs[i]); i++) {
    batch.push(runs[i]!);
    rows += runs[i]!.items;
    if (rows > batchSize) return null;
    if (rows < batchSize) continue;
    if (i >= at) return batch.filter((run) => run.seq !== seq).map(({ requestId }) => requestId);
    [batch, rows] = [[], 0];
  }
  return null;
}

/** Requests of one run came within this time of each other. */
const reachUs = 600e6;

/** @param rows of one request */
export async function batchMates(rows: readonly Row[], archive: Archive): Promise<BatchMates[]> {
  const ran = rows.filter(({ item_index, status, cache_hit }) => item_index === 0 && status === 200 && !cache_hit);
  const found: BatchMates[] = [];
  for (const row of ran) found.push({ seq: Number(row.seq), mates: await matesOf(row, rows, archive) });
  return found;
}

async function matesOf(row: Row, rows: readonly Row[], archive: Archive): Promise<readonly string[] | null> {
  const own = rows.filter(({ seq, incarnation }) => seq === row.seq && incarnation === row.incarnation).length;
  const batchSize = Number(row.batch_size);
  if (batchSize <= own) return [];
  const seq = Number(row.seq);
  // Rows of other versions lie between those of one.
  const reach = 4 * batchSize + 64;
  const same = ['model', 'version', 'gateway_id'].map((name) => `${name} = ${quoted(String(row[name]))}`);
  const sql = `SELECT request_id, seq, count(*), any_value(batch_size), any_value(upstream_us) FROM predictions
    WHERE ${same.join(' AND ')} AND incarnation = ${Number(row.incarnation)} AND (role = 'shadow') = ${row.role === 'shadow'}
      AND NOT cache_hit AND status = 200 AND seq BETWEEN ${seq - reach} AND ${seq + reach}
    GROUP BY request_id, seq ORDER BY seq`;
  const atUs = Date.parse(`${String(row.ts).replace(' ', 'T')}Z`) * 1000;
  const span = { model: String(row.model), fromUs: atUs - reachUs, toUs: atUs + reachUs };
  const { rows: answered } = await archive.query({ sql, span });
  const runs = answered.map(([id, number, items, size, us]) => ({
    requestId: String(id),
    seq: Number(number),
    items: Number(items),
    batchSize: Number(size),
    runUs: Number(us),
  }));
  return matesAmong(runs, seq);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
