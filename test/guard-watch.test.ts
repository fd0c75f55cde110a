/** The watch after a swap: what is compared with what, over processes that come and go, and what follows. Time is given. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuardWatch, type KeptWatches, type Swap } from '../src/control/guard-watch.js';
import { TrafficHistory } from '../src/control/traffic-history.js';
import { type Family, type Series, secondsBuckets } from '../src/core/series.js';
import { Tally } from '../src/core/tally.js';
import type { GuardVerdict } from '../src/monitor/guard.js';

/** What one process tells: by version of model m, how many requests it answered and how many of them failed. */
function told(counts: Readonly<Record<string, readonly [requests: number, faults: number]>>): Family[] {
  const series: Series[] = Object.entries(counts).flatMap(([version, [requests, faults]]) => [
    { labels: { model: 'm', version, code: 'OK' }, value: requests - faults },
    { labels: { model: 'm', version, code: 'INTERNAL' }, value: faults },
  ]);
  return [{ name: 'sluice_requests_total', help: '', type: 'counter', series }];
}

/** @param disk what one life of control keeps for the next */
function watchOf(watchMs = 60_000, disk: { kept: KeptWatches; writes: number; atMs: number } = emptyDisk()) {
  const clock = { ms: 0 };
  const startedAt = disk.atMs;
  const backs: { swap: Swap; verdict: GuardVerdict }[] = [];
  const watch = new GuardWatch({
    watchMs,
    putBack: async (swap, verdict) => void backs.push({ swap, verdict }),
    remember: async (kept) => {
      disk.kept = JSON.parse(JSON.stringify(kept));
      disk.writes++;
    },
    remembered: disk.kept,
    report: () => {},
    now: () => clock.ms,
    epochNow: () => startedAt + clock.ms,
  });
  return { watch, backs, clock, disk };
}

const emptyDisk = () => ({ kept: {}, writes: 0, atMs: 1_000_000 });

const swap = { model: 'm', version: '2', previous: '1' };

test('a version that fails is put back once, with what both answered in a minute', () => {
  const { watch, backs, clock } = watchOf();
  watch.put('a', told({ 1: [500, 400] }));
  for (clock.ms = 10_000; clock.ms <= 120_000; clock.ms += 10_000)
    watch.put('a', told({ 1: [500 + clock.ms / 1000, 400] }));
  watch.swapped(swap);
  clock.ms += 1000;
  watch.put('a', told({ 1: [620, 400], 2: [49, 49] }));
  assert.equal(backs.length, 0, 'fewer than 50 requests prove nothing');
  watch.put('a', told({ 1: [620, 400], 2: [60, 60] }));
  watch.put('a', told({ 1: [620, 400], 2: [70, 70] }));
  assert.equal(backs.length, 1);
  const { verdict } = backs[0]!;
  assert.deepEqual(verdict.reasons, ['errors']);
  assert.equal(verdict.numbers.requests, 60);
  assert.equal(verdict.numbers.reference_faults, 0, 'what failed before the last minute is long ago');
  assert.ok(verdict.numbers.reference_requests >= 50 && verdict.numbers.reference_requests <= 70);
});

/** As `told`, with the time that every request and its run took. */
function timed(counts: Readonly<Record<string, readonly [requests: number, ms: number]>>): Family[] {
  const series = Object.entries(counts).map(([version, [requests, ms]]): Series => {
    const tally = new Tally(secondsBuckets);
    for (let i = 0; i < requests; i++) tally.add(ms / 1000);
    return tally.series({ model: 'm', version });
  });
  const names = ['sluice_request_duration_seconds', 'sluice_inference_duration_seconds'];
  const histograms = names.map(
    (name): Family => ({ name, help: '', type: 'histogram', buckets: secondsBuckets, series }),
  );
  const requests = Object.entries(counts).map(([version, [count]]) => [version, [count, 0]] as const);
  return [...told(Object.fromEntries(requests)), ...histograms];
}

test('a version that crawls is put back after two windows, after a restart too', async () => {
  for (const isRestarted of [false, true]) {
    const first = watchOf();
    first.watch.put('a', timed({ 1: [500, 1] }));
    first.watch.swapped(swap);
    await first.watch.saved();
    first.disk.atMs += 30_000;
    const { watch, backs, clock } = isRestarted ? watchOf(60_000, first.disk) : first;
    for (let seconds = 1; seconds < 20; seconds++) {
      clock.ms = seconds * 1000;
      watch.put('a', timed({ 1: [500, 1], 2: [10 * seconds, 10] }));
    }
    assert.equal(backs.length, 0);
    clock.ms = 20_000;
    watch.put('a', timed({ 1: [500, 1], 2: [200, 10] }));
    const { verdict } = backs[0]!;
    assert.deepEqual([verdict.reasons, Math.round(verdict.numbers.run_mean_ms!)], [['p99'], 10]);
  }
});

test('the processes count together, and what one counted that has ended is not lost', () => {
  const { watch, backs } = watchOf();
  watch.put('a', told({ 1: [100, 0] }));
  watch.swapped(swap);
  watch.put('a', told({ 1: [100, 0], 2: [30, 30] }));
  watch.end('a');
  assert.equal(backs.length, 0);
  watch.put('b', told({ 2: [30, 30] }));
  assert.equal(backs[0]!.verdict.numbers.requests, 60);
});

test('what a version answered before it took over is not held against it', () => {
  const { watch, backs } = watchOf();
  watch.put('a', told({ 1: [100, 0], 2: [1000, 900] }));
  watch.swapped(swap);
  watch.put('a', told({ 1: [100, 0], 2: [1100, 900] }));
  assert.equal(backs.length, 0);
});

test('a blamed crash puts a version back without a request; one of another version does not', () => {
  const { watch, backs } = watchOf();
  watch.swapped(swap);
  watch.blamed({ model: 'm', version: '1' }, 'crashed');
  watch.blamed({ model: 'x', version: '2' }, 'crashed');
  assert.equal(backs.length, 0);
  watch.blamed({ model: 'm', version: '2' }, 'crashed');
  assert.deepEqual(backs[0]!.verdict.reasons, ['crashed']);
});

test('after its time, after another decision, and when it is switched off, nothing is put back', () => {
  const late = ({ clock }: ReturnType<typeof watchOf>) => {
    clock.ms += 60_001;
  };
  const decided = ({ watch }: ReturnType<typeof watchOf>) => watch.forget('m');
  for (const [watchMs, act] of [
    [60_000, late],
    [60_000, decided],
    [0, () => {}],
  ] as const) {
    const set = watchOf(watchMs);
    set.watch.swapped(swap);
    act(set);
    set.watch.put('a', told({ 2: [100, 100] }));
    set.watch.blamed({ model: 'm', version: '2' }, 'hung');
    assert.deepEqual(set.backs, []);
  }
});

test('what cannot be put back is reported', async () => {
  const reported: string[] = [];
  const watch = new GuardWatch({
    watchMs: 60_000,
    putBack: async () => {
      throw new Error('the disk is full');
    },
    report: (what, error) => void reported.push(`${what}: ${(error as Error).message}`),
    remember: async () => {
      throw new Error('the disk is full');
    },
    remembered: {},
    now: () => 0,
    epochNow: () => 0,
  });
  watch.swapped(swap);
  watch.blamed({ model: 'm', version: '2' }, 'crashed');
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(reported, ['put m@2 back: the disk is full', 'keep which versions are watched: the disk is full']);
});

test('a restart takes the rest of a watch up, against what the one before answered before the restart', async () => {
  const first = watchOf();
  first.watch.put('a', told({ 1: [500, 0] }));
  first.watch.swapped(swap);
  first.watch.put('a', told({ 1: [500, 0], 2: [40, 40] }));
  await first.watch.saved();
  first.disk.atMs += 20_000;
  const second = watchOf(60_000, first.disk);
  second.watch.answers('m', '2');
  second.clock.ms = 39_000;
  second.watch.put('b', told({ 2: [60, 60] }));
  const { verdict } = second.backs[0]!;
  assert.deepEqual([verdict.numbers.requests, verdict.numbers.reference_requests], [60, 500]);
  await second.watch.saved();
  assert.deepEqual(second.disk.kept, {}, 'it is put back once');
});

test('a restart takes nothing up when the time is over, another version answers, or the guard was switched off', async () => {
  for (const [elapsedMs, answering, watchMs] of [
    [60_001, '2', 60_000],
    [1000, '3', 60_000],
    [1000, '2', 0],
  ] as const) {
    const { watch: before, disk } = watchOf();
    before.swapped(swap);
    await before.saved();
    disk.atMs += elapsedMs;
    const { watch, backs } = watchOf(watchMs, disk);
    watch.answers('m', answering);
    watch.blamed({ model: 'm', version: '2' }, 'crashed');
    assert.deepEqual(backs, [], `${elapsedMs} ms, ${answering}, ${watchMs}`);
  }
});

test('a clock that was set back over a restart makes a watch as long as a new one, not longer', async () => {
  const { watch: before, disk } = watchOf();
  before.swapped(swap);
  await before.saved();
  for (const [atMs, isBack] of [
    [60_000, true],
    [60_001, false],
  ] as const) {
    const { watch, backs, clock } = watchOf(60_000, { ...disk, atMs: disk.atMs - 3_600_000 });
    clock.ms = atMs;
    watch.blamed({ model: 'm', version: '2' }, 'crashed');
    assert.equal(backs.length > 0, isBack);
  }
});

test('a version that is opened anew goes on being watched, and many swaps at once are two writes', async () => {
  const { watch, backs, disk } = watchOf();
  for (let number = 0; number < 1000; number++) watch.swapped({ ...swap, model: `m${number}` });
  await watch.saved();
  assert.equal(Object.keys(disk.kept).length, 1000);
  assert.ok(disk.writes <= 2, String(disk.writes));
  watch.answers('m7', '2');
  watch.blamed({ model: 'm7', version: '2' }, 'hung');
  assert.equal(backs.length, 1);
});

test('the last minute is all there was while control is younger, and begins again when a version was closed', () => {
  const clock = { ms: 0 };
  const history = new TrafficHistory(() => clock.ms);
  const id = { model: 'm', version: '1' };
  history.put('a', told({ 1: [10, 1] }));
  clock.ms = 20_000;
  history.put('a', told({ 1: [30, 2] }));
  assert.deepEqual([history.lastMinuteOf(id).requests, history.lastMinuteOf(id).faults], [30, 2]);
  clock.ms = 80_000;
  history.put('a', told({ 1: [100, 2] }));
  assert.equal(history.lastMinuteOf(id).requests, 70);
  history.put('a', told({ 1: [5, 0] }));
  assert.equal(history.lastMinuteOf(id).requests, 5);
});
