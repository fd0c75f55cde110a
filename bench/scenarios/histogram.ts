/**
 * A question about the prediction log at its size after a busy hour: the histogram of one feature over ten million rows, asked
 * as `sluice log query` asks it, of the analytics child under its limits of memory and threads.
 *
 * One file is written with the columns of the log and 23 features, as large as rotation makes them; the others are copies of
 * it, for whoever reads has to read each.
 *
 * Must not know gateways.
 */
import { copyFileSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Analytics } from '../../src/predictions/analytics.js';
import { openDatabase, quoted } from '../../src/predictions/database.js';
import { fixedColumns } from '../../src/predictions/rows.js';
import type { Scenario, Stage } from './frame.js';

const limitS = 3;
const features = 23;
const bins = 20;
const rowsPerFile = 250_000;
const rowsWhole = 10_000_000;
const rowsQuick = 1_000_000;
const asksEach = 4;
const hour = '2026-11-21 13:00:00';
const folder = 'model=busy/date=2026-11-21/hour=13';

/** What varies in a row, by column; the rest is empty. */
const values: Readonly<Record<string, string>> = {
  request_id: "'0190b5a4-7c3e-7000-9f00-' || lpad(i::VARCHAR, 12, '0')",
  seq: 'i',
  ts: `TIMESTAMP '${hour}' + to_microseconds(i * ${Math.floor(3.6e9 / rowsPerFile)})`,
  latency_us: '800 + (random() * 2000)::INT',
  version: "'3'",
  role: "'primary'",
  status: '200',
  prediction: '(random() * 9)::INT::VARCHAR',
  score: 'round(random(), 4)',
  sample_rate: '1',
  payload_rate: '1',
};

async function writeLog(root: string, files: number, stage: Stage): Promise<number> {
  const place = join(root, 'log', folder);
  mkdirSync(place, { recursive: true });
  const fixed = fixedColumns.map(({ name, type }) => `CAST(${values[name] ?? 'NULL'} AS ${type}) AS "${name}"`);
  const inputs = Array.from({ length: features }, (_, i) => `round(random() * 100, 1) AS f_x${i}`);
  const select = `SELECT ${[...fixed, ...inputs].join(', ')} FROM range(${rowsPerFile}) AS numbers(i)`;
  const scratch = join(root, 'rows.parquet');
  const database = await openDatabase(root);
  try {
    const form = 'FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880';
    await database.run(`COPY (${select}) TO ${quoted(scratch)} (${form})`);
  } finally {
    database.close();
  }
  const nameOf = (file: number) => join(place, `part-gateway_0-1-${file}.parquet`);
  renameSync(scratch, nameOf(0));
  for (let file = 1; file < files; file++) {
    stage.onProgress(`file ${file + 1}/${files}`);
    copyFileSync(nameOf(0), nameOf(file));
  }
  return files * statSync(nameOf(0)).size;
}

export const histogram: Scenario = {
  name: 'histogram',
  promise: `a one-hour histogram over 10 M logged rows (${features} features) ≤ ${limitS} s`,
  async run(stage) {
    const root = stage.directory();
    const rows = stage.isQuick ? rowsQuick : rowsWhole;
    const bytes = await writeLog(root, rows / rowsPerFile, stage);
    const analytics = new Analytics({ rssBytesMax: 600 * 2 ** 20, queueMax: 1, idleMs: 60_000, jobMs: 60_000 });
    stage.after(() => analytics.close());
    const time = `ts >= TIMESTAMP '${hour}' AND ts < TIMESTAMP '${hour}' + INTERVAL 1 HOUR`;
    const sql = `SELECT floor(f_x7 / ${100 / bins})::INT AS bin, count(*) AS rows FROM predictions WHERE model = 'busy' AND ${time} GROUP BY 1 ORDER BY 1`;
    const limits = { rowsMax: 1000, bytesMax: 2 ** 20, timeoutMs: 60_000 };
    const took: number[] = [];
    for (let ask = 0; ask < asksEach; ask++) {
      stage.onProgress(`question ${ask + 1}/${asksEach}`);
      const startedAt = performance.now();
      const answer = await analytics.run<'query'>({ kind: 'query', root, sql, span: { model: 'busy' }, ...limits });
      took.push((performance.now() - startedAt) / 1000);
      const counted = answer.rows.reduce((sum, [, count]) => sum + Number(count), 0);
      if (counted !== rows) throw new Error(`the histogram counts ${counted} of ${rows} rows`);
    }
    // The first one starts the child and loads its library, which is no matter of rows: it is told, and not judged.
    const [first, ...rest] = took.map((seconds) => seconds.toFixed(2));
    const found = `${rows / 1e6} M rows, ${Math.round(bytes / 1e6)} MB: ${rest.join(', ')} s; with the start of the child ${first} s`;
    return { isMet: took.slice(1).every((seconds) => seconds <= limitS), found };
  },
};
