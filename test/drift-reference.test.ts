/**
 * Profiles, sketches, decisions, estimates and label metrics against numpy and scipy (reference/drift.py), within the
 * tolerances of the specification of monitoring §1.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cbpe } from '../src/monitor/cbpe.js';
import { castFor, numberIn } from '../src/monitor/cleaning.js';
import { decideQuality, type QualityInput } from '../src/monitor/data-quality.js';
import { decideDegradation } from '../src/monitor/degradation.js';
import { decideDrift } from '../src/monitor/drift.js';
import { comparableCounts } from '../src/monitor/feature-bins.js';
import { addKey, distinctIn, registers } from '../src/monitor/hyperloglog.js';
import { IsotonicMap } from '../src/monitor/isotonic.js';
import { BinaryTally } from '../src/monitor/label-binary.js';
import { ClassTally } from '../src/monitor/label-classes.js';
import { medianAbsoluteError, NumberTally } from '../src/monitor/label-numbers.js';
import { aucError, aucInterval, averagePrecision, rocAuc } from '../src/monitor/label-ranking.js';
import { categoricalProfile, numericProfile } from '../src/monitor/profile.js';
import { Reconstruction } from '../src/monitor/reconstruction.js';
import { Sketch } from '../src/monitor/sketch.js';
import { SketchLayout } from '../src/monitor/sketch-layout.js';
import { profileOf } from './drift-fixture.js';

// biome-ignore lint/suspicious/noExplicitAny: what a script of another language wrote.
type Case = any;
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const reference: Readonly<Record<string, Case>> = JSON.parse(
  readFileSync(join(root, 'test', 'reference', 'drift.json'), 'utf8'),
);
const casesOf = (name: string): Case[] => reference[name] as Case[];

const numbersAsText: Readonly<Record<string, number>> = { nan: NaN, inf: Infinity, '-inf': -Infinity };
const numbers = (values: readonly (number | string)[]): number[] =>
  values.map((value) => (typeof value === 'string' ? numbersAsText[value]! : value));

function near(got: unknown, expected: unknown, place: string, allowed = 1e-9): void {
  if (expected === null) {
    assert.equal(got, null, place);
    return;
  }
  const [a, b] = [got as number, expected as number];
  assert.ok(Math.abs(a - b) <= allowed * Math.max(1, Math.abs(b)), `${place}: expected ${b}, got ${a}`);
}

function allNear(got: ArrayLike<number>, expected: readonly number[], place: string): void {
  assert.equal(got.length, expected.length, place);
  for (const [i, value] of expected.entries()) near(got[i], value, `${place}[${i}]`);
}

test('edges, counts and moments of a numeric reference are those of numpy', () => {
  assert.ok(casesOf('profiles').length >= 40);
  for (const [i, { values, bins, datatype, expected }] of casesOf('profiles').entries()) {
    const got = numericProfile(numbers(values), { bins, datatype: datatype ?? undefined });
    const place = `profile ${i}`;
    assert.deepEqual(
      { n: got.n, missing: got.missing, invalid: got.invalid, zeros: got.zeros, counts: got.counts },
      {
        n: expected.n,
        missing: expected.missing,
        invalid: expected.invalid,
        zeros: expected.zeros,
        counts: expected.counts,
      },
      place,
    );
    assert.deepEqual([got.lo, ...got.edges, got.hi], [expected.lo, ...expected.edges, expected.hi], place);
    near(got.mean, expected.mean, `${place} mean`);
    near(got.m2, expected.m2, `${place} m2`);
  }
});

test('a sketch counts and folds current values as numpy does, and Welford agrees with two passes', () => {
  for (const [i, { values, bins, datatype, current, currentCounts, folded, currentMoments }] of casesOf(
    'profiles',
  ).entries()) {
    const profile = numericProfile(numbers(values), { bins, datatype: datatype ?? undefined });
    const sketch = new Sketch(new SketchLayout(profileOf({ x: profile })));
    for (const value of current) sketch.addNumber(0, numberIn(value, castFor()));
    sketch.addRows(current.length);
    const got = sketch.countsOf(0);
    assert.deepEqual(got.counts, currentCounts, `sketch ${i}`);
    assert.deepEqual(comparableCounts(profile, got.counts), folded, `sketch ${i}`);
    assert.deepEqual([got.min, got.max], [currentMoments.min, currentMoments.max]);
    near(got.mean, currentMoments.mean, `sketch ${i} mean`);
    near(got.m2, currentMoments.m2, `sketch ${i} m2`);
  }
});

test('categories keep a bin, share one or are only listed, as counted apart', () => {
  for (const { values, counts, other, otherKeys, unseenTracked } of casesOf('categories')) {
    const column = Object.entries(values as Record<string, number>).flatMap(([key, n]) => new Array(n).fill(key));
    const got = categoricalProfile(column.reverse());
    assert.deepEqual(got.counts, counts);
    assert.deepEqual(Object.keys(got.counts), Object.keys(counts));
    assert.equal(got.other, other);
    assert.deepEqual(got.other_keys, otherKeys);
    assert.equal(got.unseen_tracked, unseenTracked);
  }
});

test('effect, evidence and status of windows are those of scipy', () => {
  for (const [i, features] of casesOf('decisions').entries()) {
    const { features: got } = decideDrift(features);
    for (const [j, { expected }] of features.entries()) {
      const [one, place] = [got[j]!, `window ${i}, feature ${j}`];
      assert.equal(one.eligible, expected.eligible, place);
      assert.equal(one.status, expected.status, place);
      near(one.psi, expected.psi, place);
      near(one.psiCorrected, expected.psiCorrected, place);
      near(one.p, expected.p, place);
      near(one.pAdjusted, expected.pAdjusted, place);
    }
  }
});

test('shares of missing values fire where the pooled z test and the adjustment say so', () => {
  for (const [i, features] of casesOf('quality').entries()) {
    const inputs: QualityInput[] = features.map(({ then, n, now, m }: Case, j: number) => {
      const profile = { ...categoricalProfile(new Array(n - then).fill('a')), missing: then };
      const counts = { n: m - now, missing: now, invalid: 0, counts: [m - now, 0] };
      const numbers = { zeros: null, mean: null, m2: null, min: null, max: null, distinct: null };
      return { name: `f${j}`, profile, counts: { ...counts, ...numbers } };
    });
    const got = decideQuality(inputs).results.filter(({ check }) => check === 'missing');
    for (const [j, expected] of features.entries()) {
      assert.equal(got[j]!.status, expected.status, `window ${i}, feature ${j}`);
      near(got[j]!.pAdjusted, expected.pAdjusted ?? null, `window ${i}, feature ${j}`);
    }
  }
});

test('the isotonic map is the min-max formula, and the estimate without labels follows from it', () => {
  for (const [i, { x, y, scores, chances, threshold, ...expected }] of casesOf('calibrated').entries()) {
    const map = new IsotonicMap({ x, y });
    allNear(
      scores.map((score: number) => map.of(score)),
      chances,
      `map ${i}`,
    );
    const got = cbpe(scores, { threshold, calibration: { x, y } });
    for (const name of ['accuracy', 'precision', 'recall', 'f1', 'auc'] as const) {
      near(got[name], expected[name], `estimate ${i} ${name}`);
    }
  }
});

test('reconstruction errors are distances from the space of the components', () => {
  for (const [i, { rows, errors, ...pca }] of casesOf('reconstruction').entries()) {
    const reconstruction = new Reconstruction({ ...pca, features: pca.mean.map(String) });
    allNear(
      rows.map((row: (number | string)[]) => reconstruction.errorOf(numbers(row))),
      errors,
      `pca ${i}`,
    );
  }
});

test('metrics of a binary classifier', () => {
  for (const [i, { scores, labels, counts, brierInterval, ...expected }] of casesOf('binary').entries()) {
    const tally = new BinaryTally(0.5);
    for (const [row, score] of scores.entries()) tally.add(score, labels[row] === 1);
    const got = tally.metrics();
    assert.deepEqual([got.tp, got.fp, got.tn, got.fn], counts);
    for (const name of ['accuracy', 'precision', 'recall', 'f1', 'specificity', 'mcc', 'brier', 'ece'] as const) {
      near(got[name].value, expected[name], `binary ${i} ${name}`);
    }
    near(got.log_loss.value, expected.logLoss, `binary ${i} log-loss`);
    near(got.auc.value, expected.binnedAuc, `binary ${i} binned auc`);
    near(got.brier.interval!.low, brierInterval[0], `binary ${i} interval`);
    near(got.brier.interval!.high, brierInterval[1], `binary ${i} interval`);
    near(rocAuc(scores, labels), expected.auc, `binary ${i} auc`);
    near(averagePrecision(scores, labels), expected.averagePrecision, `binary ${i} average precision`);
    if (expected.auc !== null) {
      assert.ok(Math.abs(got.auc.value! - expected.auc) <= got.auc_error_max! + 1e-12, 'within the stated error');
    }
  }
});

test('metrics of several classes and of a regression', () => {
  for (const { truth, predicted, labels, confusion, accuracy, f1, macro, weighted } of casesOf('multiclass')) {
    const tally = new ClassTally();
    for (const [row, label] of truth.entries()) tally.add(predicted[row], label);
    const got = tally.metrics();
    assert.deepEqual([got.labels, got.confusion], [labels, confusion]);
    allNear(got.f1, f1, 'f1');
    for (const [name, value, expected] of [
      ['accuracy', got.accuracy.value, accuracy],
      ['macro', got.f1_macro, macro],
      ['weighted', got.f1_weighted, weighted],
      ['micro', got.f1_micro, accuracy],
    ]) {
      near(value, expected, name);
    }
  }
  for (const { truth, predicted, biasInterval, median, ...expected } of casesOf('regression')) {
    const tally = new NumberTally();
    for (const [row, label] of truth.entries()) tally.add(predicted[row], label);
    const got = tally.metrics();
    for (const name of ['mae', 'mse', 'rmse', 'r2', 'bias'] as const) near(got[name].value, expected[name], name);
    near(got.bias.interval!.low, biasInterval[0], 'bias');
    near(got.bias.interval!.high, biasInterval[1], 'bias');
    near(medianAbsoluteError(predicted, truth), median, 'median');
  }
});

test('the drop of a share has the Newcombe interval, and the verdict follows from it', () => {
  const verdicts = new Set<string>();
  for (const { r, nR, c, nC, low, high, verdict } of casesOf('degradation')) {
    const got = decideDegradation({ kind: 'share', value: r, n: nR }, { kind: 'share', value: c, n: nC });
    near(got.low, low, 'low');
    near(got.high, high, 'high');
    assert.equal(got.verdict, verdict);
    verdicts.add(verdict);
  }
  assert.deepEqual([...verdicts].sort(), ['degraded', 'insufficient_data', 'ok', 'undecided']);
});

test('the standard error of an AUC', () => {
  for (const { auc, p, n, se, low, high } of casesOf('hanleyMcNeil')) {
    near(aucError(auc, p, n), se, 'se');
    near(aucInterval(auc, p, n).low, low, 'low');
    near(aucInterval(auc, p, n).high, high, 'high');
  }
});

test('registers and estimate of distinct ids', () => {
  for (const { n, estimate, sum } of casesOf('distinct')) {
    const held = new Uint8Array(registers);
    for (let i = 0; i < n; i++) addKey(held, `user-${i}`);
    assert.equal(
      held.reduce((total, value) => total + value, 0),
      sum,
    );
    near(distinctIn(held), estimate, `${n} ids`);
  }
});
