/** Labels beside the rows of the prediction log: as finished files, and in questions. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { framed } from '../src/labels/frames.js';
import { type LabelRecord, labelPayload, type Told } from '../src/labels/label-record.js';
import type { Archive, ArchiveOptions } from '../src/predictions/archive.js';
import { archiveOf, event, folder, openLog, startUs, terms } from './predictions-events.js';

const day = '2026-03-01';
const startMs = startUs / 1000;
const readerUrl = new URL('../src/labels/label-rows.js', import.meta.url).href;

interface Said {
  readonly id: string;
  readonly label?: string;
  readonly item?: number;
  readonly model?: string;
  readonly key?: string;
  /** After the start. */
  readonly ms?: number;
  readonly receivedMs?: number;
  readonly replaces?: Told;
  readonly isHistory?: boolean;
  readonly source?: string;
}

function told({ label = '1', ms = 0, receivedMs = ms, source = '' }: Omit<Said, 'id'>): Told {
  return { label, tsMs: startMs + ms, receivedMs: startMs + receivedMs, source, weight: 1 };
}

function record(said: Said): LabelRecord {
  const { id, item = 0, model = 'digits', key = 'label', replaces, isHistory = false } = said;
  const route = { experiment: '', phase: 0, assigned: '', variant: '', reason: '' };
  const meaning = { task: 'classes', names: [], positive: 1, threshold: 0.5 } as const;
  const origin = { model, version: '3', ...route, meaning };
  const prediction = { ...origin, requestId: id, item, tsUs: startUs, unit: undefined, predicted: '7', score: 0.5 };
  return { prediction, key, told: told(said), replaces, isHistory };
}

function bytesOf(said: readonly Said[]): Buffer {
  return framed(said.map((one) => labelPayload(record(one))));
}

/** A folder with files of labels, and what is made of them. */
class Bench {
  readonly directory: string;
  readonly #context: TestContext;
  archive: Archive;

  constructor(context: TestContext) {
    this.#context = context;
    this.directory = folder(context);
    this.archive = this.open();
  }

  open(more: Partial<ArchiveOptions> = {}): Archive {
    const labels = { directory: join(this.directory, 'feedback'), readerUrl, ageMs: 60_000 };
    this.archive = archiveOf(this.#context, this.directory, { labels, ...more });
    return this.archive;
  }

  write(said: readonly Said[], name = 'labels-1-1-1', date = day): string {
    const path = join(this.directory, 'feedback', date, `${name}.rows`);
    mkdirSync(join(path, '..'), { recursive: true });
    appendFileSync(path, bytesOf(said));
    return path;
  }

  /** Ends of the finished files' paths. */
  files(): string[] {
    const root = join(this.directory, 'archive', 'labels');
    return readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.parquet'))
      .sort();
  }

  async ask(sql: string): Promise<readonly (readonly unknown[])[]> {
    await this.archive.settle();
    return (await this.archive.query({ sql })).rows;
  }
}

test('labels stand beside the rows that they belong to, by model and day', async (context) => {
  const bench = new Bench(context);
  const segments = join(bench.directory, 'segments');
  mkdirSync(segments);
  const log = await openLog(segments);
  const subject = log.subject(terms);
  for (const requestId of ['a', 'b', 'c']) log.append(event(subject, { requestId, prediction: '7' }));
  await log.close();
  bench.write([
    { id: 'a', label: '7', ms: 5 },
    { id: 'b', label: '1', ms: 6, receivedMs: 9, source: 'desk' },
  ]);
  bench.write([{ id: 'z', model: 'other' }]);
  assert.deepEqual(
    await bench.ask(`SELECT request_id, prediction, label, prediction = label, source
      FROM predictions LEFT JOIN labels USING (request_id, item_index) ORDER BY request_id`),
    [
      ['a', '7', '7', true, ''],
      ['b', '7', '1', false, 'desk'],
      ['c', '7', null, null, null],
    ],
  );
  assert.deepEqual(bench.files(), [
    `model=digits/date=${day}/part-labels-1-1-1-0.parquet`,
    `model=other/date=${day}/part-labels-1-1-1-0.parquet`,
  ]);
  assert.deepEqual(await bench.ask("SELECT * FROM labels WHERE request_id = 'b'"), [
    ['b', 0, 'label', '1', '2026-03-01 10:00:00.006', '2026-03-01 10:00:00.009', 'desk', 1, 'digits', day],
  ]);
});

test('of labels of one name the one that counts is shown', async (context) => {
  const bench = new Bench(context);
  const first = { id: 'a', label: 'x', ms: 1 };
  const second = { id: 'a', label: 'y', ms: 3, replaces: told(first) };
  const late = { id: 'a', label: 'z', ms: 2, receivedMs: 8, isHistory: true };
  bench.write([first, { id: 'a', item: 1, label: 'i', ms: 1 }, { id: 'a', key: 'k', label: 'k', ms: 1 }]);
  // What replaces may come later, in another file.
  bench.write([second, late], 'labels-2-1-1');
  // There and back in one millisecond.
  const [there, andBack] = [
    { id: 'b', label: 'there' },
    { id: 'b', label: 'back' },
  ];
  bench.write([there, { ...andBack, replaces: told(there) }, { ...there, replaces: told(andBack) }], 'labels-2-1-1');
  assert.deepEqual(await bench.ask('SELECT request_id, item_index, label_key, label FROM labels ORDER BY ALL'), [
    ['a', 0, 'k', 'k'],
    ['a', 0, 'label', 'y'],
    ['a', 1, 'label', 'i'],
    ['b', 0, 'label', 'there'],
  ]);
});

test('a file that grows is made anew where it grew, also after a restart, and no label is there twice', async (context) => {
  const bench = new Bench(context);
  const long = 'x'.repeat(700_000);
  const count = 'SELECT count(*), count(DISTINCT request_id) FROM labels';
  for (let at = 0; at < 8; at++) bench.write([{ id: `r-${at}`, source: long }]);
  assert.deepEqual(await bench.ask(count), [[8, 8]]);
  assert.equal(bench.files().length, 2);
  const untouched = join(bench.directory, 'archive/labels', bench.files()[0]!);
  const { ino } = statSync(untouched);
  bench.archive.close();
  bench.open();
  const path = bench.write([{ id: 'r-8' }]);
  // The beginning of a label that is still being written.
  appendFileSync(path, bytesOf([{ id: 'r-9' }]).subarray(0, 20));
  assert.deepEqual(await bench.ask(count), [[9, 9]]);
  assert.equal(bench.files().length, 2);
  assert.equal(statSync(untouched).ino, ino);
  // A manifest that is lost costs the work, and no label.
  bench.archive.close();
  rmSync(join(bench.directory, 'archive/labels/_manifest.jsonl'));
  bench.open();
  assert.deepEqual(await bench.ask(count), [[9, 9]]);
  assert.equal(bench.files().length, 2);
});

test('a damaged manifest costs the work and no label, and is told of', async (context) => {
  const bench = new Bench(context);
  bench.write([{ id: 'a' }, { id: 'b' }]);
  const count = 'SELECT count(*), count(DISTINCT request_id) FROM labels';
  assert.deepEqual(await bench.ask(count), [[2, 2]]);
  const manifest = join(bench.directory, 'archive/labels/_manifest.jsonl');
  const whole = readFileSync(manifest, 'utf8');
  const damaged = {
    'no line\n': /JSON/,
    'null\n': /names no file/,
    [whole.replace('"from":0', '"from":"x"')]: /place/,
  };
  for (const [text, reason] of Object.entries(damaged)) {
    bench.archive.close();
    writeFileSync(manifest, text);
    const told: string[] = [];
    bench.open({ onFailed: (file, { message }) => told.push(`${basename(file)}: ${message}`) });
    assert.deepEqual(await bench.ask(count), [[2, 2]]);
    assert.equal(told.length, 1);
    assert.match(told[0]!, /^_manifest.jsonl: /);
    assert.match(told[0]!, reason);
    assert.equal(readFileSync(manifest, 'utf8').split('\n').length, 2);
  }
});

test('a file that has grown a little is made anew when its time has come, or somebody asks', async (context) => {
  const bench = new Bench(context);
  let nowMs = startMs;
  bench.open({ epochMs: () => nowMs });
  const shown = async () => (await bench.archive.query({ sql: 'SELECT count(*) FROM labels' })).rows[0]![0];
  bench.write([{ id: 'a' }]);
  await bench.archive.convert();
  assert.equal(await shown(), 1);
  bench.write([{ id: 'b' }]);
  await bench.archive.convert();
  assert.equal(await shown(), 1);
  await bench.archive.settle();
  assert.equal(await shown(), 2);
  bench.write([{ id: 'c' }]);
  nowMs += 60_000;
  await bench.archive.convert();
  assert.equal(await shown(), 3);
});

test('a file of labels that is damaged gives those before the damage, and the others are whole', async (context) => {
  const bench = new Bench(context);
  const path = bench.write([{ id: 'a' }, { id: 'b' }]);
  const bytes = readFileSync(path);
  bytes[bytes.length - 5]! ^= 1;
  writeFileSync(path, bytes);
  bench.write([{ id: 'c' }], 'labels-2-1-1');
  assert.deepEqual(await bench.ask('SELECT request_id FROM labels ORDER BY request_id'), [['a'], ['c']]);
  assert.equal(bench.archive.stats().failed, 0);
});

test('labels go with their day', async (context) => {
  const bench = new Bench(context);
  bench.write([{ id: 'old' }]);
  bench.write([{ id: 'new' }], 'labels-1-2-1', '2026-03-02');
  const dayMs = 86_400_000;
  bench.open({ epochMs: () => startMs + 401 * dayMs });
  await bench.archive.settle();
  await bench.archive.retain();
  assert.deepEqual(await bench.ask('SELECT request_id FROM labels'), [['new']]);
  assert.deepEqual(bench.files(), [`model=digits/date=2026-03-02/part-labels-1-2-1-0.parquet`]);
});

test('without labels the view is empty, and what it is made of cannot be asked for', async (context) => {
  const bench = new Bench(context);
  assert.deepEqual(await bench.ask('SELECT * FROM labels'), []);
  await assert.rejects(bench.ask('SELECT * FROM every'), { code: 'INVALID_ARGUMENT' });
});
