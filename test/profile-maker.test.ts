import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { makeProfile, type ProfileOrder } from '../src/control/profile-maker.js';
import type { NumericProfile } from '../src/monitor/profile.js';

function folder(context: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'sluice-profile-'));
  context.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

function orderOf(from: string, more: Partial<ProfileOrder> = {}): ProfileOrder {
  const log = { path: 'none', fromMs: 0 };
  const names = { prediction: 'prediction', score: 'score' };
  return { from, model: 'fraud', version: '7', baseline: 'training', ...names, rowsMax: 100_000, log, ...more };
}

const lines = Array.from({ length: 300 }, (_, i) => {
  const amount = i % 50 === 0 ? '' : String(i / 10);
  return [amount, ['DK', 'NO', 'SE'][i % 3], i % 2 === 0 ? 'true' : 'false', `id-${i}`, i % 2, i / 300].join(',');
});
const csv = `${['amount,country,flag,user,prediction,score', ...lines].join('\n')}\n`;

const manifest = {
  schema: 1,
  files: [],
  signature: {
    inputs: [{ name: 'in', datatype: 'FP32', shape: [-1, 2] }],
    outputs: [{ name: 'p', datatype: 'FP32', shape: [-1] }],
  },
  features: [
    { name: 'amount', input: 'in', column: 0, weight: 3, critical: true },
    { name: 'user', input: 'in', column: 1, kind: 'ignore' },
  ],
  metrics: [{ name: 'auc', value: 0.9, n: 100 }],
};

test('columns of a CSV file become features of the kind that their values have', async (context) => {
  const file = join(folder(context), 'train.csv');
  writeFileSync(file, csv);
  const { features, prediction, score, source, baseline } = await makeProfile(orderOf(file));
  assert.deepEqual(
    Object.entries(features).map(([name, { kind, n, missing }]) => [name, kind, n, missing]),
    [
      ['amount', 'numeric', 294, 6],
      ['country', 'categorical', 300, 0],
      ['flag', 'categorical', 300, 0],
      ['user', 'categorical', 300, 0],
    ],
  );
  assert.deepEqual([prediction?.kind, score?.n, source?.rows, baseline], ['categorical', 300, 300, 'training']);
  assert.match(source!.sha256!, /^[0-9a-f]{64}$/);
});

test('a Parquet file gives the same profile as the CSV file that it was made of', async (context) => {
  const place = folder(context);
  const [text, parquet] = [join(place, 'train.csv'), join(place, 'train.parquet')];
  writeFileSync(text, csv);
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  await connection.run(`COPY (SELECT * FROM read_csv('${text}')) TO '${parquet}' (FORMAT parquet)`);
  connection.closeSync();
  const [one, other] = [await makeProfile(orderOf(text)), await makeProfile(orderOf(parquet))];
  assert.deepEqual({ ...other, source: undefined }, { ...one, source: undefined });
});

test('a manifest decides which columns are features, and how its inputs hold them', async (context) => {
  const place = folder(context);
  writeFileSync(join(place, 'train.csv'), csv);
  writeFileSync(join(place, 'manifest.json'), JSON.stringify(manifest));
  const order = orderOf(join(place, 'train.csv'), { manifest: join(place, 'manifest.json') });
  const { features, performance } = await makeProfile(order);
  assert.deepEqual(Object.keys(features), ['amount']);
  const amount = features.amount as NumericProfile;
  assert.deepEqual([amount.weight, amount.critical, amount.hi], [3, true, Math.fround(29.9)]);
  assert.deepEqual(performance, { auc: 0.9, n: 100 });
});

test('of more rows an even sample is taken, the same one each time', async (context) => {
  const file = join(folder(context), 'train.csv');
  writeFileSync(file, csv);
  const [one, other] = [
    await makeProfile(orderOf(file, { rowsMax: 100 })),
    await makeProfile(orderOf(file, { rowsMax: 100 })),
  ];
  assert.equal(one.source?.rows, 100);
  assert.deepEqual(one, other);
});

test('what is wrong is said with the name of the file, column or option', async (context) => {
  const place = folder(context);
  const file = join(place, 'train.csv');
  await assert.rejects(makeProfile(orderOf(file)), /there is no file/);
  await assert.rejects(makeProfile(orderOf(join(place, 'train.txt'))), /ends in \.csv or \.parquet, or log/);
  await assert.rejects(makeProfile(orderOf('log')), /--manifest/);
  writeFileSync(file, 'a,b\n1,2\n');
  writeFileSync(join(place, 'manifest.json'), JSON.stringify(manifest));
  await assert.rejects(
    makeProfile(orderOf(file, { manifest: join(place, 'manifest.json') })),
    /no column 'amount' for the feature 'amount'/,
  );
  writeFileSync(join(place, 'train.parquet'), 'not parquet');
  await assert.rejects(makeProfile(orderOf(join(place, 'train.parquet'))), /parquet/i);
  const log = { path: place, fromMs: 0 };
  await assert.rejects(
    makeProfile(orderOf('log', { log, manifest: join(place, 'manifest.json') })),
    /0 rows of fraud version 7 with inputs/,
  );
});
