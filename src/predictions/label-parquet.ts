/**
 * A stretch of labels as Parquet, one file for each model in it, named after the file of labels and where the stretch begins:
 * a stretch that has grown since puts the same files in the same places, with more in them.
 *
 *   labels/model=<m>/date=<day of the prediction>/part-<file>-<from>.parquet
 *
 * Every label that came is a row. The view `labels` shows of each name the one that counts: what was replaced, or was older
 * than what was known, stays in the files only.
 *
 * Must not know how labels are kept, or DuckDB's library.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { LabelModule, LabelRow, LabelStretch } from '../core/label-rows.js';
import { openDatabase, quoted } from './database.js';
import type { LabelsConverted, LabelsJob } from './jobs.js';
import { writeParquet } from './parquet.js';
import type { Cell } from './payload.js';
import { type Column, type ColumnType, labelColumns } from './rows.js';

/** What only the view needs. */
const ownColumns: Readonly<Record<string, ColumnType>> = {
  seq: 'BIGINT',
  is_history: 'BOOLEAN',
  replaced_label_ts: 'TIMESTAMP',
  replaced_received_ts: 'TIMESTAMP',
};

export const labelFileColumns: Readonly<Record<string, ColumnType>> = { ...labelColumns, ...ownColumns };

const columns: readonly Column[] = Object.entries({ model: 'VARCHAR' as const, ...labelFileColumns }).map(
  ([name, type]) => ({ name, type, isPayload: false }),
);

export async function convertLabels({
  root,
  readerUrl,
  path,
  from,
  bytesMax,
  ...place
}: LabelsJob): Promise<LabelsConverted> {
  const reader = (await import(readerUrl)) as LabelModule;
  const { rows, end, isFull } = reader.labelStretch(path, from, bytesMax);
  if (rows.length > 0) await writeFiles(root, rows, { ...place, from });
  return { end, isFull, rows: rows.length };
}

interface Place {
  readonly date: string;
  readonly name: string;
  readonly from: number;
}

async function writeFiles(root: string, rows: LabelStretch['rows'], { date, name, from }: Place): Promise<void> {
  mkdirSync(root, { recursive: true });
  const database = await openDatabase(join(root, '_temp'));
  try {
    await database.run(`CREATE TABLE labels (${columns.map(({ name, type }) => `"${name}" ${type}`).join(', ')})`);
    await database.append('labels', columns, rows.map(cellsOf));
    for (const model of new Set(rows.map((row) => row.model))) {
      const path = join(root, 'labels', `model=${model}`, `date=${date}`, `part-${name}-${from}.parquet`);
      const sql = `SELECT * EXCLUDE (model) FROM labels WHERE model = ${quoted(model)} ORDER BY received_ts, seq`;
      await writeParquet(database, sql, path);
    }
  } finally {
    database.close();
  }
}

/** In the order of the columns. */
function cellsOf(row: LabelRow): (Cell | undefined)[] {
  const { model, requestId, item, key, label, source, weight, seq, isHistory, replaces } = row;
  const told = [label, row.labelMs * 1000, row.receivedMs * 1000, source, weight];
  const replaced = [replaces && replaces.labelMs * 1000, replaces && replaces.receivedMs * 1000];
  return [model, requestId, item, key, ...told, seq, isHistory, ...replaced];
}

/** @param every all rows of the files that are looked at @returns those that count */
export function labelsThatCount(every: string): string {
  const shown = [...Object.keys(labelColumns), 'model', 'date'].map((name) => `l."${name}"`).join(', ');
  const name = ['request_id', 'item_index', 'label_key'].map((column) => `r.${column} = l.${column}`).join(' AND ');
  // Few are replaced: only those are held in memory, the others pass by.
  return `WITH every AS NOT MATERIALIZED (${every})
    SELECT ${shown} FROM every AS l
    ANTI JOIN (SELECT * FROM every WHERE replaced_received_ts IS NOT NULL) AS r
    ON ${name} AND r.replaced_label_ts = l.label_ts AND r.replaced_received_ts = l.received_ts
      AND (r.received_ts > l.received_ts OR r.seq > l.seq)
    WHERE NOT l.is_history`;
}
