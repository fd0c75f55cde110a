/**
 * The canary: every branch of its decision, one at a time and in their order, and what many canaries do under noise.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  advancedByHand,
  type CanaryArm,
  type CanaryDecision,
  type CanaryEvidence,
  evaluate,
  rolledBack,
} from '../src/monitor/canary.js';
import { type CanaryState, canaryState, percentOf, resumed, startedCanary } from '../src/monitor/canary-state.js';
import { momentsOfCounts } from '../src/monitor/moments.js';
import { type CanaryPolicy, canaryPolicyOf, defaultCanaryPolicy } from '../src/monitor/policy.js';
import { arm, dice, timesOf, traffic } from './monitor-fixture.js';

const policy: CanaryPolicy = { ...defaultCanaryPolicy, steps: [50, 100] };
const start = startedCanary({ nowMs: 0, slowMs: 4, phase: 3 });
const afterMs = (seconds: number) => seconds * 1000;
const good = arm({ keys: 5000 });

/** The champion has as many keys as the candidate and no faults, unless it is given. */
function evidence(
  candidate: CanaryArm,
  champion = arm({ keys: candidate.keys }),
  blamed: CanaryEvidence['blamed'] = null,
): CanaryEvidence {
  return { champion, candidate, blamed };
}

/** One look ten minutes after the start of the step. */
function look(state: CanaryState, seen: CanaryEvidence, rules = policy, seconds = 600): CanaryDecision {
  return evaluate(state, seen, state.stepStartedAtMs + afterMs(seconds), rules);
}

test('a candidate as good as the champion goes a step on, into a new phase with nothing counted', () => {
  const { state, action, numbers } = look(start, evidence(good));
  assert.equal(action, 'advance');
  assert.deepEqual([state.step, state.phase, state.breaches, state.ratioP, state.metricP], [1, 4, 0, 1, {}]);
  assert.equal(state.stepStartedAtMs, 600_000);
  assert.deepEqual(
    numbers.guardrails.map(({ metric, verdict }) => [metric, verdict]),
    [
      ['error_rate', 'pass'],
      ['slow_share', 'pass'],
    ],
  );
  assert.equal(percentOf(state, policy), 100);
});

test('after the last step it is promoted, compared with the champion of the step before', () => {
  const last = look(start, evidence(good)).state;
  const alone = arm({ keys: 0, interval: traffic(0, 0) });
  const decision = look(last, evidence(good, alone));
  assert.equal(decision.action, 'promote');
  assert.equal(decision.state.status, 'promoted');
  assert.equal(decision.numbers.guardrails[0]!.champion_n, 5000);
  const worse = look(last, evidence(arm({ keys: 5000, errors: 0.05 }), alone));
  assert.equal(worse.action, 'rollback');
});

test('a single step of 100 % without a known champion is never promoted by itself', () => {
  const only = { ...policy, steps: [100] };
  const alone = arm({ keys: 0, interval: traffic(0, 0) });
  assert.equal(look(start, evidence(good, alone), only).action, 'none');
  assert.equal(look(start, evidence(good, alone), only, 7200).action, 'hold');
});

test('more errors than the margin allows go back, with the numbers', () => {
  const { state, action, reasons, numbers } = look(start, evidence(arm({ keys: 5000, errors: 0.03 })));
  assert.equal(action, 'rollback');
  assert.equal(state.status, 'rolled_back');
  assert.equal(percentOf(state, policy), 0);
  assert.match(reasons[0]!, /^error_rate: -0\.03.*allowed 0\.005$/);
  const [errors] = numbers.guardrails;
  assert.equal(errors!.verdict, 'fail');
  assert.ok(errors!.high! < -0.005 && errors!.p_always_valid < 0.05);
});

test('more slow requests than the margin allows go back', () => {
  const { action, reasons } = look(start, evidence(arm({ keys: 5000, slow: 0.2 })));
  assert.equal(action, 'rollback');
  assert.match(reasons.join(), /slow_share/);
});

const accurate = { ...policy, guardrails: [{ metric: 'accuracy', margin: 0.01 }] };

test('200 with bad predictions goes back as soon as labels prove it', () => {
  const champion = arm({ keys: 5000, labels: momentsOfCounts(4750, 5000) });
  const bad = arm({ keys: 5000, labels: momentsOfCounts(250, 500) });
  assert.equal(look(start, evidence(bad, champion), accurate).action, 'rollback');
});

test('labels that are too few are waited for', () => {
  const champion = arm({ keys: 5000, labels: momentsOfCounts(5000, 5000) });
  const candidate = arm({ keys: 5000, labels: momentsOfCounts(199, 199) });
  const { action, reasons } = look(start, evidence(candidate, champion), accurate);
  assert.equal(action, 'none');
  assert.deepEqual(reasons, ['candidate labels of accuracy: 199 of 200']);
});

const alike = { ...policy, guardrails: [{ metric: 'prediction_drift', margin: 0 }] };

test('200 with one and the same prediction goes back before there is any label', () => {
  const champion = arm({ keys: 5000, predictions: [2000, 3000] });
  const stuck = arm({ keys: 5000, predictions: [5000, 0] });
  assert.equal(look(start, evidence(stuck, champion), alike).action, 'rollback');
  const same = arm({ keys: 5000, predictions: [2050, 2950] });
  assert.equal(look(start, evidence(same, champion), alike).action, 'advance');
});

test('in the last step predictions are compared with those of the champion before', () => {
  const champion = arm({ keys: 5000, predictions: [2000, 3000] });
  const last = look(start, evidence(champion, champion), alike).state;
  const alone = arm({ keys: 0 });
  assert.equal(look(last, evidence(arm({ keys: 5000, predictions: [5000, 0] }), alone), alike).action, 'rollback');
});

test('a metric of labels in which lower is better turns its sign', () => {
  const rules: CanaryPolicy = { ...policy, guardrails: [{ metric: 'loss', margin: 0.1, better: 'lower' }] };
  const withLoss = (mean: number) => {
    const one = arm({ keys: 5000 });
    return { ...one, metrics: { ...one.metrics, loss: { mean, variance: 1, n: 5000, observations: 5000 } } };
  };
  assert.equal(look(start, evidence(withLoss(1.5), withLoss(1)), rules).action, 'rollback');
  assert.equal(look(start, evidence(withLoss(0.5), withLoss(1)), rules).action, 'advance');
});

test('a blamed crash goes back at once, before any minimum', () => {
  const { action, reasons } = look(start, evidence(arm({ keys: 1 }), arm({ keys: 1 }), 'crashed'), policy, 1);
  assert.equal(action, 'rollback');
  assert.deepEqual(reasons, ['the candidate crashed a process']);
});

test('a burst of errors goes back after two intervals, without statistics', () => {
  const failing = arm({ keys: 40, interval: traffic(100, 50) });
  const first = look(start, evidence(failing), policy, 60);
  assert.equal(first.action, 'none');
  assert.equal(first.state.breaches, 1);
  const second = look(first.state, evidence(failing), policy, 120);
  assert.equal(second.action, 'rollback');
  assert.match(second.reasons[0]!, /the candidate failed 50 of 100 requests, the champion 0 of 100/);
});

test('the circuit counts intervals in a row: a good one ends the row, one with too few requests does not', () => {
  const bursts = (intervals: readonly (readonly [number, number])[]) =>
    intervals.reduce<CanaryDecision>(
      (before, [requests, faults]) =>
        look(before.state, evidence(arm({ keys: 40, interval: traffic(requests, faults) })), policy, 60),
      look(start, evidence(arm({ keys: 40 })), policy, 60),
    ).action;
  const [bad, fine, few] = [
    [100, 50],
    [100, 0],
    [49, 49],
  ] as const;
  assert.equal(bursts([bad, fine, bad]), 'none');
  assert.equal(bursts([bad, few, bad]), 'rollback');
  assert.equal(bursts([few, few, few]), 'none');
});

test('errors that the champion has as well do not open the circuit', () => {
  const failing = arm({ keys: 200, interval: traffic(100, 20) });
  const champion = arm({ keys: 200, interval: traffic(1000, 100) });
  const first = look(start, evidence(failing, champion), policy, 60);
  assert.equal(look(first.state, evidence(failing, champion), policy, 120).action, 'none');
});

test('a p99 above twice that of the champion, or above the hard limit, goes back after two intervals', () => {
  const twice = (candidateMs: number, rules: CanaryPolicy) => {
    const seen = evidence(arm({ keys: 100, interval: traffic(100, 0, candidateMs) }));
    return look(look(start, seen, rules, 60).state, seen, rules, 120);
  };
  assert.equal(twice(10, policy).action, 'rollback');
  assert.match(twice(10, policy).reasons[0]!, /^p99: above 2 ms/);
  assert.equal(twice(1.9, policy).action, 'none');
  assert.equal(twice(10, { ...policy, p99HardMs: 100 }).action, 'none');
  assert.equal(twice(300, { ...policy, p99HardMs: 100 }).action, 'rollback');
});

test('arms of the wrong size hold, before any guardrail is judged', () => {
  const lost = arm({ keys: 3000, errors: 0.1 });
  const { state, action, reasons } = look(start, evidence(lost, good));
  assert.equal(action, 'hold');
  assert.equal(state.status, 'held');
  assert.match(reasons[0]!, /^sample ratio mismatch: expected 50 to 50, got 5000 keys to 3000/);
  const again = look(state, evidence(lost, good), policy, 660);
  assert.equal(again.action, 'none');
});

test('nothing advances before the minimum of time, keys and requests', () => {
  const waits = (seen: CanaryEvidence, rules: CanaryPolicy, seconds: number) =>
    look(start, seen, rules, seconds).reasons;
  assert.deepEqual(waits(evidence(good), policy, 599), ['seconds: 599 of 600']);
  const few = arm({ keys: 199 });
  assert.deepEqual(waits(evidence(few, few), policy, 600), ['champion keys: 199 of 200', 'candidate keys: 199 of 200']);
  const many = { ...policy, minSamples: 6000 };
  assert.deepEqual(waits(evidence(good), many, 600), [
    'champion requests: 5000 of 6000',
    'candidate requests: 5000 of 6000',
  ]);
});

test('a handful of keys neither pass nor fail a guardrail, however bad they look', () => {
  const few = evidence(arm({ keys: 49, slow: 1 }), arm({ keys: 49, slow: 0 }));
  assert.equal(look(start, few, policy, 60).action, 'none');
  const enough = evidence(arm({ keys: 50, slow: 1 }), arm({ keys: 50, slow: 0 }));
  assert.equal(look(start, enough, policy, 60).action, 'rollback');
});

test('undecided when its time is over, it is held for a person', () => {
  const unclear = arm({ keys: 250, errors: 0.02 });
  assert.equal(look(start, evidence(unclear, unclear), policy, 7199).action, 'none');
  const { state, action, reasons } = look(start, evidence(unclear, unclear), policy, 7200);
  assert.equal(action, 'hold');
  assert.match(reasons[0]!, /^undecided after 7200 s: not decided yet: error_rate/);
  assert.equal(percentOf(state, policy), 50);
});

test('a held canary never goes on by itself, but it goes back by itself', () => {
  const held: CanaryState = { ...start, status: 'held', reason: 'undecided' };
  assert.equal(look(held, evidence(good)).action, 'none');
  assert.equal(look(held, evidence(arm({ keys: 5000, errors: 0.05 }))).action, 'rollback');
  assert.equal(look(held, evidence(good, good, 'hung')).action, 'rollback');
});

test('one that has ended stays as it is, whatever comes', () => {
  for (const status of ['promoted', 'rolled_back'] as const) {
    const ended: CanaryState = { ...start, status };
    const { action, state } = look(ended, evidence(arm({ keys: 5000, errors: 0.5 }), good, 'crashed'));
    assert.equal(action, 'none');
    assert.equal(state.status, status);
  }
});

test('a person resumes it in a fresh phase, takes it on, or takes it back', () => {
  const held: CanaryState = { ...start, status: 'held', reason: 'undecided', breaches: 1, ratioP: 0.2 };
  const again = resumed(held, 9000);
  assert.deepEqual([again.status, again.phase, again.stepStartedAtMs, again.ratioP], ['running', 4, 9000, 1]);
  const on = advancedByHand(held, evidence(good), 9000, policy);
  assert.deepEqual([on.status, on.step, on.phase], ['running', 1, 4]);
  assert.equal(advancedByHand(on, evidence(good), 9000, policy).status, 'promoted');
  assert.equal(rolledBack(on, 'by hand').status, 'rolled_back');
  const ended = rolledBack(on, 'by hand');
  assert.equal(resumed(ended, 1), ended);
  assert.equal(advancedByHand(ended, evidence(good), 1, policy), ended);
});

test('p-values are the smallest of all looks at a phase', () => {
  const worse = look(start, evidence(arm({ keys: 300, errors: 0.05 }), arm({ keys: 300 })), policy, 60);
  const p = worse.state.metricP.error_rate!;
  assert.ok(p < 1);
  const later = look(worse.state, evidence(arm({ keys: 5000, errors: 0.001 }), good), policy, 120);
  assert.equal(later.state.metricP.error_rate, p);
});

test('the state is plain JSON that reads back as it was, at every stage', () => {
  const failing = arm({ keys: 40, interval: traffic(100, 50), predictions: [3, 4] });
  const stages = [
    start,
    look(start, evidence(good)).state,
    look(start, evidence(arm({ keys: 3000 }), good)).state,
    look(start, evidence(failing), policy, 60).state,
    look(start, evidence(good, good, 'crashed')).state,
  ];
  for (const state of stages) assert.deepEqual(canaryState.parse(JSON.parse(JSON.stringify(state))), state);
  assert.throws(() => canaryState.parse({ ...start, status: 'paused' }));
});

test('what is written becomes a policy: seconds, a percentile as a share, and never without a guardrail', () => {
  const times = { min_duration: 600_000, max_duration: 7_200_000, interval: 60_000 };
  const written = { ...times, steps: [1, 5], min_samples: 500, min_labels: 100, p99_hard_ms: 0 };
  const latency = canaryPolicyOf({ ...written, guardrails: [{ metric: 'p95_latency', margin: 0.2 }] });
  assert.deepEqual(latency.guardrails, [{ metric: 'slow_share', margin: 0.2 }]);
  assert.deepEqual([latency.minDurationS, latency.maxDurationS, latency.intervalS], [600, 7200, 60]);
  assert.deepEqual([latency.minKeysPerArm, latency.minLabelsPerArm, latency.p99HardMs], [500, 100, null]);
  const bare = canaryPolicyOf({ ...written, p99_hard_ms: 250, guardrails: [] });
  assert.deepEqual([bare.guardrails, bare.p99HardMs], [defaultCanaryPolicy.guardrails, 250]);
});

/** Looks once a minute at two arms that grow by chance; @returns what happened in the end and the minute of it */
function live(seed: number, candidate: { errors: number; tailMs: number }, rules: CanaryPolicy) {
  const random = dice(seed);
  let state = startedCanary({ nowMs: 0, slowMs: 4, phase: 1 });
  const totals = () => ({ keys: 0, errors: 0, slow: 0 });
  let sums = [totals(), totals()];
  for (let minute = 1; minute <= 1000; minute++) {
    const share = percentOf(state, rules) / 100;
    const size = 400 + Math.floor(200 * random());
    const candidates = Array.from({ length: size }, () => random() < share).filter(Boolean).length;
    const arms = [size - candidates, candidates].map((requests, which) => {
      const { errors, tailMs } = which === 0 ? { errors: 0.01, tailMs: 1 } : candidate;
      const durations = Array.from({ length: requests }, () => 0.5 - tailMs * Math.log(1 - random()));
      const faults = durations.filter(() => random() < errors).length;
      const sum = sums[which]!;
      sum.keys += requests;
      sum.errors += faults;
      sum.slow += durations.filter((ms) => ms > 4).length;
      const of = (hits: number) => (sum.keys === 0 ? 0 : hits / sum.keys);
      const interval = { requests, faults, latency: timesOf(durations) };
      return arm({ keys: sum.keys, errors: of(sum.errors), slow: of(sum.slow), interval });
    });
    const decision = evaluate(state, evidence(arms[1]!, arms[0]!), minute * 60_000, rules);
    if (decision.action === 'advance') sums = [totals(), totals()];
    state = decision.state;
    if (state.status !== 'running') return { status: state.status, minute, reason: state.reason };
  }
  return { status: state.status, minute: 1000, reason: '' };
}

const patient: CanaryPolicy = { ...defaultCanaryPolicy, steps: [10, 50, 100], maxDurationS: 100_000 };

test('noise does not roll back: of 20 equal candidates, looked at every minute, none goes back and most are promoted', () => {
  const ends = Array.from({ length: 20 }, (_, seed) => live(seed, { errors: 0.01, tailMs: 1 }, patient));
  const back = ends.filter(({ status }) => status === 'rolled_back');
  assert.deepEqual(back, []);
  assert.ok(ends.filter(({ status }) => status === 'promoted').length >= 17);
});

test('a candidate with 4 % of errors more goes back in every run, one that hangs in two minutes', () => {
  for (let seed = 100; seed < 110; seed++) {
    assert.equal(live(seed, { errors: 0.05, tailMs: 1 }, patient).status, 'rolled_back');
  }
  const half = { ...patient, steps: [50, 100] };
  for (let seed = 200; seed < 210; seed++) {
    const { status, minute } = live(seed, { errors: 0.01, tailMs: 50 }, half);
    assert.deepEqual([status, minute <= 2], ['rolled_back', true]);
  }
});
