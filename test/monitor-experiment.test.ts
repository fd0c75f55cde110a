/**
 * The read-out of an experiment, as values and as text.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderExperiment } from '../src/cli/experiment.js';
import { adviceOf } from '../src/monitor/advice.js';
import { readOut } from '../src/monitor/experiment.js';
import { type ExperimentArm, type ExperimentPlan, freshMemory } from '../src/monitor/experiment-plan.js';
import { momentsOfCounts } from '../src/monitor/moments.js';
import { keyMoments } from './monitor-fixture.js';

const plan: ExperimentPlan = {
  name: 'spring',
  control: 'old',
  metrics: [
    { metric: 'error_rate', better: 'lower', isShare: true, margin: 0.02 },
    { metric: 'accuracy', better: 'higher', isShare: true, margin: null },
  ],
  alpha: 0.05,
  method: 'always_valid',
  tau2: null,
  plannedN: 3000,
};

function variant(name: string, keys: number, [errors, right]: readonly [number, number], weight = 50): ExperimentArm {
  const metrics = { error_rate: momentsOfCounts(errors, keys), accuracy: momentsOfCounts(right, keys) };
  const version = name === 'old' ? '1' : '2';
  return { variant: name, version, weight, requests: keys, keys, metrics, predictions: [] };
}

const arms = [variant('old', 5000, [50, 4000]), variant('new', 5040, [52, 4400])];
const look = (seen: readonly ExperimentArm[], memory = freshMemory(2), planned = plan) =>
  readOut({ plan: planned, arms: seen, memory, keysOverCap: 0 });

test('each variant is compared with the control, metric by metric', () => {
  const { readOut: shown } = look(arms);
  assert.deepEqual([shown.experiment, shown.phase, shown.srm.is_mismatch], ['spring', 2, false]);
  assert.deepEqual(
    shown.comparisons.map((one) => [one.variant, one.metric, one.verdict]),
    [
      ['new', 'error_rate', 'pass'],
      ['new', 'accuracy', 'better'],
    ],
  );
  const accuracy = shown.comparisons[1]!;
  assert.equal(accuracy.control_mean, 0.8);
  assert.ok(accuracy.interval!.low > 0 && accuracy.p_always_valid < 0.05);
  assert.ok(accuracy.bayes!.prob_b_gt_a! > 0.99);
  assert.ok(shown.variants[0]!.metrics[1]!.wilson!.low < 0.8 && shown.variants[0]!.metrics[1]!.wilson!.high > 0.8);
});

test('a sample ratio mismatch withholds everything but itself', () => {
  const { readOut: shown, memory } = look([arms[0]!, variant('new', 3000, [30, 2900])]);
  assert.equal(shown.srm.is_mismatch, true);
  assert.deepEqual(shown.srm.keys, { old: 5000, new: 3000 });
  assert.deepEqual([shown.variants, shown.comparisons], [[], []]);
  const later = look(arms, memory).readOut;
  assert.equal(later.srm.is_mismatch, true);
  assert.deepEqual(later.comparisons, []);
});

test('p-values for a single look are shown only when the planned size is reached', () => {
  assert.equal(look(arms).readOut.comparisons[0]!.fixed!.test, 'two_proportions');
  assert.equal(look(arms, freshMemory(1), { ...plan, plannedN: 5001 }).readOut.comparisons[0]!.fixed, null);
  assert.equal(look(arms, freshMemory(1), { ...plan, plannedN: null }).readOut.comparisons[0]!.fixed, null);
});

test('p is the smallest of all looks', () => {
  const first = look(arms);
  const equal = [variant('old', 9000, [90, 7200]), variant('new', 9000, [90, 7200])];
  const second = look(equal, first.memory).readOut;
  assert.equal(second.comparisons[1]!.p_always_valid, first.readOut.comparisons[1]!.p_always_valid);
  assert.equal(second.comparisons[1]!.difference, 0);
});

test('keys with several observations are not shown as a plain share', () => {
  const requests = Array.from({ length: 4000 }, () => 3);
  const many = keyMoments(
    requests.map((_, i) => (i % 10 === 0 ? 3 : 0)),
    requests,
  );
  const seen = arms.map((one) => ({ ...one, keys: 4000, metrics: { error_rate: many, accuracy: many } }));
  const { variants, comparisons } = look(seen).readOut;
  assert.equal(variants[0]!.metrics[0]!.wilson, null);
  assert.equal(variants[0]!.metrics[0]!.observations, 12_000);
  assert.equal(comparisons[0]!.fixed!.test, 'welch');
  assert.equal(comparisons[0]!.bayes, null);
});

test('the mixture test decides p when the plan asks for it', () => {
  const mixed: ExperimentPlan = { ...plan, method: 'msprt', tau2: 0.0004 };
  const [p, other] = [look(arms, freshMemory(1), mixed), look(arms)].map(
    ({ readOut: shown }) => shown.comparisons[1]!.p_always_valid,
  );
  assert.ok(p! < 0.05);
  assert.notEqual(p, other);
});

test('before anything was counted every number is null', () => {
  const { readOut: shown } = look([variant('old', 0, [0, 0]), variant('new', 0, [0, 0])]);
  const [errors] = shown.comparisons;
  assert.deepEqual(
    [errors!.control_mean, errors!.difference, errors!.interval, errors!.bayes],
    [null, null, null, null],
  );
  assert.deepEqual([errors!.p_always_valid, errors!.verdict], [1, 'continue']);
  assert.doesNotMatch(JSON.stringify(shown), /NaN|Infinity/);
});

test('the text names variants, comparisons and their verdicts', () => {
  const text = renderExperiment(look(arms).readOut);
  assert.match(text, /^spring, phase 2\n\nEXPOSURE +KEYS +SHARE +PROMISED +WEIGHT\nold +5000 +49\.8 % +50\.0 % +50$/m);
  assert.match(text, /^sample ratio: old 5000, new 5040 \(p 1\)$/m);
  assert.match(text, /^old +1 +5000 +0\.01 +0\.8$/m);
  assert.match(text, /^new +accuracy +0\.8 +0\.873 +0\.07302 +0\.0\d+ … 0\.\d+ +\S+ +- +better$/m);
});

test('advice is to promote, to keep going or to stop, with the numbers that say so', () => {
  const advised = (...[errors, right]: readonly [number, number]) =>
    adviceOf(look([arms[0]!, variant('new', 5000, [errors, right])]).readOut);
  assert.match(
    advised(50, 4400),
    /^Promote 'new', or raise its weight: it is within the margin in error_rate 0 \(-0\.0\d+ to \+0\.0\d+, margin 0\.02\), and better in accuracy \+0\.08 \(\+0\.0\d+ to \+0\.\d+\)\.$/,
  );
  assert.match(
    advised(50, 4010),
    /^Keep going with 'new': not decided yet is accuracy \+0\.002 \(-0\.0\d+ to \+0\.0\d+\)\.$/,
  );
  assert.match(advised(500, 4400), /^Stop 'new': worse than allowed in error_rate \+0\.09 \(.*, margin 0\.02\)\.$/);
});

test('what the arms answer is compared as a guardrail of its own, without a mean or an interval', () => {
  const metrics = [{ metric: 'prediction_drift', better: 'lower' as const, isShare: false, margin: 0.1 }];
  const answered = (predictions: readonly number[]) => {
    const seen = [
      { ...arms[0]!, predictions: [2500, 2500, 0] },
      { ...arms[1]!, predictions },
    ];
    const { comparisons, variants } = look(seen, freshMemory(1), { ...plan, metrics }).readOut;
    assert.deepEqual(variants[0]!.metrics, []);
    return comparisons[0]!;
  };
  const alike = answered([2480, 2560, 0]);
  assert.deepEqual([alike.verdict, alike.interval, alike.control_n, alike.n], ['pass', null, 5000, 5040]);
  const apart = answered([300, 200, 4540]);
  assert.ok(apart.difference! > 0.25);
  assert.equal(apart.verdict, 'fail');
  assert.equal(answered([200, 200, 0]).verdict, 'continue');
  assert.equal(answered([]).difference, null);
});

test('the text of a mismatch shows no results', () => {
  const text = renderExperiment(look([arms[0]!, variant('new', 3000, [30, 2900])]).readOut);
  assert.match(text, /withheld/);
  assert.doesNotMatch(text, /accuracy/i);
});
