/**
 * Metrics with labels: what a correction leaves behind, what nothing is worth, and when a version has become worse.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addExpected,
  CbpeTally,
  cbpe,
  cbpeAccuracy,
  estimateDocument,
  estimateLook,
  estimateOf,
} from '../src/monitor/cbpe.js';
import { decideDegradation, degradationLook, type Measure } from '../src/monitor/degradation.js';
import { BinaryTally } from '../src/monitor/label-binary.js';
import { ClassTally, classesMax, otherClass } from '../src/monitor/label-classes.js';
import { LagTally, labelFacts } from '../src/monitor/label-metrics.js';
import { medianAbsoluteError, NumberTally } from '../src/monitor/label-numbers.js';
import { averagePrecision, rocAuc } from '../src/monitor/label-ranking.js';
import { afterWindow, quiet } from '../src/monitor/persistence.js';
import { dice } from './monitor-fixture.js';

test('a label that is replaced leaves no trace of the first one', () => {
  const [corrected, clean] = [new BinaryTally(), new BinaryTally()];
  for (const [score, label] of [
    [0.1, false],
    [0.5, true],
    [0.9, true],
    [0.3, false],
  ] as const) {
    corrected.add(score, !label);
    corrected.add(score, !label, -1);
    corrected.add(score, label);
    clean.add(score, label);
  }
  const [got, expected] = [corrected.metrics(), clean.metrics()];
  assert.deepEqual([got.tp, got.fp, got.tn, got.fn], [2, 0, 2, 0]);
  assert.equal(got.auc.value, expected.auc.value);
  assert.ok(Math.abs(got.log_loss.value! - expected.log_loss.value!) < 1e-12);
  assert.ok(Math.abs(got.ece.value! - expected.ece.value!) < 1e-12);
  const classes = new ClassTally();
  classes.add('a', 'b');
  classes.add('a', 'b', -1);
  classes.add('a', 'c');
  assert.deepEqual(classes.metrics().labels, ['a', 'c']);
  const numbers = new NumberTally();
  numbers.add(1, 5);
  numbers.add(1, 5, -1);
  numbers.add(1, 2);
  assert.equal(numbers.metrics().mae.value, 1);
});

test('metrics of nothing are null, not 0', () => {
  const binary = new BinaryTally().metrics();
  for (const name of ['accuracy', 'precision', 'recall', 'f1', 'mcc', 'specificity', 'brier', 'auc', 'ece'] as const) {
    assert.equal(binary[name].value, null, name);
  }
  assert.equal(new ClassTally().metrics().f1_macro, null);
  assert.equal(new NumberTally().metrics().r2.value, null);
  assert.equal(medianAbsoluteError([], []), null);
  assert.equal(rocAuc([0.1, 0.2], [1, 1]), null);
  assert.equal(averagePrecision([0.1, 0.2], [0, 0]), null);
  assert.deepEqual(cbpe([]), {
    n: 0,
    accuracy: null,
    precision: null,
    recall: null,
    f1: null,
    auc: null,
    insufficientData: true,
  });
});

test('one class has an accuracy and no AUC, and constant labels no R²', () => {
  const binary = new BinaryTally();
  for (const score of [0.2, 0.7]) binary.add(score, true);
  const { auc, specificity, accuracy, precision } = binary.metrics();
  assert.deepEqual([auc.value, specificity.value, accuracy.value, precision.value], [null, null, 0.5, 1]);
  const numbers = new NumberTally();
  for (const predicted of [1, 2]) numbers.add(predicted, 3);
  assert.equal(numbers.metrics().r2.value, null);
});

test('scores and labels that are no numbers are counted and enter nothing', () => {
  const binary = new BinaryTally();
  for (const score of [NaN, Infinity, -0.1, 1.1]) binary.add(score, true);
  assert.deepEqual([binary.invalid, binary.metrics().n], [4, 0]);
  const numbers = new NumberTally();
  numbers.add(NaN, 1);
  numbers.add(1, Infinity);
  assert.deepEqual([numbers.invalid, numbers.metrics().n], [2, 0]);
  assert.equal(cbpe([0.9, NaN, Infinity]).n, 1);
});

test('the ends of the score have bins, and a sure mistake a finite loss', () => {
  const binary = new BinaryTally();
  binary.add(1, false);
  binary.add(0, true);
  const { log_loss, auc, ece } = binary.metrics();
  assert.ok(Math.abs(log_loss.value! - -Math.log(1e-15)) < 0.1);
  assert.deepEqual([auc.value, ece.value], [0, 1]);
  assert.equal(binary.calibration()[9]!.mean_score, 1);
});

test('a flood of classes is bounded', () => {
  const tally = new ClassTally();
  for (let i = 0; i < 100_000; i++) tally.add(`p${i}`, `t${i}`);
  const { labels, n } = tally.metrics();
  assert.equal(labels.length, classesMax + 1);
  assert.ok(labels.includes(otherClass));
  assert.equal(n, 100_000);
});

test('lag quantiles are right within five percent, and coverage stands beside', () => {
  const lag = new LagTally();
  const chance = dice(1);
  const lags = Array.from({ length: 5000 }, () => 1000 * 10 ** (chance() * 4));
  for (const ms of lags) lag.add(ms);
  const facts = labelFacts(5000, 20_000, lag);
  lags.sort((a, b) => a - b);
  assert.equal(facts.label_coverage, 0.25);
  assert.ok(Math.abs(facts.label_lag_p50_s! / (lags[2500]! / 1000) - 1) < 0.06);
  assert.ok(Math.abs(facts.label_lag_p95_s! / (lags[4750]! / 1000) - 1) < 0.06);
  const early = new LagTally();
  early.add(-5000);
  early.add(NaN);
  assert.ok(early.quantileS(0.5)! <= 0.01);
  assert.deepEqual(labelFacts(0, 0, new LagTally()), {
    n: 0,
    label_coverage: null,
    label_lag_p50_s: null,
    label_lag_p95_s: null,
  });
});

const share = (value: number, n?: number): Measure => ({ kind: 'share', value, n });

test('three labels never raise an alarm', () => {
  const { verdict } = decideDegradation(share(0.95, 10_000), share(0, 3));
  assert.equal(verdict, 'insufficient_data');
  assert.equal(degradationLook({ verdict, drop: 1, low: 1, high: 1, margin: 0, n: 3 }), null);
});

test('a reference without rows is a constant, and the champion can stand in its place', () => {
  const constant = decideDegradation(share(0.95), share(0.8, 1000));
  const known = decideDegradation(share(0.95, 1000), share(0.8, 1000));
  assert.equal(constant.verdict, 'degraded');
  assert.ok(constant.low > known.low && constant.high < known.high);
});

test('where lower is better the drop turns its sign', () => {
  const mean = (value: number): Measure => ({ kind: 'mean', value, standardError: 0.1, n: 500 });
  const worse = decideDegradation(mean(1), mean(2), { lowerIsBetter: true });
  assert.deepEqual([worse.verdict, worse.drop], ['degraded', 1]);
  assert.ok(Math.abs(worse.low - (1 - 1.6448536269514722 * Math.hypot(0.1, 0.1))) < 1e-12);
  assert.equal(decideDegradation(mean(2), mean(1), { lowerIsBetter: true }).verdict, 'ok');
  assert.equal(decideDegradation(mean(1), mean(1), { lowerIsBetter: true }).verdict, 'undecided');
  const brier = decideDegradation(share(0.1), share(0.3, 1000), { lowerIsBetter: true });
  assert.equal(brier.verdict, 'degraded');
});

test('a degradation fires after two windows and undecided ones do not end it', () => {
  const looks = ['degraded', 'degraded', 'undecided', 'ok', 'ok', 'ok'] as const;
  const numbers = { drop: 0, low: 0, high: 0, margin: 0.02, n: 500 };
  let level = quiet;
  const fired = looks.map((verdict) => {
    level = afterWindow(level, degradationLook({ verdict, ...numbers })!);
    return level.isFired;
  });
  assert.deepEqual(fired, [false, true, true, true, true, false]);
});

test('the estimate without labels adds up over processes and is exact where scores are calibrated', () => {
  const chance = dice(8);
  const scores = Array.from({ length: 20_000 }, chance);
  const [left, right] = [new CbpeTally(), new CbpeTally()];
  for (const [i, score] of scores.entries()) (i % 2 === 0 ? left : right).add(score);
  const merged = estimateOf(addExpected(left.counts(), right.counts()));
  assert.ok(Math.abs(merged.accuracy! - cbpe(scores).accuracy!) < 1e-12);
  const real = new BinaryTally();
  for (const score of scores) real.add(score, chance() < score);
  assert.ok(Math.abs(real.metrics().accuracy.value! - merged.accuracy!) < 0.01);
  assert.ok(Math.abs(real.metrics().auc.value! - cbpe(scores).auc!) < 0.01);
  assert.equal(cbpeAccuracy([0.5, 0.7, NaN]), 0.6);
  assert.equal(cbpeAccuracy([]), null);
});

test('an estimate below three σ of the reference chunks is a hit, with enough rows', () => {
  const chunks = [0.9, 0.92, 0.91, 0.89, 0.9, 0.91, 0.9, 0.92, 0.88, 0.9];
  const look = estimateLook(0.8, 500, chunks)!;
  assert.deepEqual([look.isHit, look.isClear], [true, false]);
  assert.ok(Math.abs(look.bound - (0.903 - 3 * Math.sqrt(0.00141 / 10))) < 1e-9, String(look.bound));
  assert.equal(estimateLook(0.9, 500, chunks)!.isClear, true);
  assert.equal(estimateLook(0.8, 499, chunks), null);
  assert.equal(estimateLook(0.8, 500, []), null);
});

test('every estimate without labels states what it cannot see', () => {
  const document = estimateDocument({ tp: 300, fp: 100, fn: 50, tn: 150 }, [0.8, 0.82], { ...quiet, isBinary: true });
  assert.deepEqual([document.n, document.accuracy, document.precision, document.fired], [600, 0.75, 0.75, false]);
  assert.ok(Math.abs(document.accuracy_bound! - 0.78) < 1e-12);
  assert.match(document.assumption, /not a change of the relation between inputs and labels/);
  const none = { tp: 0, fp: 0, fn: 0, tn: 0 };
  assert.equal(estimateDocument(none, [], { ...quiet, isBinary: true }).accuracy, null);
  const several = estimateDocument({ ...none, tp: 450, fp: 150 }, [], { ...quiet, isBinary: false });
  assert.deepEqual([several.accuracy, several.precision, several.recall, several.f1], [0.75, null, null, null]);
});
