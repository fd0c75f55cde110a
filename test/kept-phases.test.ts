/** What experiments have counted and found, over a restart. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ArmsSeen } from '../src/control/arms-seen.js';
import { type ExperimentAnswer, Experiments } from '../src/control/experiments.js';
import { KeptPhases } from '../src/control/kept-phases.js';
import { armLatencyBoundsMs, latencyBucketOf } from '../src/core/arm-counts.js';
import type { Experiment } from '../src/core/route.js';
import { StateFolder } from '../src/registry/store/state.js';
import { experimentOf } from './experiment-fixture.js';
import { freshDirectory } from './system/server.js';

const file = 'experiment-spring.json';
/** Keys of the variant `new` begin here. */
const newKeys = 2 ** 31;

/** One life of the control process over a folder; another one begins with the folder and `next`. */
async function lifeIn(directory: string, next: Experiment = experimentOf(), names = ['spring']) {
  const told: string[] = [];
  const state = new StateFolder(directory, (message) => told.push(message));
  const log = { warn: (event: string) => told.push(event) };
  const kept = await KeptPhases.open({ state, log }, names);
  const seen = new ArmsSeen(() => 5000, kept.restore);
  const mismatches: ExperimentAnswer[] = [];
  const experiments = new Experiments({
    seen,
    routes: () => ({}),
    estimateOf: () => undefined,
    onMismatch: (answer) => mismatches.push(answer),
    slowMs: kept.slowMs,
  });
  const publish = () => {
    const slowMs = experiments.slowMs(next.name);
    seen.follow({ m: slowMs === undefined ? next : { ...next, slowMs } }, () => ['accuracy']);
  };
  publish();
  /** So many keys with a request each. */
  const see = (variant: string, count: number, { faults = 0, slow = 0, from = 0, life = 'g1' } = {}) => {
    const arm = { experiment: next.name, phase: next.phase, variant };
    const column = (value: (i: number) => number) => Float64Array.from({ length: count }, (_, i) => value(i));
    const keys = {
      ...arm,
      keys: column((i) => from + i + (variant === 'new' ? newKeys : 0)),
      requests: column(() => 1),
      faults: column((i) => Number(i < faults)),
      timed: column(() => 1),
      slow: column((i) => Number(i < slow)),
    };
    const latency = new Array<number>(armLatencyBoundsMs.length + 1).fill(0);
    latency[latencyBucketOf(3)] = count;
    const counts = { requests: count, faults, latency, predictions: [count, 0] };
    seen.take(`${life} ${variant}`, { arms: [{ ...arm, counts }], keys: [keys], untold: 0 });
  };
  const label = (variant: string, key: number, right: number) =>
    seen.addLabel({ experiment: next.name, phase: next.phase, assigned: variant, key }, () => [right, undefined]);
  const keep = (nowMs = Infinity) =>
    kept.keep(
      [...seen.phases.values()].map((phase) => ({ seen: phase, memory: experiments.memoryOf(phase) })),
      nowMs,
    );
  return { told, seen, experiments, mismatches, publish, see, label, keep, look: () => experiments.answer('spring') };
}

type Life = Awaited<ReturnType<typeof lifeIn>>;

/** What the first life sees, and what comes after it. */
function firstHalf({ see, label, experiments, publish }: Life): void {
  see('old', 800, { faults: 10, slow: 40 });
  see('new', 200, { faults: 40, slow: 10 });
  for (let key = 0; key < 60; key++) label('new', key + newKeys, Number(key % 3 > 0));
  experiments.freeze();
  publish();
  experiments.answer('spring');
}

function secondHalf({ see, label }: Life, life: string): void {
  see('old', 6400, { faults: 128, life, from: 400 });
  see('new', 1600, { life, from: 100 });
  for (let key = 0; key < 80; key++) label('old', key, Number(key % 4 > 0));
}

test('an experiment goes on over a restart as if there had been none', async (context) => {
  const [directory, other] = [freshDirectory(context), freshDirectory(context)];
  const before = await lifeIn(directory);
  firstHalf(before);
  const { comparisons, since } = before.look();
  await before.keep();

  const after = await lifeIn(directory);
  assert.equal(after.look().since, since);
  assert.deepEqual(after.look(), before.look());
  assert.ok(after.look().slow_ms! > 3, 'what slow means stays');
  assert.deepEqual(after.experiments.freeze(), [], 'and is not looked for again');
  secondHalf(after, 'g2');

  const unbroken = await lifeIn(other);
  firstHalf(unbroken);
  // The process that counted the first half has ended: its counts stay.
  for (const variant of ['old', 'new']) unbroken.seen.ended(`g1 ${variant}`);
  secondHalf(unbroken, 'g2');
  const answer = after.look();
  assert.deepEqual(answer, unbroken.look());
  const [errors] = answer.comparisons;
  assert.equal(errors!.p_always_valid, comparisons[0]!.p_always_valid, 'the smallest p of the phase, not of this life');
  assert.deepEqual([after.told, before.told], [[], []]);
});

test('a wrong sample ratio withholds after a restart, too, and is not told again', async (context) => {
  const directory = freshDirectory(context);
  const before = await lifeIn(directory);
  before.see('old', 900);
  before.see('new', 900);
  assert.equal(before.look().srm.is_mismatch, true);
  await before.keep();
  const after = await lifeIn(directory);
  after.see('old', 2700, { from: 900, life: 'g2' });
  const { srm, comparisons } = after.look();
  assert.deepEqual([srm.keys, srm.is_mismatch, comparisons], [{ old: 3600, new: 900 }, true, []]);
  assert.deepEqual([before.mismatches.length, after.mismatches.length], [1, 0]);
});

test('another phase, salt, weight, version or control begins anew', async (context) => {
  const { variants } = experimentOf();
  const others: Partial<Experiment>[] = [
    { phase: 2 },
    { salt: 'autumn' },
    { champion: 'new' },
    { coverage: 0.5 },
    { variants: variants.map((variant) => ({ ...variant, weight: 50 })) },
    { variants: variants.map((variant) => ({ ...variant, version: '3' })) },
  ];
  for (const change of others) {
    const directory = freshDirectory(context);
    const before = await lifeIn(directory);
    firstHalf(before);
    await before.keep();
    const after = await lifeIn(directory, experimentOf(change));
    const { srm, since, comparisons } = after.look();
    assert.deepEqual([srm.keys, since], [{ old: 0, new: 0 }, new Date(5000).toISOString()], JSON.stringify(change));
    assert.equal(comparisons[0]!.p_always_valid, 1);
    assert.equal(after.experiments.slowMs('spring'), before.experiments.slowMs('spring'));
  }
});

test('what cannot be read begins anew and is told of, kept aside or not', async (context) => {
  const damages: [(text: string) => string, RegExp][] = [
    [() => '{ "identity": ', /state document experiment-spring\.json cannot be read/],
    [(text) => text.replace('"ratioP": 1', '"ratioP": 7'), /state document experiment-spring\.json cannot be read/],
    [(text) => text.replace(/"variantOf": "/, '"variantOf": "////'), /^experiment\.anew$/],
    [(text) => text.replace(/"keys": "[^"]{12}/, '"keys": "'), /^experiment\.anew$/],
    [(text) => text.replace(/("sums": \{\s*"error_rate": ")[^"]*/, '$1AAAA'), /^experiment\.anew$/],
  ];
  for (const [damage, reason] of damages) {
    const directory = freshDirectory(context);
    const before = await lifeIn(directory);
    before.see('old', 80);
    before.see('new', 20);
    await before.keep();
    const path = join(directory, file);
    const damaged = damage(readFileSync(path, 'utf8'));
    assert.notEqual(damaged, readFileSync(path, 'utf8'));
    writeFileSync(path, damaged);
    const after = await lifeIn(directory);
    assert.equal(after.told.length, 1);
    assert.match(after.told[0]!, reason);
    assert.deepEqual(after.look().srm.keys, { old: 0, new: 0 });
    after.see('old', 8);
    await after.keep();
    assert.deepEqual((await lifeIn(directory)).look().srm.keys, { old: 8, new: 0 });
  }
});

test('nothing is written as long as nothing comes, and of an experiment that is gone nothing stays', async (context) => {
  const directory = freshDirectory(context);
  const life = await lifeIn(directory);
  firstHalf(life);
  await life.keep();
  writeFileSync(join(directory, file), 'as it was');
  await life.keep();
  assert.equal(readFileSync(join(directory, file), 'utf8'), 'as it was');
  life.label('new', newKeys, 1);
  await life.keep();
  assert.notEqual(readFileSync(join(directory, file), 'utf8'), 'as it was');
  await lifeIn(directory, experimentOf({ name: 'autumn' }), ['autumn']);
  assert.deepEqual(readdirSync(directory), ['units.json']);
});

test('the more keys there are, the longer what was written rests', async (context) => {
  const directory = freshDirectory(context);
  const life = await lifeIn(directory);
  const kept = () => JSON.parse(readFileSync(join(directory, file), 'utf8')).arms.old.requests as number;
  life.see('old', 1000);
  await life.keep(60_000);
  life.see('old', 1001);
  await life.keep(61_499);
  assert.equal(kept(), 1000);
  await life.keep(61_500);
  assert.equal(kept(), 1001);
  life.see('old', 1002);
  await life.keep();
  assert.equal(kept(), 1002);
});

test('keys are sealed, and with another secret what was kept says nothing', async (context) => {
  const directory = freshDirectory(context);
  const life = await lifeIn(directory);
  life.see('old', 2, { from: 0x41424344 });
  await life.keep();
  const { keys } = JSON.parse(readFileSync(join(directory, file), 'utf8')).keys as { keys: string };
  const bytes = Buffer.from(keys, 'base64');
  assert.equal(bytes.length, 8);
  assert.notEqual(bytes.readUInt32LE(0), 0x41424344);
  assert.deepEqual((await lifeIn(directory)).look().srm.keys, { old: 2, new: 0 });
  const secret = join(directory, 'units.json');
  assert.equal(statSync(secret).mode & 0o777, 0o600);
  writeFileSync(secret, `"${'0'.repeat(64)}"`);
  assert.deepEqual((await lifeIn(directory)).look().srm.keys, { old: 0, new: 0 });
});

test('a disk that takes nothing is told of, and the next time is tried again', async (context) => {
  const directory = freshDirectory(context);
  const life = await lifeIn(directory);
  firstHalf(life);
  rmSync(directory, { recursive: true });
  await life.keep();
  await life.keep();
  assert.deepEqual(life.told, ['experiment.unwritten', 'experiment.unwritten']);
});
