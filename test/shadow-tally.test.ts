/** What is kept of the comparisons: counts, moments, histogram, labels, examples; and that parts of it merge into the whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Moments, mergeMoments, noMoments, RunningMoments } from '../src/core/moments.js';
import { uniform } from '../src/core/murmur3.js';
import {
  agreementOf,
  differenceEdge,
  disagreementRatioOf,
  kappaOf,
  labelsMax,
  mergeReports,
  otherLabel,
  type ShadowReport,
  sampledMax,
  worstMax,
} from '../src/core/shadow-report.js';
import type { Tensor } from '../src/core/tensor.js';
import { watchRecentLag } from '../src/shadow/loop-lag.js';
import { binOf } from '../src/shadow/output-tally.js';
import { Ranked } from '../src/shadow/ranked.js';
import { type AnsweredPair, Tally } from '../src/shadow/tally.js';
import { pseudoRandom } from './fixtures.js';
import { scores, shadowPlan } from './shadow-fixture.js';

const pairOf = (requestId: string, primary: Tensor, shadow: Tensor, rows = 1): AnsweredPair => ({
  requestId,
  primary: [primary],
  shadow: [shadow],
  rows,
  latencyMs: 1,
});

const labels = (...data: string[]): Tensor => ({ name: 'y', datatype: 'BYTES', shape: [data.length, 1], data });

const argmaxPlan = shadowPlan({ compare: { rule: 'argmax' } });

function momentsOf(values: readonly number[]): Moments {
  const moments = new RunningMoments();
  for (const value of values) moments.add(value);
  return moments.value();
}

function assertMoments(got: Moments, expected: Moments): void {
  for (const name of ['n', 'min', 'max', 'infinite', 'missing'] as const) assert.equal(got[name], expected[name], name);
  for (const name of ['mean', 'm2'] as const)
    assert.ok(Math.abs(got[name] - expected[name]) <= 1e-9 * Math.max(1, Math.abs(expected[name])), name);
}

test('moments of 2, 4, 4, 4, 5, 5, 7, 9 are mean 5 and sum of squares 32', () => {
  assert.deepEqual(momentsOf([2, 4, 4, 4, 5, 5, 7, 9]), {
    n: 8,
    mean: 5,
    m2: 32,
    min: 2,
    max: 9,
    infinite: 0,
    missing: 0,
  });
});

test('infinities and undefined values are counted and enter nothing else', () => {
  assert.deepEqual(momentsOf([1, Infinity, Number.NaN, 3, -Infinity]), {
    n: 2,
    mean: 2,
    m2: 2,
    min: 1,
    max: 3,
    infinite: 2,
    missing: 1,
  });
});

test('merged moments are those of all values, wherever they are cut, and a large offset loses nothing', () => {
  const random = pseudoRandom(3);
  for (let round = 0; round < 100; round++) {
    const values = Array.from({ length: Math.floor(random() * 30) }, () =>
      random() < 0.1 ? Infinity : 1e6 + random(),
    );
    const cut = Math.floor(random() * (values.length + 1));
    const merged = mergeMoments(momentsOf(values.slice(0, cut)), momentsOf(values.slice(cut)));
    assertMoments(merged, momentsOf(values));
  }
  assert.deepEqual(mergeMoments(noMoments, noMoments), noMoments);
});

test('bins run from 1e-12 in quarter steps of a power of ten; the ends take what lies outside', () => {
  assert.equal(binOf(0), 0);
  assert.equal(binOf(1e-300), 0);
  for (let bin = 0; bin < 40; bin++) {
    assert.equal(binOf(differenceEdge(bin)), bin, 'an edge belongs to the bin above it');
    if (bin > 0) assert.equal(binOf(differenceEdge(bin) * (1 - 1e-12)), bin - 1);
  }
  assert.equal(binOf(1e-11), 4);
  assert.equal(binOf(5), 39);
  assert.equal(binOf(Infinity), 39);
});

test('the first n in order are kept, whatever the order of arrival', () => {
  const random = pseudoRandom(5);
  const values = Array.from({ length: 200 }, () => Math.floor(random() * 50));
  const ranked = new Ranked<number>(17, (a, b) => a - b);
  for (const value of values) ranked.offer(value);
  assert.deepEqual(ranked.items, values.sort((a, b) => a - b).slice(0, 17));
});

test('agreement, κ and measures of four labelled items are those worked out by hand', () => {
  const tally = new Tally(shadowPlan({ compare: { rule: 'label' } }));
  // Primary: a a b b; shadow: a b b b. p_o = 3/4, p_e = (2·1 + 2·3)/16 = 1/2, κ = 1/2.
  tally.add(pairOf('r1', labels('a', 'a', 'b', 'b'), labels('a', 'b', 'b', 'b'), 4));
  const report = tally.report('all');
  const [output] = report.outputs;
  assert.equal(agreementOf(output!), 0.75);
  assert.equal(kappaOf(output!), 0.5);
  assert.equal(disagreementRatioOf(report), 1);
  assert.equal(output!.measures.max_abs_diff.missing, 4);
});

test('κ does not exist when chance alone gives full agreement, nor without labels', () => {
  const tally = new Tally(argmaxPlan);
  tally.add(pairOf('r1', scores(0.9, 0.1), scores(0.8, 0.2)));
  const [output] = tally.report('all').outputs;
  assert.equal(kappaOf(output!), undefined);
  assert.equal(kappaOf({ ...output!, labelled: 0 }), undefined);
});

test('only the outputs of the plan are compared', () => {
  const tally = new Tally(shadowPlan({ compare: { outputs: ['y'] } }));
  const other = { ...scores(1, 2), name: 'other' };
  tally.add({ ...pairOf('r1', scores(1, 2), scores(1, 2)), primary: [scores(1, 2), other], shadow: [scores(1, 2)] });
  const { outputs, mismatchedPairs } = tally.report('all');
  assert.deepEqual(
    outputs.map(({ output }) => output),
    ['y'],
  );
  assert.equal(mismatchedPairs, 0);
});

test('an output of another shape, or one that is missing, is a mismatch of shape with its request id', () => {
  const tally = new Tally(argmaxPlan);
  tally.add(pairOf('r1', scores(1, 2), scores(1, 2, 3)));
  tally.add({ ...pairOf('r2', scores(1, 2), scores(1, 2)), shadow: [] });
  const report = tally.report('all');
  assert.equal(report.outputs[0]!.shapeMismatches, 2);
  assert.equal(report.outputs[0]!.items, 0);
  assert.deepEqual(report.sampled.map(({ requestId }) => requestId).sort(), ['r1', 'r2']);
});

test('of a batch the worst item stands for the request', () => {
  const tally = new Tally(argmaxPlan);
  const of = (...values: number[]): Tensor => ({
    name: 'y',
    datatype: 'FP64',
    shape: [3, 2],
    data: Float64Array.from(values),
  });
  tally.add(pairOf('r1', of(1, 0, 1, 0, 1, 0), of(0, 0.5, 0, 9, 0, 2), 3));
  const [worst] = tally.report('all').worst;
  assert.deepEqual(
    { item: worst!.item, apart: worst!.maxAbsDiff, labels: [worst!.primaryLabel, worst!.shadowLabel] },
    { item: 1, apart: 9, labels: ['0', '1'] },
  );
});

const apart = (size: number): [Tensor, Tensor] => [scores(1, 0), scores(0, size)];

test('examples are bounded: the worst by difference, and those of smallest u as a fair sample', () => {
  const tally = new Tally(argmaxPlan);
  const ids = Array.from({ length: 3000 }, (_, index) => `r${index}`);
  for (const [index, id] of ids.entries()) tally.add(pairOf(id, ...apart(2 + index)));
  const { sampled, worst } = tally.report('all');
  const expected = ids.map((id) => uniform(`mismatch:${id}`)).sort((a, b) => a - b);
  assert.deepEqual(
    sampled.map(({ u }) => u),
    expected.slice(0, sampledMax),
  );
  assert.deepEqual(
    worst.map(({ requestId }) => requestId),
    ids.slice(-worstMax).reverse(),
  );
  assert.deepEqual(tally.report('none').sampled, []);
});

test('more labels than are kept count together', () => {
  const tally = new Tally(shadowPlan({ compare: { rule: 'label' } }));
  for (let i = 0; i < labelsMax + 50; i++) tally.add(pairOf(`r${i}`, labels(`label ${i}`), labels(`label ${i}`)));
  const { labels: kept, labelAgreed } = tally.report('all').outputs[0]!;
  assert.equal(kept.length, labelsMax + 1);
  assert.deepEqual(kept.at(-1), { label: otherLabel, primary: 50, shadow: 50 });
  assert.equal(labelAgreed, labelsMax + 50);
});

test('reports of two processes, sent as copies, merge into the report of one that saw everything', () => {
  const random = pseudoRandom(11);
  const [one, two, all] = [new Tally(argmaxPlan), new Tally(argmaxPlan), new Tally(argmaxPlan)];
  for (let i = 0; i < 2500; i++) {
    const make = () => scores(random(), random(), random());
    const pair = pairOf(`r${i}`, make(), random() < 0.02 ? scores(1) : make());
    const part = random() < 0.5 ? one : two;
    for (const tally of [part, all]) {
      tally.add(pair);
      tally.count(random() < 0 ? 'error' : 'ok');
    }
  }
  const copies = [one, two].map((tally) => structuredClone(tally.report('all')));
  const [merged, ...others] = mergeReports(copies);
  const whole = all.report('all');
  assert.equal(others.length, 0);
  assertReports(merged!, whole);
  assertReports(mergeReports(copies.reverse())[0]!, whole);
});

function assertReports(got: ShadowReport, expected: ShadowReport): void {
  const [a, b] = [got.outputs[0]!, expected.outputs[0]!];
  const byLabel = (x: { label: string }, y: { label: string }) => (x.label < y.label ? -1 : 1);
  assert.deepEqual([...a.labels].sort(byLabel), [...b.labels].sort(byLabel));
  for (const name of Object.keys(a.measures) as (keyof typeof a.measures)[])
    assertMoments(a.measures[name], b.measures[name]);
  assert.deepEqual({ ...a, labels: 0, measures: 0 }, { ...b, labels: 0, measures: 0 });
  assertMoments(got.latencyMs, expected.latencyMs);
  assertMoments(got.outputBytes, expected.outputBytes);
  const rest = { outputs: 0, latencyMs: 0, outputBytes: 0 };
  assert.deepEqual({ ...got, ...rest }, { ...expected, ...rest });
}

test('reports of different versions stay apart', () => {
  const reportOf = (version: string) => new Tally(shadowPlan({ version: { model: 'm', version } })).report('all');
  assert.equal(mergeReports([reportOf('2'), reportOf('3'), reportOf('2')]).length, 2);
});

test('the recent lag is that of the second worst of the last hundred ticks', (context) => {
  context.mock.timers.enable({ apis: ['setInterval'] });
  let now = 0;
  const lagMs = watchRecentLag(() => now);
  const tick = (lateMs: number) => {
    now += 20 + lateMs;
    context.mock.timers.tick(20);
  };
  tick(50);
  assert.equal(lagMs(), 0, 'one late tick is no trend');
  tick(30);
  assert.equal(lagMs(), 30);
  for (let i = 0; i < 98; i++) tick(0);
  assert.equal(lagMs(), 30);
  tick(0);
  tick(0);
  assert.equal(lagMs(), 0);
});
