/** What labels say of versions: counted exactly, taken back exactly, and judged only when there are enough of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArmsSeen } from '../src/control/arms-seen.js';
import type { JudgedSignals } from '../src/control/judged-signals.js';
import { observationOf } from '../src/control/label-observation.js';
import { type QualityEvent, QualityRoom } from '../src/control/quality-room.js';
import type { Joined, LabelRecord, Told } from '../src/labels/label-record.js';
import type { Meaning } from '../src/labels/meaning.js';

const startUs = Date.UTC(2026, 10, 21, 12) * 1000;
const binary: Meaning = { task: 'binary', names: [], positive: 1, threshold: 0.5 };
const numbers: Meaning = { ...binary, task: 'numbers' };

let requests = 0;

function joined(change: Partial<Joined> = {}): Joined {
  requests++;
  const route = { experiment: '', phase: 0, assigned: '', variant: '', reason: '' };
  const place = {
    model: 'm',
    version: '1',
    ...route,
    requestId: `r${requests}`,
    item: 0,
    tsUs: startUs,
    unit: undefined,
  };
  return { ...place, predicted: '1', score: 0.9, meaning: binary, ...change };
}

function told(label: string): Told {
  return { label, tsMs: 0, receivedMs: startUs / 1000 + 60_000, source: '', weight: 1 };
}

function record(label: string, change: Partial<Joined> = {}): LabelRecord {
  return { prediction: joined(change), key: 'label', told: told(label), replaces: undefined, isHistory: false };
}

function roomWith(champion?: string) {
  const events: QualityEvent[] = [];
  const looks: JudgedSignals[] = [];
  const room = new QualityRoom({
    rule: { windowLabels: 50, labelsMin: 50, margin: 0.02 },
    championOf: () => champion,
    served: () => new Map([['["m","1",""]', 200]]),
    onChange: (event) => events.push(event),
    onJudged: (judged) => looks.push(judged),
  });
  return { room, events, looks };
}

test('a label that is replaced leaves no trace of the first one', () => {
  const [{ room }, { room: plain }] = [roomWith(), roomWith()];
  const scores = [0.1, 0.4, 0.6, 0.9, 0.7];
  for (const score of scores) {
    const first = record(score > 0.5 ? '0' : '1', { score });
    room.add(first);
    const next = { ...first, told: told('1'), replaces: first.told };
    room.add(next);
    plain.add({ ...next, replaces: undefined });
  }
  const [[got], [expected]] = [room.document('m').versions, plain.document('m').versions] as const;
  for (const [name, { value, n }] of Object.entries(expected!.metrics)) {
    assert.equal(got!.metrics[name]!.n, n, name);
    if (value === null) assert.equal(got!.metrics[name]!.value, null, name);
    else assert.ok(Math.abs(got!.metrics[name]!.value! - value) < 1e-12, name);
  }
  assert.equal(got!.metrics.accuracy!.value, 3 / 5);
  assert.deepEqual([got!.n, got!.label_coverage, got!.hours.length, got!.days.length], [5, 5 / 200, 1, 1]);
  assert.ok(Math.abs(got!.label_lag_p50_s! - 60) < 3.1);
});

test('a variant has its own numbers beside those of its version; other keys are left alone', () => {
  const { room } = roomWith();
  room.add(record('1', { variant: 'a' }));
  room.add(record('0', { variant: 'b' }));
  room.add({ ...record('0', { variant: 'b' }), key: 'other' });
  assert.deepEqual(
    room.document('m').versions.map(({ variant, n, metrics }) => [variant, n, metrics.accuracy!.value]),
    [
      ['', 2, 0.5],
      ['a', 1, 1],
      ['b', 1, 0],
    ],
  );
  assert.throws(() => room.document('nobody'), { code: 'NOT_FOUND' });
});

test('one bad window is no alarm, two in a row are one', () => {
  const { room, events } = roomWith('2');
  const window = (version: string, label: string) => {
    for (let at = 0; at < 50; at++) room.add(record(label, { version }));
  };
  window('1', '0');
  const state = () => room.document('m').versions.find(({ version }) => version === '1')!.state;
  assert.equal(state(), 'no_reference');
  window('2', '1');
  window('1', '0');
  assert.equal(state(), 'undecided');
  assert.deepEqual(events, []);
  window('1', '0');
  assert.equal(state(), 'degraded');
  window('1', '0');
  assert.deepEqual(
    events.map(({ type, subject }) => [type, subject]),
    [['io.sluice.quality.degraded', 'm@1']],
  );
});

test('each judged window tells a policy how right the version is and how many labels there are; a replay tells nothing', () => {
  const { room, looks } = roomWith('2');
  const window = (version: string, label: string) => {
    for (let at = 0; at < 50; at++) room.add(record(label, { version }));
  };
  room.isReplaying = true;
  window('1', '0');
  room.isReplaying = false;
  assert.deepEqual(looks, []);
  window('2', '1');
  window('1', '0');
  window('1', '0');
  assert.deepEqual(
    looks.map(({ model, version, signals }) => [model, version, signals]),
    [
      ['m', '2', { labelsSinceTraining: 50 }],
      ['m', '1', { labelsSinceTraining: 100, quality: 'ok' }],
      ['m', '1', { labelsSinceTraining: 150, quality: 'degraded' }],
    ],
  );
});

test('numbers are judged by their error; a metric takes of a label what it says', () => {
  const { room } = roomWith();
  for (const [score, label] of [
    [1, '2'],
    [3, '3'],
    [5, '2'],
  ] as const)
    room.add(record(label, { meaning: numbers, score, predicted: undefined }));
  const [{ metrics } = { metrics: {} as Record<string, { value: number | null }> }] = room.document('m').versions;
  assert.equal(metrics.mae!.value, 4 / 3);
  assert.ok(Math.abs(metrics.rmse!.value! - Math.sqrt(10 / 3)) < 1e-12);
  const one = joined({ score: 0.8 });
  assert.deepEqual(
    ['accuracy', 'brier', 'log_loss', 'mae', 'revenue'].map((metric) => observationOf(metric, one, '1')?.toFixed(4)),
    ['1.0000', '0.0400', '0.2231', undefined, undefined],
  );
  assert.equal(observationOf('accuracy', one, '0'), 0);
  assert.equal(observationOf('mae', joined({ meaning: numbers, score: 3 }), '5'), 2);
});

test('labels count for the arm of the present phase, by key, and can be taken back', () => {
  const seen = new ArmsSeen(() => 0);
  const variants = ['a', 'b'].map((name) => ({ name, model: 'm', version: '1', weight: 1 }));
  const experiment = { name: 'e', phase: 2, variants } as unknown as Parameters<ArmsSeen['follow']>[0][string];
  seen.follow({ m: experiment }, () => ['accuracy']);
  const label = (phase: number, key: number, now: number, before?: number) =>
    seen.addLabel({ experiment: 'e', phase, assigned: 'b', key }, () => [now, before]);
  label(2, 1, 1);
  label(2, 2, 0);
  label(2, 2, 1, 0);
  label(2, 3, 0);
  label(1, 4, 0);
  seen.addLabel({ experiment: 'e', phase: 2, assigned: 'gone', key: 5 }, () => [1, undefined]);
  const [, b] = seen.phases.get('m')!.counts.look();
  assert.deepEqual([b!.metrics.accuracy!.n, b!.metrics.accuracy!.mean], [3, 2 / 3]);
});
