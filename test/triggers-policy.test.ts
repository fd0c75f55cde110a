/** When a model is to be trained again: the decision, and what becomes of a request. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RetrainCondition, RetrainSignals } from '../src/core/trigger.js';
import { decideRetrain, freshRetrain, type RetrainPolicy, type RetrainState } from '../src/triggers/policy.js';
import { type RetrainClosing, Retraining, type RetrainNews, type RetrainStates } from '../src/triggers/retraining.js';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const monday = Date.parse('2026-06-01T00:00:00Z');

function policyOf(when: RetrainCondition, change: Partial<RetrainPolicy> = {}): RetrainPolicy {
  return { name: 'retrain', when, forWindows: 0, cooldownMs: 0, perWeekMax: 100, isDryRun: false, ...change };
}

/** Feeds looks one after another. @returns what each led to, and the state after the last */
function run(
  policy: RetrainPolicy,
  looks: readonly { readonly signals?: RetrainSignals; readonly atMs?: number; readonly closes?: boolean }[],
  before: RetrainState = freshRetrain(monday),
): { readonly acts: string[]; readonly state: RetrainState } {
  let state = before;
  const acts = looks.map(({ signals = {}, atMs = 0, closes = true }, index) => {
    const { act, next } = decideRetrain(policy, { nowMs: monday + atMs, id: `t${index}`, signals }, state);
    state = closes ? { ...next, open: null } : next;
    return act;
  });
  return { acts, state };
}

const drifts = { driftShare: 0.4 };
const calm = { driftShare: 0.1 };

describe('a retraining policy', () => {
  it('fires at its limit and not below it', () => {
    const when = { drift_share: '>=0.3' };
    assert.deepEqual(run(policyOf(when), [{ signals: { driftShare: 0.2999 } }]).acts, ['none']);
    assert.deepEqual(run(policyOf(when), [{ signals: { driftShare: 0.3 } }]).acts, ['fired']);
    assert.deepEqual(run(policyOf({ drift_share: '>0.3' }), [{ signals: { driftShare: 0.3 } }]).acts, ['none']);
    assert.deepEqual(run(policyOf({ drift_share: '<=0.3' }), [{ signals: { driftShare: 0.3 } }]).acts, ['fired']);
    assert.deepEqual(run(policyOf({ drift_share: '<0.3' }), [{ signals: { driftShare: 0.3 } }]).acts, ['none']);
  });

  it('waits for as many windows as it says, beyond the first, without a break', () => {
    const policy = policyOf({ drift_share: '>=0.3' }, { forWindows: 2 });
    const looks = [drifts, drifts, calm, drifts, drifts, drifts].map((signals) => ({ signals }));
    assert.deepEqual(run(policy, looks).acts, ['none', 'none', 'none', 'none', 'none', 'fired']);
  });

  it('leaves a sign that was not looked at as it stood', () => {
    const policy = policyOf({ drift_share: '>=0.3' }, { forWindows: 1 });
    const looks = [{ signals: drifts }, { signals: { labelsSinceTraining: 5 } }, { signals: drifts }];
    assert.deepEqual(run(policy, looks).acts, ['none', 'none', 'fired']);
  });

  it('takes any of its signs, and all where all are asked for', () => {
    const any = policyOf({ any: [{ quality: 'degraded' }, { labels_since_training: '>=5000' }, { cbpe: 'alert' }] });
    assert.deepEqual(run(any, [{ signals: { quality: 'ok', labelsSinceTraining: 4999, cbpe: 'ok' } }]).acts, ['none']);
    assert.deepEqual(run(any, [{ signals: { labelsSinceTraining: 5000 } }]).acts, ['fired']);
    assert.deepEqual(run(any, [{ signals: { cbpe: 'alert' } }]).acts, ['fired']);
    const all = policyOf({ all: [{ quality: 'degraded' }, { any: [{ cbpe: 'alert' }, { drift_share: '>0' }] }] });
    assert.deepEqual(run(all, [{ signals: { quality: 'degraded' } }]).acts, ['none']);
    assert.deepEqual(run(all, [{ signals: { quality: 'degraded', driftShare: 0.1 } }]).acts, ['fired']);
  });

  it('fires at a time of its cron once, however many windows other signs need', () => {
    const policy = policyOf({ any: [{ drift_share: '>=0.3' }, { cron: '0 3 * * 1' }] }, { forWindows: 5 });
    const looks = [2 * hourMs, 3 * hourMs, 4 * hourMs, 7 * dayMs + 3 * hourMs].map((atMs) => ({ atMs }));
    assert.deepEqual(run(policy, looks).acts, ['none', 'fired', 'none', 'fired']);
  });

  it('makes up once for times at which nobody was there', () => {
    const policy = policyOf({ cron: '0 3 * * *' });
    assert.deepEqual(run(policy, [{ atMs: 5 * dayMs }, { atMs: 5 * dayMs + hourMs }]).acts, ['fired', 'none']);
  });

  it('lets the cooldown pass, to the millisecond', () => {
    const policy = policyOf({ drift_share: '>=0.3' }, { cooldownMs: 24 * hourMs });
    const looks = [0, 24 * hourMs - 1, 24 * hourMs].map((atMs) => ({ atMs, signals: drifts }));
    assert.deepEqual(run(policy, looks).acts, ['fired', 'held', 'fired']);
  });

  it('asks no oftener in a week than it may', () => {
    const policy = policyOf({ drift_share: '>=0.3' }, { perWeekMax: 3 });
    const looks = [0, 1, 2, 3, 7 * dayMs - 1, 7 * dayMs].map((atMs) => ({ atMs, signals: drifts }));
    assert.deepEqual(run(policy, looks).acts, ['fired', 'fired', 'fired', 'held', 'held', 'fired']);
  });

  it('adds to an open request what is new to it, and nothing twice', () => {
    const policy = policyOf({ any: [{ drift_share: '>=0.3' }, { quality: 'degraded' }] });
    const looks = [
      drifts,
      drifts,
      { ...drifts, quality: 'degraded' as const },
      { ...drifts, quality: 'degraded' as const },
    ];
    const { acts, state } = run(
      policy,
      looks.map((signals) => ({ signals, closes: false })),
    );
    assert.deepEqual(acts, ['fired', 'none', 'added', 'none']);
    assert.deepEqual(state.open?.reasons, ['drift_share >=0.3', 'quality degraded']);
    assert.equal(state.open?.firings, 2);
    assert.equal(state.open?.id, 't0');
    assert.equal(state.firedMs.length, 1);
  });

  it('opens nothing in a dry run, and keeps its cooldown', () => {
    const policy = policyOf({ drift_share: '>=0.3' }, { isDryRun: true, cooldownMs: hourMs });
    const { acts, state } = run(policy, [
      { signals: drifts, closes: false },
      { signals: drifts, closes: false },
    ]);
    assert.deepEqual(acts, ['fired', 'held']);
    assert.equal(state.open, null);
  });

  it('changes nothing that it was given', () => {
    const before = Object.freeze({ ...freshRetrain(monday), held: Object.freeze({}), firedMs: Object.freeze([]) });
    decideRetrain(policyOf({ drift_share: '>0' }), { nowMs: monday, id: 't', signals: drifts }, before);
  });
});

describe('requests for trainings', () => {
  const open = async (
    policies: Readonly<Record<string, RetrainPolicy>>,
    given: { states?: RetrainStates; failing?: 'tell' | 'save' } = {},
  ) => {
    const clock = { ms: monday };
    const saved: RetrainStates[] = [];
    const news: RetrainNews[] = [];
    const closings: RetrainClosing[] = [];
    const faults = { tell: given.failing === 'tell', save: false };
    let ids = 0;
    const retraining = await Retraining.open({
      policies,
      states: given.states ?? {},
      save: async (states) => {
        if (faults.save) throw new Error('disk');
        saved.push(states);
      },
      tell: async (one) => {
        if (faults.tell) throw new Error('outbox');
        news.push(one);
      },
      closed: async (one) => {
        closings.push(one);
      },
      epochNow: () => clock.ms,
      id: () => `t${++ids}`,
    });
    return { retraining, clock, saved, news, closings, faults };
  };
  const drifting = { digits: policyOf({ drift_share: '>=0.3' }) };

  it('are told with their numbers, and closed by a version that names them', async () => {
    const { retraining, news, closings } = await open(drifting);
    await retraining.look('digits', drifts, { window: { rows: 500 } });
    assert.equal(news.length, 1);
    const { id, act, dedupKey, reasons, signals, facts } = news[0]!;
    assert.deepEqual(
      { act, dedupKey, reasons },
      { act: 'fired', dedupKey: 'digits/retrain', reasons: ['drift_share >=0.3'] },
    );
    assert.deepEqual({ signals, facts }, { signals: drifts, facts: { window: { rows: 500 } } });
    assert.equal(await retraining.registered('digits', '3', 'another'), false);
    assert.equal(await retraining.registered('cancer', '3', id), false);
    assert.equal(await retraining.registered('digits', '3', id), true);
    assert.equal(closings[0]?.reason, 'version 3 answers it');
    assert.equal(await retraining.registered('digits', '3', id), false);
    await retraining.look('digits', drifts);
    assert.equal(news.length, 2);
  });

  it('of a model without a policy come from operators only', async () => {
    const { retraining, news } = await open({});
    await retraining.look('digits', drifts);
    assert.equal(news.length, 0);
    const id = await retraining.request('digits', 'new labels', 'operator:ana');
    assert.deepEqual(
      [news[0]!.policy, news[0]!.actor, news[0]!.reasons],
      ['manual', 'operator:ana', ['operator: new labels']],
    );
    assert.equal(await retraining.request('digits', 'again', 'operator:ana'), id);
    assert.equal(news[1]!.act, 'added');
    assert.equal(await retraining.close('digits', 'operator:ana', 'no'), true);
    assert.equal(await retraining.close('digits', 'operator:ana', 'no'), false);
  });

  it('that are answered leave no sign behind that would ask again by itself', async () => {
    const { retraining, news } = await open({
      digits: policyOf({ any: [{ drift_share: '>=0.3' }, { quality: 'degraded' }] }, { forWindows: 1 }),
    });
    await retraining.look('digits', drifts);
    await retraining.look('digits', drifts);
    assert.equal(news.length, 1);
    await retraining.registered('digits', '2', news[0]!.id);
    await retraining.look('digits', { quality: 'ok' });
    await retraining.look('digits', drifts);
    assert.equal(news.length, 1);
    await retraining.look('digits', drifts);
    assert.equal(news.length, 2);
  });

  it('are closed after 14 days in which nothing came of them', async () => {
    const { retraining, clock, closings } = await open({});
    await retraining.request('digits', '', 'operator:ana');
    assert.equal(retraining.nextMs(), monday + 14 * dayMs);
    clock.ms += 14 * dayMs - 1;
    await retraining.onTime();
    assert.equal(closings.length, 0);
    clock.ms += 1;
    await retraining.onTime();
    assert.match(closings[0]!.reason, /14 days/);
    assert.equal(retraining.nextMs(), undefined);
  });

  it('are remembered, so that a start neither asks twice nor forgets a time', async () => {
    const first = await open({ digits: policyOf({ cron: '0 3 * * *' }) });
    first.clock.ms += 3 * hourMs;
    await first.retraining.onTime();
    assert.equal(first.news.length, 1);
    const second = await open({ digits: policyOf({ cron: '0 3 * * *' }) }, { states: first.saved.at(-1)! });
    second.clock.ms += 3 * hourMs;
    await second.retraining.onTime();
    assert.equal(second.news.length, 0, 'it is open already');
    await second.retraining.registered('digits', '2', first.news[0]!.id);
    second.clock.ms += dayMs;
    assert.ok(second.retraining.nextMs()! <= second.clock.ms);
    await second.retraining.onTime();
    assert.equal(second.news.length, 1);
  });

  it('are asked for again when they could not be told', async () => {
    const { retraining, news, faults } = await open(drifting);
    faults.tell = true;
    await assert.rejects(retraining.look('digits', drifts));
    faults.tell = false;
    await retraining.look('digits', drifts);
    assert.equal(news.length, 1);
    assert.equal(retraining.states.digits?.open?.id, news[0]!.id);
  });

  it('are told twice under one key rather than not at all when the state cannot be kept', async () => {
    const { retraining, news, faults } = await open(drifting);
    faults.save = true;
    await assert.rejects(retraining.look('digits', drifts));
    faults.save = false;
    await retraining.look('digits', drifts);
    assert.deepEqual(new Set(news.map(({ dedupKey }) => dedupKey)), new Set(['digits/retrain']));
    assert.equal(news.length, 2);
  });
});
