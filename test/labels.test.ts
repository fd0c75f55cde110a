/** Labels and the index by which they find their predictions: what is kept, what is counted, and what a crash leaves. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DayIndex, type RecordKind } from '../src/labels/day-index.js';
import { dayOf } from '../src/labels/days.js';
import { isRefused, type Label, labelsIn } from '../src/labels/feedback.js';
import { framed } from '../src/labels/frames.js';
import { hashOf } from '../src/labels/hash.js';
import { JoinWriter } from '../src/labels/join-writer.js';
import { servedOf } from '../src/labels/kinds.js';
import { LabelBook } from '../src/labels/label-book.js';
import type { LabelRecord } from '../src/labels/label-record.js';
import { complaintOf, isPositive, type Meaning } from '../src/labels/meaning.js';
import { UnitSeal } from '../src/labels/unit-seal.js';

const dayMs = 86_400_000;
const startMs = Date.UTC(2026, 10, 21, 12);
const meaning: Meaning = { task: 'binary', names: ['malignant', 'benign'], positive: 1, threshold: 0.5 };

type Context = { after(work: () => unknown): void };

function folder(context: Context): string {
  const path = mkdtempSync(join(tmpdir(), 'sluice-labels-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A book over a folder, with predictions of model m to label. */
class Bench {
  readonly told: LabelRecord[] = [];
  readonly unwritten: string[] = [];
  /** Models by the experiment on their route. */
  readonly routes = new Map<string, string>();
  nowMs = startMs;
  readonly #root: string;
  #lives = 0;
  book: LabelBook;

  private constructor(root: string) {
    this.#root = root;
    this.book = this.#made();
  }

  static async open(context: Context): Promise<Bench> {
    const bench = new Bench(folder(context));
    await bench.book.open();
    context.after(() => bench.book.close());
    return bench;
  }

  #made(): LabelBook {
    return new LabelBook({
      predictions: join(this.#root, 'join'),
      labels: join(this.#root, 'feedback'),
      days: 30,
      earlyMs: 3_600_000,
      earlyMax: 10,
      headMax: 64,
      epochMs: () => this.nowMs,
      routeOf: (experiment) => this.routes.get(experiment),
      onLabel: (record) => this.told.push(record),
      onUnwritten: (labels, { message }) => this.unwritten.push(`${labels}: ${message}`),
    });
  }

  async restart(): Promise<void> {
    await this.book.close();
    this.told.length = 0;
    this.nowMs += 1000;
    this.book = this.#made();
    await this.book.open();
  }

  /** From here on nothing can be written of that day's labels. */
  block(tsMs = this.nowMs): () => void {
    const path = join(this.#root, 'feedback', dayOf(tsMs));
    writeFileSync(path, '');
    return () => rmSync(path);
  }

  predict(ids: readonly string[], { items = 1, tsMs = this.nowMs } = {}): void {
    this.#lives++;
    const name = `gateway_1-${this.#lives}`;
    const root = join(this.#root, 'join');
    const writer = new JoinWriter({ root, name, freeShareMin: 0, fileBytesMax: 1e6, now: () => 0 });
    const route = { experiment: 'e', phase: 3, assigned: 'b', variant: 'b', reason: 'weight' };
    const origin = { model: 'm', version: '7', ...route, meaning };
    for (const requestId of ids) {
      const told = Array.from({ length: items }, (_, item) => ({ predicted: String(item % 2), score: item / items }));
      writer.add(origin, { requestId, tsUs: tsMs * 1000, unit: 42, items: told });
    }
    writer.close();
    assert.equal(writer.dropped, 0);
  }

  take(...labels: readonly Partial<Label>[]): Promise<string[]> {
    return this.takeFor('m', ...labels);
  }

  async takeFor(model: string, ...labels: readonly Partial<Label>[]): Promise<string[]> {
    const whole = labels.map((label) => ({
      requestId: 'a',
      item: 0,
      key: 'label',
      label: '1',
      tsMs: 1000,
      source: '',
      weight: 1,
      ...label,
    }));
    return (await this.book.take(model, whole)).map(({ status }) => status);
  }

  /** By request, what counts now. */
  labels(): Record<string, string> {
    const labels: Record<string, string> = {};
    for (const { prediction, told } of this.told) labels[prediction.requestId] = told.label;
    return labels;
  }
}

test('a label finds who answered, why, and what was predicted for its item', async (context) => {
  const bench = await Bench.open(context);
  bench.predict(['a'], { items: 3 });
  assert.deepEqual(await bench.take({ item: 1 }, { item: 3 }, { label: 'maybe' }), ['accepted', 'invalid', 'invalid']);
  const [record] = bench.told;
  const { version, variant, phase, unit, predicted, score, item } = record!.prediction;
  assert.deepEqual([version, variant, phase, unit, predicted, score, item], ['7', 'b', 3, 42, '1', 1 / 3, 1]);
});

test('a label for the model of a route finds what another model answered there, one for any other model does not', async (context) => {
  const bench = await Bench.open(context);
  bench.predict(['a', 'b']);
  bench.routes.set('e', 'shop');
  assert.deepEqual(await bench.takeFor('shop', { requestId: 'a' }), ['accepted']);
  assert.deepEqual(await bench.takeFor('cancer', { requestId: 'b' }), ['invalid']);
  assert.deepEqual(bench.labels(), { a: '1' });
});

test('of several labels of one name the latest counts, and says whose place it takes', async (context) => {
  const bench = await Bench.open(context);
  bench.predict(['a']);
  assert.deepEqual(await bench.take({ label: '1', tsMs: 2000 }), ['accepted']);
  assert.deepEqual(await bench.take({ label: '1', tsMs: 2000 }), ['duplicate']);
  assert.deepEqual(await bench.take({ label: '0', tsMs: 1000 }), ['accepted']);
  assert.equal(bench.told.length, 1);
  // At equal times the later arrival wins, also within one batch.
  assert.deepEqual(await bench.take({ label: '0', tsMs: 2000 }, { label: '1', tsMs: 3000 }), ['accepted', 'accepted']);
  assert.deepEqual(
    bench.told.map(({ told, replaces }) => [told.label, replaces?.label]),
    [
      ['1', undefined],
      ['0', '1'],
      ['1', '0'],
    ],
  );
  assert.deepEqual(await bench.take({ key: 'other' }), ['accepted']);
  assert.equal(bench.told.at(-1)!.replaces, undefined);
});

test('an early label waits for its prediction, over a restart, and for an hour', async (context) => {
  const bench = await Bench.open(context);
  assert.deepEqual(await bench.take({ requestId: 'soon' }, { requestId: 'never' }), ['pending', 'pending']);
  await bench.restart();
  assert.equal(bench.book.earlySize, 2);
  bench.predict(['soon']);
  bench.book.tick();
  assert.deepEqual(await bench.take({ requestId: 'soon' }), ['duplicate']);
  assert.deepEqual(bench.labels(), { soon: '1' });
  bench.nowMs += 3_600_001;
  bench.book.tick();
  assert.deepEqual([bench.book.earlySize, bench.book.unmatched], [0, 1]);
  const many = Array.from({ length: 10 }, (_, at) => ({ requestId: `x${at}` }));
  await bench.take(...many);
  await assert.rejects(bench.take({ requestId: 'one more' }), { code: 'RESOURCE_EXHAUSTED' });
});

test('an early label that cannot be written when its prediction comes is told of, and not lost', async (context) => {
  const bench = await Bench.open(context);
  await bench.take({ requestId: 'soon' });
  const unblock = bench.block();
  bench.predict(['soon']);
  bench.book.tick();
  await bench.book.take('m', []);
  assert.match(bench.unwritten.join(), /^1: feedback: labels cannot be kept/);
  assert.deepEqual(bench.labels(), {});
  unblock();
  await bench.restart();
  bench.book.tick();
  await bench.book.take('m', []);
  assert.deepEqual(bench.labels(), { soon: '1' });
});

test('after a restart all labels are told again and none can come twice', async (context) => {
  const bench = await Bench.open(context);
  const ids = Array.from({ length: 300 }, (_, at) => `r${at}`);
  bench.predict(ids);
  bench.predict(['yesterday'], { tsMs: startMs - dayMs });
  const labels = [...ids, 'yesterday'].map((requestId) => ({ requestId }));
  assert.ok((await bench.take(...labels)).every((status) => status === 'accepted'));
  await bench.take({ requestId: 'r7', label: '0', tsMs: 9000 });
  const before = bench.labels();
  await bench.restart();
  assert.deepEqual(bench.labels(), before);
  assert.equal(bench.told.length, 302);
  assert.deepEqual(
    new Set(await bench.take(...labels.filter(({ requestId }) => requestId !== 'r7'))),
    new Set(['duplicate']),
  );
  const served = [...bench.book.served()].map(([key, count]) => [servedOf(key).variant, count] as const);
  assert.equal(
    served.reduce((sum, [, count]) => sum + count, 0),
    301,
  );
  bench.nowMs += 40 * dayMs;
  bench.book.retain();
  assert.equal(bench.book.predictions, 0);
});

const plain: RecordKind = { hashOf: (payload) => hashOf(payload.toString()), countOf: () => ['all', 1] };

test('an index finds every record in memory, in runs and in merged runs, and goes on after a crash', async (context) => {
  const directory = folder(context);
  const file = join(directory, 'a-1.rows');
  const texts = Array.from({ length: 1000 }, (_, at) => `text ${at}`);
  const foundIn = (index: DayIndex) =>
    texts.filter((text) => index.find(hashOf(text)).some(({ payload }) => payload.toString() === text)).length;
  const countIn = (index: DayIndex) => [...index.counts()].reduce((sum, [, count]) => sum + count, 0);

  const first = new DayIndex({ directory, kind: plain, headMax: 16 });
  for (let from = 0; from < 1000; from += 100) {
    appendFileSync(file, framed(texts.slice(from, from + 100).map((text) => Buffer.from(text))));
    first.refresh();
  }
  assert.deepEqual([foundIn(first), countIn(first), first.entries], [1000, 1000, 1000]);
  assert.deepEqual(first.find(hashOf('nobody')), []);
  await first.close();
  assert.ok(readdirSync(directory).some((name) => name.startsWith('1-')));

  // What was being written is not there yet, and nothing of it is lost once it is.
  const last = framed([Buffer.from('torn')]);
  appendFileSync(file, last.subarray(0, 9));
  const second = new DayIndex({ directory, kind: plain, headMax: 16 });
  second.refresh();
  assert.deepEqual([foundIn(second), countIn(second), second.entries], [1000, 1000, 1000]);
  appendFileSync(file, last.subarray(9));
  second.refresh();
  assert.equal(second.find(hashOf('torn')).length, 1);
  await second.close();

  // A damaged run is made again from the rows.
  const [run] = readdirSync(directory).filter((name) => name.endsWith('.run'));
  truncateSync(join(directory, run!), 100);
  const third = new DayIndex({ directory, kind: plain, headMax: 16 });
  third.refresh();
  assert.deepEqual([foundIn(third), countIn(third), third.entries], [1000, 1001, 1001]);
  await third.close();
});

test('a record that is not whole ends its file and no other', async (context) => {
  const directory = folder(context);
  const good = framed([Buffer.from('one'), Buffer.from('two')]);
  const bad = Buffer.from(good);
  bad[bad.length - 1]! ^= 1;
  appendFileSync(join(directory, 'a-1.rows'), bad);
  appendFileSync(join(directory, 'b-1.rows'), framed([Buffer.from('three')]));
  const index = new DayIndex({ directory, kind: plain, headMax: 16 });
  index.refresh();
  assert.deepEqual(
    ['one', 'two', 'three'].map((text) => index.find(hashOf(text)).length),
    [1, 0, 1],
  );
  assert.equal(index.damaged, 1);
  await index.close();
});

test('labels are read in both forms; what is wrong with one is said of that one', () => {
  const read = labelsIn([
    { request_id: 'a', label: 1, ts: '2026-11-21T00:00:00Z', item_index: 2, weight: 0.5 },
    { groundTruthData: { data: ' 0 ', encoding: 'CSV' }, eventMetadata: { eventId: 'b' }, eventVersion: '0' },
  ]) as Label[];
  assert.deepEqual(
    read.map(({ requestId, item, label, tsMs, weight }) => [requestId, item, label, tsMs, weight]),
    [
      ['a', 2, '1', Date.UTC(2026, 10, 21), 0.5],
      ['b', 0, '0', undefined, 1],
    ],
  );
  for (const wrong of [
    null,
    7,
    {},
    { request_id: '', label: 1 },
    { request_id: 'a' },
    { request_id: 'a', label: Number.NaN },
    { request_id: 'a', label: Infinity },
    { request_id: 'a', label: [1] },
    { request_id: 'a', label: 'x'.repeat(300) },
    { request_id: 'a', label: 1, ts: 'soon' },
    { request_id: 'a', label: 1, ts: -1 },
    { request_id: 'a', label: 1, weight: 0 },
    { request_id: 'a', label: 1, item_index: 1.5 },
    { request_id: 'a', label: 1, lable: 2 },
    { groundTruthData: {}, eventMetadata: { eventId: 'b' } },
  ])
    assert.ok(isRefused(labelsIn([wrong])[0]!), JSON.stringify(wrong));
  for (const body of [[], new Array(1001).fill({ request_id: 'a', label: 1 })])
    assert.throws(() => labelsIn(body), { code: 'INVALID_ARGUMENT' });
});

test('a unit is sealed under the secret: another number for each, the same for the same, and opened again', () => {
  const [seal, other] = [new UnitSeal(Buffer.alloc(32, 7)), new UnitSeal(Buffer.alloc(32, 8))];
  const units = [
    0,
    1,
    2,
    0xffff,
    0x10000,
    0xdeadbeef,
    0xffffffff,
    ...Array.from({ length: 1000 }, (_, i) => i * 65_537),
  ];
  const sealed = units.map((unit) => seal.sealed(unit));
  assert.deepEqual(
    sealed.map((number) => seal.opened(number)),
    units,
  );
  assert.equal(new Set(sealed).size, new Set(units).size);
  assert.equal(new UnitSeal(Buffer.alloc(32, 7)).sealed(42), seal.sealed(42));
  assert.ok(units.filter((unit, i) => other.sealed(unit) === sealed[i]).length <= 1);
  assert.ok(units.filter((unit, i) => unit === sealed[i]).length <= 1);
});

test('classes go by name and by number, whichever the score is for', () => {
  assert.deepEqual(
    ['1', 'benign', 'true', '0', 'malignant', 'false', '2', '', '01'].map((label) => isPositive(meaning, label)),
    [true, true, true, false, false, false, undefined, undefined, true],
  );
  assert.equal(isPositive({ ...meaning, positive: 0 }, 'malignant'), true);
  assert.match(complaintOf(meaning, '2')!, /malignant or benign/);
  assert.equal(complaintOf({ ...meaning, task: 'numbers' }, '1e3'), undefined);
  assert.match(complaintOf({ ...meaning, task: 'numbers' }, 'much')!, /number/);
});
