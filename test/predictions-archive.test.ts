import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { PredictionEvent } from '../src/predictions/event.js';
import type { SubjectTerms } from '../src/predictions/subject.js';
import { verifyLog } from '../src/predictions/verify.js';
import { archiveOf, event, floats, folder, hashed, openLog, startUs, terms, texts } from './predictions-events.js';

const hourUs = 3_600_000_000;

/** Segments with these events, one of them per list. */
async function written(
  directory: string,
  events: readonly Partial<PredictionEvent>[],
  more: Partial<SubjectTerms> = {},
  incarnation = 1,
): Promise<void> {
  const segments = join(directory, 'segments');
  mkdirSync(segments, { recursive: true });
  const log = await openLog(segments, { incarnation });
  const subject = log.subject({ ...terms, ...more });
  for (const one of events) log.append(event(subject, one));
  await log.close();
}

function filesBelow(path: string, ending: string): string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .sort();
}

function numbered(count: number): Partial<PredictionEvent>[] {
  return Array.from({ length: count }, (_, i) => ({ requestId: `r-${i}`, tsUs: startUs + i * 1_000_000 }));
}

test('a closed segment becomes one Parquet file for each hour, a manifest line for each, and is deleted', async (context) => {
  const directory = folder(context);
  await written(directory, [
    { requestId: 'late', tsUs: startUs + hourUs },
    { requestId: 'b', tsUs: startUs + 5 },
    { requestId: 'a', tsUs: startUs + 3, errorCode: 'UNAVAILABLE', status: 503, score: undefined },
  ]);
  const archive = archiveOf(context, directory);
  await archive.convert();
  assert.deepEqual(filesBelow(join(directory, 'archive'), '.parquet'), [
    'log/model=digits/date=2026-03-01/hour=10/part-g1-1-000001.parquet',
    'log/model=digits/date=2026-03-01/hour=11/part-g1-1-000001.parquet',
  ]);
  const lines = readFileSync(join(directory, 'archive/log/model=digits/_manifest.jsonl'), 'utf8').trim().split('\n');
  const first = JSON.parse(lines[0]!);
  assert.deepEqual(
    { ...first, sha256: first.sha256.length },
    {
      file: 'date=2026-03-01/hour=10/part-g1-1-000001.parquet',
      rows: 2,
      min_ts: startUs + 3,
      max_ts: startUs + 5,
      sha256: 64,
      first_seq: 2,
      last_seq: 3,
      dropped: 0,
      sampled_out: 0,
      segment: 'g1-1-000001.seg',
    },
  );
  assert.equal(lines.length, 2);
  assert.deepEqual(readdirSync(join(directory, 'segments')), []);
  const { rows } = await archive.query({
    sql: "select request_id, status, error_code, score, model, cast(date as varchar), hour, typeof(ts) from predictions where hour = '10' order by ts",
  });
  assert.deepEqual(rows, [
    ['a', 503, 'UNAVAILABLE', null, 'digits', '2026-03-01', '10', 'TIMESTAMP'],
    ['b', 200, null, 0.75, 'digits', '2026-03-01', '10', 'TIMESTAMP'],
  ]);
  assert.deepEqual(verifyLog(join(directory, 'archive'), join(directory, 'segments')).problems, []);
});

test('converting the same segment again gives the same bytes under the same name', async (context) => {
  const directory = folder(context);
  await written(directory, numbered(500), { sample: 1 });
  const segment = join(directory, 'segments/g1-1-000001.seg');
  const bytes = readFileSync(segment);
  const archive = archiveOf(context, directory);
  await archive.convert();
  const [name] = filesBelow(join(directory, 'archive'), '.parquet');
  const once = readFileSync(join(directory, 'archive', name!));
  // A crash between the rename of the file and the deletion of its segment leaves this.
  writeFileSync(segment, bytes);
  await archive.convert();
  assert.deepEqual(filesBelow(join(directory, 'archive'), '.parquet'), [name]);
  assert.ok(readFileSync(join(directory, 'archive', name!)).equals(once));
  assert.deepEqual((await archive.query({ sql: 'select count(*) from predictions' })).rows, [[500]]);
  assert.deepEqual(verifyLog(join(directory, 'archive'), join(directory, 'segments')).problems, []);
});

test('a segment that cannot be converted stays, is told of with the reason, and is converted when it can be', async (context) => {
  const directory = folder(context);
  await written(directory, numbered(3));
  const told: string[] = [];
  const onFailed = (file: string, { cause }: Error) => told.push(`${basename(file)}: ${cause}`);
  const archive = archiveOf(context, directory, { onFailed });
  // A file lies where the folder of Parquet should be.
  const place = join(directory, 'archive');
  rmSync(place, { recursive: true, force: true });
  writeFileSync(place, '');
  await archive.convert();
  assert.match(told.join('\n'), /^g1-1-000001\.seg: .*(EEXIST|ENOTDIR)[^\n]*$/);
  assert.equal(archive.stats().failed, 1);
  rmSync(place);
  await archive.convert();
  assert.equal(told.length, 1);
  assert.deepEqual((await archive.query({ sql: 'select count(*) from predictions' })).rows, [[3]]);
});

test('a batch becomes one row per item, and declared features become typed columns', async (context) => {
  const directory = folder(context);
  const features = [
    { name: 'age in years', input: 'x', index: 0, type: 'DOUBLE' },
    { name: 'age_in_years', input: 'x', index: 1, type: 'BIGINT' },
    { name: 'city', input: 'words', index: 0, type: 'VARCHAR' },
  ] as const;
  const inputs = [floats('x', [2, 2], [1.5, 2, Number.NaN, 4]), texts('words', [2, 1], ['Bern', 'Łódź'])];
  const outputs = [floats('y', [2, 1], [0.25, Number.POSITIVE_INFINITY])];
  await written(directory, [{ items: 2, inputs, outputs }], { features, sample: 1 });
  const archive = archiveOf(context, directory);
  await archive.convert();
  const { rows } = await archive.query({
    sql: 'select item_index, f_age_in_years, f_age_in_years_2, f_city, outputs_json, input_json, payload_rate from predictions order by item_index',
  });
  assert.deepEqual(rows, [
    [0, 1.5, 2, 'Bern', '{"y":[0.25]}', null, 1],
    [1, 'NaN', 4, 'Łódź', '{"y":["Infinity"]}', null, 1],
  ]);
});

const confined: readonly string[] = [
  "COPY (SELECT 1) TO '/tmp/out.csv'",
  "COPY predictions TO 'x.csv'",
  "ATTACH 'x.db'",
  "SELECT * FROM read_csv('/etc/passwd')",
  "SELECT * FROM read_text('/etc/passwd')",
  "SELECT * FROM read_blob('/etc/hostname')",
  "SELECT * FROM '/etc/passwd'",
  "SELECT * FROM glob('/*')",
  "SELECT (SELECT count(*) FROM read_csv('/etc/passwd'))",
  "WITH t AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM t",
  "SELECT * FROM query('SELECT 1')",
  "SELECT * FROM query_table('predictions')",
  'SELECT * FROM duckdb_settings()',
  'SELECT * FROM system.main.duckdb_settings()',
  'SELECT * FROM information_schema.tables',
  'SELECT * FROM sqlite_master',
  'SHOW TABLES',
  "SELECT current_setting('allowed_directories')",
  'INSTALL httpfs',
  'LOAD httpfs',
  'PRAGMA database_list',
  'PRAGMA threads=8',
  'SET threads = 8',
  'RESET lock_configuration',
  'CREATE TABLE x AS SELECT 1',
  'DROP VIEW predictions',
  'INSERT INTO predictions SELECT * FROM predictions',
  'DELETE FROM predictions',
  'CALL pragma_version()',
  "EXPORT DATABASE 'x'",
  'CHECKPOINT',
  "SELECT 1; COPY (SELECT 1) TO 'x'",
  'SELECT 1; SELECT 2',
  "SELECT * FROM enable_logging('x')",
  "SELECT * FROM 'http://127.0.0.1:1/x.parquet'",
  "SELECT 1) TO '/tmp/x' (FORMAT csv); --",
  '',
  'nonsense',
];

test('SQL that writes, or reads beyond the log, is refused', async (context) => {
  const directory = folder(context);
  await written(directory, numbered(3));
  const archive = archiveOf(context, directory);
  await archive.convert();
  for (const sql of confined) {
    await assert.rejects(archive.query({ sql }), { name: 'GatewayError', code: 'INVALID_ARGUMENT' }, sql);
  }
  assert.equal(existsSync('/tmp/out.csv'), false);
  assert.equal(archive.stats().restarts, 0);
  const allowed = [
    'FROM predictions SELECT count(*)',
    'WITH t AS (SELECT * FROM predictions) SELECT count(*) FROM t, range(1)',
    'SELECT count(*) FROM predictions p LEFT JOIN labels l USING (request_id, item_index) WHERE l.label IS NULL;',
    'SELECT n FROM (VALUES (3)) v(n)',
  ];
  for (const sql of allowed) assert.deepEqual((await archive.query({ sql })).rows, [[3]], sql);
  assert.ok((await archive.query({ sql: 'DESCRIBE predictions' })).rows.length > 40);
});

test('a confined database itself refuses files beyond the log, whatever the statement', async (context) => {
  const { openConfined } = await import('../src/predictions/database.js');
  const directory = folder(context);
  const database = await openConfined({ directory, views: { predictions: 'SELECT 1 AS a' } });
  context.after(() => database.close());
  for (const sql of [
    "SELECT * FROM read_csv('/etc/passwd')",
    "COPY (SELECT 1) TO '/tmp/sluice-out.csv'",
    'SET threads = 8',
  ]) {
    await assert.rejects(database.run(sql), { name: 'GatewayError' }, sql);
  }
});

test('an answer is cut at its limit of rows and of bytes, and says so', async (context) => {
  const directory = folder(context);
  await written(directory, numbered(50));
  const archive = archiveOf(context, directory, { queryRowsMax: 10, queryBytesMax: 100 });
  await archive.convert();
  const few = await archive.query({ sql: 'select 1 from predictions' });
  assert.equal(few.rows.length, 10);
  assert.equal(few.isCut, true);
  const large = await archive.query({ sql: "select repeat('x', 40) from predictions limit 5" });
  assert.equal(large.rows.length, 2);
  assert.equal(large.isCut, true);
  assert.equal((await archive.query({ sql: 'select 1 from predictions limit 10' })).isCut, false);
});

test('a query that takes too long ends at its time, one that needs too much memory is refused, and the next one is answered', async (context) => {
  const directory = folder(context);
  const archive = archiveOf(context, directory, { queryTimeoutMs: 300 });
  const long = 'select count(*) from range(100000000000) a';
  await assert.rejects(archive.query({ sql: long }), { code: 'DEADLINE_EXCEEDED' });
  const large = 'select list(repeat(a.range::varchar, 1000)) from range(10000000) a';
  await assert.rejects(archive.query({ sql: large }), (error: { code: string }) =>
    ['RESOURCE_EXHAUSTED', 'DEADLINE_EXCEEDED'].includes(error.code),
  );
  assert.deepEqual((await archive.query({ sql: 'select 1' })).rows, [[1]]);
});

test('a child that grows beyond its memory is ended and its job fails, the next job gets a new one', async (context) => {
  const directory = folder(context);
  let rss = 0;
  const analytics = { rssBytesMax: 1000, queueMax: 4, idleMs: 5000, jobMs: 60_000, rssOf: () => rss };
  const archive = archiveOf(context, directory, { analytics });
  const running = archive.query({ sql: 'select count(*) from range(100000000000)' });
  rss = 2000;
  await assert.rejects(running, { code: 'RESOURCE_EXHAUSTED' });
  rss = 0;
  assert.deepEqual((await archive.query({ sql: 'select 2' })).rows, [[2]]);
  assert.equal(archive.stats().restarts, 1);
});

test('more jobs than may wait are refused at once', async (context) => {
  const analytics = { rssBytesMax: 2 ** 40, queueMax: 1, idleMs: 5000, jobMs: 60_000 };
  const archive = archiveOf(context, folder(context), { analytics });
  const asked = [1, 2, 3].map((n) =>
    archive.query({ sql: `select ${n}` }).then(
      () => 'ok',
      ({ code }) => code,
    ),
  );
  assert.deepEqual(await Promise.all(asked), ['ok', 'ok', 'RESOURCE_EXHAUSTED']);
});

test('explain finds all rows of a request, in Parquet and in segments that are not converted yet', async (context) => {
  const directory = folder(context);
  await written(directory, [{ requestId: 'x', attempt: 0 }, { requestId: 'other' }]);
  const archive = archiveOf(context, directory);
  await archive.convert();
  await written(directory, [{ requestId: 'x', attempt: 1, items: 2, tsUs: startUs + 1_250_000 }], {}, 2);
  const rows = await archive.explain('x');
  assert.deepEqual(
    rows.map(({ request_id, attempt, item_index, ts }) => [request_id, attempt, item_index, ts]),
    [
      ['x', 0, 0, '2026-03-01 10:00:00'],
      ['x', 1, 0, '2026-03-01 10:00:01.25'],
      ['x', 1, 1, '2026-03-01 10:00:01.25'],
    ],
  );
  assert.deepEqual(await archive.explain("' OR 1=1 --"), []);
});

test('tail gives the newest rows, of segments and of Parquet, in order of time', async (context) => {
  const directory = folder(context);
  await written(directory, numbered(5));
  const archive = archiveOf(context, directory);
  await archive.convert();
  await written(directory, [{ requestId: 'new', tsUs: startUs + 60_000_000 }], {}, 2);
  const ids = async (...asked: Parameters<typeof archive.tail>) =>
    (await archive.tail(...asked)).map((row) => row.request_id);
  assert.deepEqual(await ids(3), ['r-3', 'r-4', 'new']);
  assert.deepEqual(await ids(3, { afterUs: startUs + 4_000_000 }), ['new']);
  assert.deepEqual(await ids(3, { model: 'other' }), []);
});

for (const format of ['csv', 'jsonl', 'parquet'] as const) {
  test(`export writes ${format} to a file that did not exist, and no other`, async (context) => {
    const directory = folder(context);
    await written(directory, numbered(4));
    const archive = archiveOf(context, directory);
    await archive.convert();
    const output = join(folder(context), `out.${format}`);
    const sql = 'select request_id, score from predictions order by ts; ';
    assert.deepEqual(await archive.export({ sql }, format, output), { rows: 4 });
    const bytes = readFileSync(output);
    if (format === 'parquet') assert.equal(bytes.toString('latin1', 0, 4), 'PAR1');
    else
      assert.match(
        bytes.toString(),
        format === 'csv' ? /^request_id,score\nr-0,0.75\n/ : /^\{"request_id":"r-0","score":0.75\}\n/,
      );
    await assert.rejects(archive.export({ sql }, format, output), { code: 'FAILED_PRECONDITION' });
    await assert.rejects(archive.export({ sql: 'DROP VIEW predictions' }, format, `${output}2`), {
      code: 'INVALID_ARGUMENT',
    });
    assert.equal(existsSync(`${output}2.partial`), false);
  });
}

test('retention strips inputs and outputs first and deletes whole days later', async (context) => {
  const directory = folder(context);
  const inputs = [floats('x', [1, 1], [42])];
  await written(directory, [{ inputs, outputs: [floats('y', [1], [1])] }], { sample: 1 });
  const dayMs = 86_400_000;
  let nowMs = startUs / 1000 + 29 * dayMs;
  const archive = archiveOf(context, directory, { epochMs: () => nowMs });
  await archive.convert();
  const kept = async () =>
    (await archive.query({ sql: 'select request_id, input_json, outputs_json from predictions' })).rows;
  await archive.retain();
  assert.deepEqual(await kept(), [['r-1', '{"x":[42]}', '{"y":[1]}']]);
  nowMs += 2 * dayMs;
  await archive.retain();
  assert.deepEqual(await kept(), [['r-1', null, null]]);
  nowMs += 370 * dayMs;
  await archive.retain();
  assert.deepEqual(await kept(), []);
  assert.deepEqual([archive.stats().daysStripped, archive.stats().daysRemoved], [1, 1]);
});

test('beyond the budget the oldest day goes first', async (context) => {
  const directory = folder(context);
  const dayUs = 24 * hourUs;
  await written(directory, [{ requestId: 'old' }, { requestId: 'new', tsUs: startUs + dayUs }]);
  await archiveOf(context, directory).convert();
  const root = join(directory, 'archive');
  const bytes = filesBelow(root, '.parquet').reduce((sum, name) => sum + statSync(join(root, name)).size, 0);
  const archive = archiveOf(context, directory, {
    retention: { payloadDays: 30, metadataDays: 400, bytesMax: bytes - 1 },
  });
  await archive.retain();
  assert.deepEqual((await archive.query({ sql: 'select request_id from predictions' })).rows, [['new']]);
});

test('a person is erased by the hash of the key, and nobody else', async (context) => {
  const directory = folder(context);
  const assignment = (key: string | undefined) => ({
    experiment: 'e',
    phase: 1,
    variant: 'a',
    assigned: 'b',
    reason: 'weight' as const,
    isSticky: true,
    keyHash: 1,
    key,
  });
  await written(directory, [
    { requestId: 'gone', assignment: assignment('customer-1') },
    { requestId: 'stays', assignment: assignment('customer-2') },
    { requestId: 'nobody', assignment: assignment(undefined) },
  ]);
  const archive = archiveOf(context, directory);
  assert.equal(await archive.erase([hashed('customer-1')]), 1);
  const { rows } = await archive.query({
    sql: 'select request_id, unit_key_hash, variant_served, variant_assigned from predictions order by seq',
  });
  assert.deepEqual(rows, [
    ['stays', hashed('customer-2'), 'a', 'b'],
    ['nobody', null, 'a', 'b'],
  ]);
});

test('a file that is no segment is set aside, and the others are converted', async (context: TestContext) => {
  const directory = folder(context);
  await written(directory, numbered(2));
  writeFileSync(join(directory, 'segments/g1-0-000001.seg'), 'not a segment at all, but long enough to be read');
  const told: string[] = [];
  const archive = archiveOf(context, directory, {
    onFailed: (path, { message }) => told.push(`${basename(path)}: ${message}`),
  });
  await archive.convert();
  assert.deepEqual(archive.stats().bad, { no_segment: 1, damaged_records: 0 });
  assert.deepEqual(told, ['g1-0-000001.seg: set aside as .bad: it does not begin like a segment']);
  assert.deepEqual(readdirSync(join(directory, 'segments')), ['g1-0-000001.seg.bad']);
  assert.deepEqual((await archive.query({ sql: 'select count(*) from predictions' })).rows, [[2]]);
});

test('a closed segment that is damaged gives the rows before the damage, is set aside and told of', async (context) => {
  const directory = folder(context);
  await written(directory, numbered(20));
  const path = join(directory, 'segments', 'g1-1-000001.seg');
  const bytes = readFileSync(path);
  const at = bytes.indexOf('r-12');
  bytes[at] = 'R'.charCodeAt(0);
  writeFileSync(path, bytes);
  const told: string[] = [];
  const archive = archiveOf(context, directory, {
    onFailed: (file, { message }) => told.push(`${basename(file)}: ${message}`),
  });
  await archive.convert();
  await archive.convert();
  assert.equal(told.length, 1);
  assert.match(told[0]!, /^g1-1-000001.seg: set aside as .bad: \d+ bytes are no records, those before them are kept$/);
  assert.deepEqual(archive.stats().bad, { no_segment: 0, damaged_records: 1 });
  assert.deepEqual(readFileSync(`${path}.bad`), bytes);
  assert.deepEqual((await archive.query({ sql: 'select count(*), max(seq) from predictions' })).rows, [[12, 12]]);
  // Nobody takes what is missing for served.
  assert.deepEqual(readdirSync(join(directory, 'segments')), ['g1-1-000001.seg.bad']);
});

test('whatever the clock says a row keeps its time, and no other row suffers', async (context) => {
  const directory = folder(context);
  const times = [startUs, startUs - 2 * hourUs, 0, -hourUs, startUs + 400 * 24 * hourUs, startUs + 1];
  await written(
    directory,
    times.map((tsUs, i) => ({ requestId: `r-${i}`, tsUs, latencyUs: i % 2 === 0 ? -5 : 2 ** 40 })),
  );
  const archive = archiveOf(context, directory);
  await archive.convert();
  const sql = 'select epoch_us(ts), latency_us from predictions order by seq';
  const expected = times.map((tsUs, i) => [tsUs, i % 2 === 0 ? 0 : 2 ** 31 - 1]);
  assert.deepEqual((await archive.query({ sql })).rows, expected);
  assert.equal(archive.stats().failed, 0);
});

const strange = [NaN, Infinity, -Infinity, -0, 1e-45];

/** Of one input, as many features and a row for each request, with values that are not finite among the first. */
function wide(width: number, requests: number) {
  const features = Array.from({ length: width }, (_, index) => ({
    ...{ name: `feature ${index}`, input: 'x', index },
    type: 'DOUBLE' as const,
  }));
  const inputs = [
    floats(
      'x',
      [1, width],
      Array.from({ length: width }, (_, i) => strange[i] ?? i),
    ),
  ];
  return { features, events: Array.from({ length: requests }, (_, i) => ({ requestId: `r-${i}`, inputs })) };
}

test('1,000 features are 1,000 columns, with values that are not finite among them', async (context) => {
  const directory = folder(context);
  const { features, events } = wide(1000, 50);
  await written(directory, events, { features, sample: 1 });
  const archive = archiveOf(context, directory);
  await archive.convert();
  assert.deepEqual([archive.stats().rows, archive.stats().failed], [50, 0]);
  const shown = ['f_feature_0', 'f_feature_1', 'f_feature_2', 'f_feature_3', 'f_feature_999'];
  const sql = `select count(*), ${shown.map((name) => `max(${name}::varchar)`).join(', ')} from predictions`;
  assert.deepEqual((await archive.query({ sql })).rows, [[50, 'nan', 'inf', '-inf', '-0.0', '999.0']]);
  const [row] = await archive.explain('r-3');
  assert.equal(Object.keys(row!).filter((name) => name.startsWith('f_')).length, 1000);
});

test('10,000 features are no columns but JSON, whole and in their order', async (context) => {
  const directory = folder(context);
  const { features, events } = wide(10_000, 50);
  await written(directory, events, { features, sample: 1 });
  const archive = archiveOf(context, directory, { queryBytesMax: 2 ** 24 });
  await archive.convert();
  assert.deepEqual([archive.stats().rows, archive.stats().failed], [50, 0]);
  const { columns, rows } = await archive.query({ sql: "select * from predictions where request_id = 'r-7'" });
  assert.deepEqual(
    columns.filter(({ name }) => name.startsWith('f_')),
    [],
  );
  const { x } = JSON.parse(String(rows[0]![columns.findIndex(({ name }) => name === 'input_json')]));
  assert.deepEqual([x.length, x.slice(0, 3), x[9999]], [10_000, ['NaN', 'Infinity', '-Infinity'], 9999]);
});
