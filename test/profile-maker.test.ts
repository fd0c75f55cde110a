import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { makeProfile, type ProfileOrder } from '../src/control/profile-maker.js';
import { IsotonicMap } from '../src/monitor/isotonic.js';
import type { NumericProfile } from '../src/monitor/profile.js';
import { checkedProfile } from '../src/monitor/profile-document.js';
import { Reconstruction } from '../src/monitor/reconstruction.js';
import { dice } from './monitor-fixture.js';
import { archiveOf, event, floats, openLog, terms } from './predictions-events.js';

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

/** Three numbers of which the third is the sum of the first two, a score, and what was true with that chance. */
function relatedRows(rows: number) {
  const chance = dice(11);
  return Array.from({ length: rows }, () => {
    const [a, b, score] = [chance() * 10, chance() * 10, chance()];
    return { a, b, c: a + b, prediction: Number(score >= 0.5), score, label: Number(chance() < score * score) };
  });
}

function csvOf(rows: readonly Readonly<Record<string, number>>[]): string {
  return `${[Object.keys(rows[0]!), ...rows.map((row) => Object.values(row))].map((row) => row.join(',')).join('\n')}\n`;
}

test('numbers that vary together become components, by which a row that breaks the pattern has an error', async (context) => {
  const file = join(folder(context), 'train.csv');
  writeFileSync(file, csvOf(relatedRows(2000).map(({ a, b, c }) => ({ a, b, c }))));
  const { pca } = await makeProfile(orderOf(file));
  assert.deepEqual([pca!.features, pca!.components.length], [['a', 'b', 'c'], 2]);
  const dot = (x: readonly number[], y: readonly number[]) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  const [first, second] = pca!.components;
  for (const [got, expected] of [
    [dot(first!, first!), 1],
    [dot(second!, second!), 1],
    [dot(first!, second!), 0],
  ] as const)
    assert.ok(Math.abs(got - expected) < 1e-8);
  assert.ok(pca!.error!.hi! < 1e-6, 'two directions explain every row');
  assert.ok(new Reconstruction(pca!).errorOf([5, 5, 2]) > 1);
  const { pca: one } = await makeProfile(orderOf(file, { components: 1 }));
  assert.equal(one!.components.length, 1);
  assert.equal((await makeProfile(orderOf(file, { components: 0 }))).pca, undefined);
});

test('labelled rows calibrate the score, and give the estimates by which a later one is low', async (context) => {
  const place = folder(context);
  const [train, held] = [join(place, 'train.csv'), join(place, 'held-out.csv')];
  writeFileSync(
    train,
    csvOf(relatedRows(500).map(({ a, b, c, prediction, score }) => ({ a, b, c, prediction, score }))),
  );
  writeFileSync(held, csvOf(relatedRows(4000).map(({ prediction, score, label }) => ({ prediction, score, label }))));
  const profile = await makeProfile(orderOf(train, { labelled: held, label: 'label' }));
  assert.deepEqual(Object.keys(profile.features), ['a', 'b', 'c']);
  assert.equal(profile.score!.n, 500);
  const { calibration, performance } = checkedProfile(JSON.parse(JSON.stringify(profile)));
  const map = new IsotonicMap(calibration!);
  for (const score of [0.2, 0.5, 0.8]) assert.ok(Math.abs(map.of(score) - score * score) < 0.1, String(map.of(score)));
  assert.equal(performance!.chunks!.length, 10);
  const own = await makeProfile(orderOf(held, { label: 'label' }));
  assert.deepEqual([own.calibration, Object.keys(own.features)], [calibration, []]);
  await assert.rejects(makeProfile(orderOf(train, { label: 'label' })), /no column 'label' among the labelled rows/);
  writeFileSync(held, 'score,label\n0.5,1\n0.5,maybe\n,0\n');
  await assert.rejects(makeProfile(orderOf(train, { labelled: held, label: 'label' })), /at least 50 rows.*got 1$/);
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

test('a profile of the log is of the rows whose inputs were kept, whatever their columns are called there', async (context) => {
  const place = folder(context);
  const segments = join(place, 'segments');
  mkdirSync(segments);
  const log = await openLog(segments);
  const columns = [
    { name: 'age in years', input: 'in', index: 0, type: 'DOUBLE' },
    { name: 'age_in_years', input: 'in', index: 1, type: 'DOUBLE' },
  ] as const;
  const of = { ...terms, model: 'fraud', version: '7', features: columns };
  const [kept, bare] = [log.subject({ ...of, sample: 1 }), log.subject(of)];
  for (let i = 0; i < 40; i++) {
    const inputs = [floats('in', [1, 2], [i, i % 4 === 0 ? Number.NaN : 100 + i])];
    for (const subject of [kept, bare]) log.append(event(subject, { inputs, score: i / 40 }));
  }
  await log.close();
  await archiveOf(context, place, { root: join(place, 'data') }).convert();
  const features = columns.map(({ name, input, index }) => ({ name, input, column: index }));
  writeFileSync(join(place, 'manifest.json'), JSON.stringify({ ...manifest, features }));
  const order = orderOf('log', { log: { path: place, fromMs: 0 }, manifest: join(place, 'manifest.json') });
  const profile = await makeProfile(order);
  assert.deepEqual([profile.baseline, profile.source?.rows, profile.score?.n], ['log', 40, 40]);
  const [first, second] = columns.map(({ name }) => profile.features[name] as NumericProfile);
  assert.deepEqual([first!.lo, first!.hi, first!.missing], [0, 39, 0]);
  assert.deepEqual([second!.lo, second!.hi, second!.missing], [101, 139, 10]);
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
