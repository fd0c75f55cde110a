/** Routes that move while they serve: canaries on a given clock, phases, changes by hand, and what a restart finds. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { AuditLog } from '../src/audit/log.js';
import { loadConfig } from '../src/config/load.js';
import { ArmsSeen } from '../src/control/arms-seen.js';
import { Canaries } from '../src/control/canaries.js';
import { CanaryBook } from '../src/control/canary-book.js';
import { type ExperimentAnswer, Experiments } from '../src/control/experiments.js';
import { mismatchEvent } from '../src/control/mismatch-event.js';
import { RouteChanges } from '../src/control/route-changes.js';
import { RouteStages } from '../src/control/route-stages.js';
import { Routes } from '../src/control/routes.js';
import { armLatencyBoundsMs, latencyBucketOf } from '../src/core/arm-counts.js';
import { GatewayError } from '../src/core/errors.js';
import { emptyTable, type RouteTable } from '../src/core/route.js';
import type { Log } from '../src/log.js';
import { rolledBack } from '../src/monitor/canary.js';
import { type Moments, momentsOfCounts } from '../src/monitor/moments.js';
import { StateFolder } from '../src/registry/store/state.js';
import { freshDirectory } from './system/server.js';

const routesText = (canary: string, candidate = 'version: "2"', weight = 10) => `routes:
  m:
    key: [header:x-user]
    default: old
    variants: { old: { version: "1", weight: 90 }, new: { ${candidate}, weight: ${weight} } }
    ${canary === '' ? '' : `canary: { variant: new, interval: 1s, ${canary} }`}
`;
const quick =
  'steps: [50, 100], min_duration: 0s, max_duration: 60s, min_samples: 60, guardrails: [{ metric: error_rate, margin: 0.2 }]';

const configured = (text: string) => loadConfig({ file: { name: 'sluice.yaml', text } }).config.routes;

const tableOf = (
  labels: Record<string, string> = {},
  states: Record<string, 'ready' | 'loading'> = {},
): RouteTable => ({
  ...emptyTable,
  routes: {
    m: {
      model: 'm',
      versions: ['1', '2', '3'].map((version) => ({ version, state: states[version] ?? 'ready', reason: '' })),
      champion: '3',
      labels,
    },
  },
});

/** Everything about routes over one folder; `again` opens it as the next process would. */
async function roomIn(context: { after(work: () => unknown): void }, text: string) {
  const directory = freshDirectory(context);
  const audit = await AuditLog.open({
    path: join(directory, 'audit'),
    fileBytesMax: 2 ** 20,
    now: () => 0,
    actor: 'test',
  });
  context.after(() => audit.close());
  const world = {
    routes: configured(text),
    table: tableOf(),
    nowMs: 1000,
    promoted: [] as string[],
    published: 0,
    publishFails: false,
    promoteFails: '',
    auditFails: false,
    rollbacks: 0,
    /** Why a version must not get a share, by version; and those that got one. */
    withheld: {} as Record<string, string>,
    used: [] as string[],
    /** Digests of what is open, by version. */
    contents: {} as Record<string, string>,
    /** By version. */
    estimates: {} as Record<string, Moments>,
  };
  const silent = () => {};
  const log = { info: silent, warn: silent, error: silent, debug: silent } as unknown as Log;
  const open = async () => {
    const state = new StateFolder(directory, assert.fail);
    const seen = new ArmsSeen(() => world.nowMs);
    const changes = await RouteChanges.open({
      state,
      configured: () => world.routes,
      epochNow: () => world.nowMs,
      report: assert.fail,
    });
    const parts: { table?: RouteTable; routes?: Routes } = {};
    const publish = async () => {
      if (world.publishFails) throw new GatewayError('UNAVAILABLE', 'the disk is full');
      world.published++;
      parts.table = await parts.routes!.with(world.table);
    };
    const now = () => world.nowMs;
    const routes = () => changes.inForce();
    const append: AuditLog['append'] = (...entry) =>
      world.auditFails ? Promise.reject(new GatewayError('UNAVAILABLE', 'the disk is full')) : audit.append(...entry);
    const written = { append } as AuditLog;
    const book = await CanaryBook.open({ state, audit: written, now, routes });
    const shares = {
      contentOf: ({ version }: { readonly version: string }) => world.contents[version],
      withheld: ({ version }: { readonly version: string }) => world.withheld[version] ?? '',
      used: async ({ version }: { readonly version: string }) => void world.used.push(version),
    };
    const stages = await RouteStages.open(state, { audit: written, log, book, changes, shares });
    const promote = async ({ version }: { readonly version: string }) => {
      if (world.promoteFails !== '') throw new GatewayError('FAILED_PRECONDITION', world.promoteFails);
      world.promoted.push(version);
    };
    const estimateOf = ({ version }: { readonly version: string }) => world.estimates[version];
    const canaries = new Canaries({
      book,
      changes,
      shares,
      log,
      seen,
      now,
      routes,
      publish,
      promote,
      onRollback: () => world.rollbacks++,
      estimateOf,
    });
    const mismatches: ExperimentAnswer[] = [];
    const experiments = new Experiments({ seen, routes, estimateOf, onMismatch: (answer) => mismatches.push(answer) });
    const slowMs = (model: string, name: string) => book.runOf(model)?.state.slowMs ?? experiments.slowMs(name);
    parts.routes = await Routes.open(state, { changes, canaries, book, stages, seen, slowMs });
    await publish();
    const experiment = () => parts.table!.routes.m!.experiment!;
    const weights = () => Object.fromEntries(experiment().variants.map(({ name, weight }) => [name, weight]));
    /** So many keys, each with one request, of which so many failed. */
    const see = (variant: string, count: number, { faults = 0, ms = 1, from = 0 } = {}) => {
      const arm = { experiment: 'm', phase: experiment().phase, variant };
      const column = (value: (i: number) => number) => Float64Array.from({ length: count }, (_, i) => value(i));
      const latency = new Array<number>(armLatencyBoundsMs.length + 1).fill(0);
      latency[latencyBucketOf(ms)] = count;
      const keys = {
        ...arm,
        keys: column((i) => from + i + (variant === 'new' ? 1e6 : 0)),
        requests: column(() => 1),
        faults: column((i) => (i < faults ? 1 : 0)),
        timed: column(() => 0),
        slow: column(() => 0),
      };
      const counts = { requests: count, faults, latency, predictions: [] };
      seen.take(`life ${variant} ${arm.phase}`, { arms: [{ ...arm, counts }], keys: [keys], untold: 0 });
    };
    const lookAfter = async (ms: number) => {
      world.nowMs += ms;
      if (canaries.isDue()) await canaries.look();
    };
    return { book, canaries, changes, stages, experiments, experiment, mismatches, weights, see, lookAfter, publish };
  };
  const entries = async (action: string) =>
    (await audit.tail(100)).map(({ entry }) => entry).filter((entry) => entry.action === action);
  return { world, entries, again: open, ...(await open()) };
}

test('a canary begins when its version is ready, and gets nothing before', async (context) => {
  const { world, book, weights, publish, entries } = await roomIn(context, routesText(quick));
  assert.deepEqual(weights(), { old: 50, new: 50 });
  assert.equal((await entries('canary.started')).length, 1);
  const other = await roomIn(context, 'routes: {}');
  other.world.routes = configured(routesText(quick));
  other.world.table = tableOf({}, { 2: 'loading' });
  await other.publish();
  assert.deepEqual([other.weights(), other.book.runOf('m')], [{ old: 100, new: 0 }, undefined]);
  other.world.table = tableOf();
  await other.publish();
  assert.deepEqual(other.weights(), { old: 50, new: 50 });
  world.nowMs += 5000;
  await publish();
  assert.equal(book.runOf('m')!.state.phase, 1);
});

test('a canary whose version must not get a share yet waits, says why, and begins when it may', async (context) => {
  const { world, book, canaries, weights, publish, entries } = await roomIn(context, 'routes: {}');
  world.routes = configured(routesText(quick));
  world.withheld = { 2: 'it waits for ann' };
  await publish();
  assert.deepEqual([book.waitOf('m'), weights(), world.used], ['it waits for ann', { old: 100, new: 0 }, ['1']]);
  await assert.rejects(canaries.start('m', 1, { actor: 'me', reason: '' }), {
    code: 'FAILED_PRECONDITION',
    message: "m@2 must not get a share of 'm': it waits for ann",
  });
  world.withheld = {};
  await publish();
  assert.deepEqual([book.waitOf('m'), weights(), world.used], ['', { old: 50, new: 50 }, ['1', '2']]);
  assert.equal((await entries('canary.started'))[0]!.detail.reason, 'on the route of system:file');
  // What is in stays in, and is told once.
  world.withheld = { 2: 'it waits for ann' };
  await publish();
  assert.deepEqual([weights(), world.used], [{ old: 50, new: 50 }, ['1', '2']]);
  await canaries.steer('m', { actor: 'me', reason: 'no' }, ({ state }) => rolledBack(state, 'no'));
  await assert.rejects(canaries.start('m', 9, { actor: 'me', reason: '' }), /must not get a share/, 'asked anew');
  assert.deepEqual(
    (await entries('stage.changed')).map(({ subject }) => subject),
    ['m@1'],
  );
});

test('approvals are used when a canary has begun; one that could not be written down is due again', async (context) => {
  const { world, canaries, book, publish } = await roomIn(context, 'routes: {}');
  world.routes = configured(routesText(quick));
  world.auditFails = true;
  await publish();
  assert.deepEqual([book.runOf('m'), world.used, canaries.isUnwritten], [undefined, [], true]);
  world.auditFails = false;
  await publish();
  assert.deepEqual([world.used.toSorted(), canaries.isUnwritten], [['1', '2'], false]);
});

test('the default of a route keeps its stage while a canary has all of the weight', async (context) => {
  const { stages, weights, canaries } = await roomIn(context, routesText(quick.replace('[50, 100]', '[100]')));
  const id = { model: 'm', version: '1' };
  assert.deepEqual([weights(), stages.stageOf(id)], [{ old: 0, new: 100 }, 'canary']);
  await canaries.steer('m', { actor: 'me', reason: 'no' }, ({ state }) => rolledBack(state, 'no'));
  assert.deepEqual([weights(), stages.stageOf(id)], [{ old: 100, new: 0 }, 'canary']);
});

test('a version that must not get its share waits, the champion answers in its place, and what is in stays in', async (context) => {
  const { world, changes, stages, experiment, publish, again, entries } = await roomIn(context, 'routes: {}');
  world.routes = configured(routesText(''));
  world.withheld = { 2: 'it waits for ann' };
  await publish();
  const versions = () => experiment().variants.map(({ version }) => version);
  assert.deepEqual([versions(), stages.waitOf('m', { version: '2' })], [['1', ''], 'it waits for ann']);
  assert.throws(
    () => stages.check('m', world.routes.m!, 'me'),
    /^GatewayError: m@2 must not get a share of 'm': it waits/,
  );
  const { phase } = experiment();
  world.withheld = {};
  await publish();
  assert.deepEqual([versions(), experiment().phase, world.used], [['1', '2'], phase + 1, ['1', '2']]);

  world.withheld = { 2: 'it waits for ann' };
  const second = await again();
  assert.deepEqual(
    second.experiment().variants.map(({ version }) => version),
    ['1', '2'],
  );
  await second.changes.put('m', changes.with('m', configured(routesText('', 'version: "2"', 0)).m).m!, {
    actor: 'operator:ann',
    reason: 'enough',
  });
  await second.publish();
  assert.equal(second.stages.stageOf({ model: 'm', version: '2' }), undefined);
  assert.deepEqual(
    (await entries('stage.changed')).map(({ subject, actor, detail }) => [subject, actor, detail.stage, detail.reason]),
    [
      ['m@1', 'system:file', 'canary', "canary on the route of 'm'"],
      ['m@2', 'system:file', 'canary', "canary on the route of 'm'"],
      ['m@2', 'operator:ann', 'registered', "no canary on the route of 'm' any more: enough"],
    ],
  );
});

test('a share is for the content by which it was given: another one is asked for anew and told', async (context) => {
  const { world, stages, experiment, publish, again, entries } = await roomIn(context, 'routes: {}');
  world.routes = configured(routesText(''));
  world.contents = { 2: 'a' };
  const id = { model: 'm', version: '2' };
  await publish();
  world.withheld = { 2: 'it waits for ann' };
  await publish();
  const versions = () => experiment().variants.map(({ version }) => version);
  assert.deepEqual([versions(), stages.sharedAs(id), world.used], [['1', '2'], 'a', ['1', '2']]);
  world.contents = { 2: 'b' };
  await publish();
  assert.deepEqual([versions(), stages.waitOf('m', id)], [['1', ''], 'it waits for ann']);
  assert.equal((await again()).stages.sharedAs(id), 'a', 'it is kept by which it had its share');
  world.withheld = {};
  await publish();
  assert.deepEqual([versions(), stages.sharedAs(id), world.used], [['1', '2'], 'b', ['1', '2', '2']]);
  const { actor, detail } = (await entries('stage.changed')).at(-1)!;
  assert.deepEqual([actor, detail.reason], ['system:registry', "canary on the route of 'm': by other content"]);
});

test('a shadow is a stage; what cannot be written down does not begin, and whatever ends has ended', async (context) => {
  const { world, stages, publish, entries } = await roomIn(context, 'routes: {}');
  const id = { model: 'm', version: '2' };
  world.routes = configured('routes: { m: { shadows: [{ name: s, alias: next }] } }');
  world.table = tableOf({ next: '2' });
  world.auditFails = true;
  await publish();
  assert.deepEqual([stages.stageOf(id), stages.isUnwritten], [undefined, true]);
  world.auditFails = false;
  await publish();
  assert.deepEqual([stages.stageOf(id), stages.isUnwritten], ['shadow', false]);
  world.table = tableOf();
  await publish();
  assert.equal(stages.stageOf(id), 'shadow', 'an alias that leads nowhere at this moment says nothing');
  world.routes = {};
  world.auditFails = true;
  await publish();
  world.auditFails = false;
  await publish();
  assert.equal(stages.stageOf(id), undefined);
  assert.deepEqual(
    (await entries('stage.changed')).map(({ actor, detail }) => [actor, detail.stage, detail.reason]),
    [
      ['system:registry', 'shadow', "shadow on the route of 'm': 'next' leads to it"],
      ['system:file', 'registered', "no shadow on the route of 'm' any more"],
    ],
  );
});

test('it is looked at once an interval, goes its steps, and is promoted', async (context) => {
  const { world, book, experiment, weights, see, lookAfter, entries } = await roomIn(context, routesText(quick));
  see('old', 200);
  see('new', 200);
  await lookAfter(999);
  assert.equal(book.lookOf('m'), undefined);
  await lookAfter(1);
  assert.deepEqual([weights(), experiment().phase], [{ old: 0, new: 100 }, 2]);
  await lookAfter(1000);
  assert.equal(book.lookOf('m')!.action, 'none');
  see('new', 200);
  await lookAfter(1000);
  assert.deepEqual([book.runOf('m')!.state.status, world.promoted], ['promoted', ['2']]);
  assert.deepEqual([weights(), experiment().champion], [{ old: 0, new: 100 }, 'new']);
  const [advanced] = await entries('canary.advanced');
  const numbers = advanced!.detail.numbers as { guardrails: { verdict: string }[]; candidate_keys: number };
  assert.deepEqual([numbers.candidate_keys, numbers.guardrails[0]!.verdict], [200, 'pass']);
  assert.equal(advanced!.actor, 'system:canary');
});

test('what may not be promoted is held, and says why', async (context) => {
  const { world, book, see, lookAfter, entries } = await roomIn(context, routesText(quick));
  world.promoteFails = 'its outputs differ';
  see('old', 200);
  see('new', 200);
  await lookAfter(1000);
  see('new', 200);
  await lookAfter(1000);
  const { status, reason } = book.runOf('m')!.state;
  assert.deepEqual([status, reason], ['held', 'it cannot be promoted: its outputs differ']);
  assert.equal((await entries('canary.held')).length, 1);
});

test('a blamed candidate goes back at once, without an interval or a request', async (context) => {
  const { world, canaries, weights, entries } = await roomIn(context, routesText(quick));
  await canaries.blame({ model: 'm', version: '1' }, 'crashed');
  assert.deepEqual(weights(), { old: 50, new: 50 });
  await canaries.blame({ model: 'm', version: '2' }, 'crashed');
  assert.deepEqual([weights(), world.rollbacks], [{ old: 100, new: 0 }, 1]);
  assert.match(String((await entries('canary.rolled_back'))[0]!.detail.reason), /crashed/);
  await canaries.blame({ model: 'm', version: '2' }, 'crashed');
  assert.equal((await entries('canary.rolled_back')).length, 1);
});

test('a rollback that could not be sent is sent at the next look', async (context) => {
  const { world, book, canaries, weights, see, lookAfter } = await roomIn(context, routesText(quick));
  see('old', 200);
  see('new', 200, { faults: 200 });
  world.publishFails = true;
  await lookAfter(1000);
  assert.deepEqual([book.runOf('m')!.state.status, weights()], ['rolled_back', { old: 50, new: 50 }]);
  world.publishFails = false;
  assert.equal(canaries.isDue(), true);
  await lookAfter(1);
  assert.deepEqual(weights(), { old: 100, new: 0 });
  assert.equal(canaries.isDue(), false);
});

test('what cannot be written down is not made; a blame is not forgotten for that', async (context) => {
  const { world, canaries, weights, lookAfter, entries } = await roomIn(context, routesText(quick));
  world.auditFails = true;
  await canaries.blame({ model: 'm', version: '2' }, 'hung');
  assert.deepEqual(weights(), { old: 50, new: 50 });
  await assert.rejects(
    canaries.steer('m', { actor: 'me', reason: '' }, ({ state }) => ({ ...state, status: 'held' })),
    /disk/,
  );
  world.auditFails = false;
  await lookAfter(1000);
  assert.deepEqual(weights(), { old: 100, new: 0 });
  assert.match(String((await entries('canary.rolled_back'))[0]!.detail.reason), /the candidate hung a process/);
});

test('a table goes out although a canary cannot begin, and it begins with a later one', async (context) => {
  const { world, book, weights, publish } = await roomIn(context, 'routes: {}');
  world.routes = configured(routesText(quick));
  world.auditFails = true;
  await publish();
  assert.deepEqual([weights(), book.runOf('m')], [{ old: 100, new: 0 }, undefined]);
  world.auditFails = false;
  await publish();
  assert.deepEqual(weights(), { old: 50, new: 50 });
});

test('after a restart the same step is counted anew in a later phase, and who was held or sent back stays so', async (context) => {
  const { experiment, see, lookAfter, again, entries } = await roomIn(context, routesText(quick));
  see('old', 200);
  see('new', 200);
  await lookAfter(1000);
  const { phase } = experiment();
  const second = await again();
  assert.deepEqual([second.weights(), second.experiment().phase], [{ old: 0, new: 100 }, phase + 1]);
  assert.equal(second.book.runOf('m')!.state.phase, phase + 1);
  assert.equal((await entries('canary.resumed')).length, 1);
  await second.canaries.steer('m', { actor: 'me', reason: 'wait' }, ({ state }) => ({ ...state, status: 'held' }));
  const third = await again();
  assert.equal(third.book.runOf('m')!.state.status, 'held');
  await third.canaries.steer('m', { actor: 'me', reason: 'no' }, ({ state }) => rolledBack(state, 'no'));
  const fourth = await again();
  assert.deepEqual([fourth.book.runOf('m')!.state.status, fourth.weights()], ['rolled_back', { old: 100, new: 0 }]);
});

test('another candidate is another canary; a champion that moves is a new phase of the same', async (context) => {
  const { world, book, experiment, publish, see, lookAfter } = await roomIn(context, routesText(quick, 'alias: next'));
  assert.equal(book.runOf('m'), undefined);
  world.table = tableOf({ next: '2' });
  await publish();
  see('old', 200);
  see('new', 200);
  await lookAfter(1000);
  assert.equal(book.runOf('m')!.state.step, 1);
  world.table = tableOf({});
  await publish();
  assert.equal(book.runOf('m')!.state.step, 1);
  world.table = tableOf({ next: '3' });
  await publish();
  const { candidate, state } = book.runOf('m')!;
  assert.deepEqual([candidate.version, state.step, state.phase], ['3', 0, experiment().phase]);
});

test('what slow means is found once, sent without a new phase, and kept by the canary over a restart', async (context) => {
  const { book, experiments, experiment, publish, see, again } = await roomIn(context, routesText(quick));
  see('old', 199, { ms: 3 });
  assert.deepEqual(experiments.freeze(), []);
  see('old', 200, { ms: 3 });
  const [found] = experiments.freeze();
  assert.ok(found!.slowMs >= 3 && found!.slowMs < 3.6, String(found!.slowMs));
  await book.setSlow('m', found!.slowMs);
  const { phase } = experiment();
  await publish();
  assert.deepEqual([experiment().slowMs, experiment().phase], [found!.slowMs, phase]);
  assert.deepEqual(experiments.freeze(), []);
  assert.equal((await again()).experiment().slowMs, found!.slowMs);
});

test('an estimate without labels is a guardrail: a candidate that is probably less right goes back', async (context) => {
  const guardrail = 'guardrails: [{ metric: cbpe_accuracy, margin: 0.02 }]';
  const steps = `steps: [50, 100], min_duration: 0s, max_duration: 60s, min_samples: 60, ${guardrail}`;
  const { world, book, experiments, see, lookAfter } = await roomIn(context, routesText(steps));
  see('old', 900);
  see('new', 900);
  await lookAfter(1000);
  assert.equal(book.runOf('m')!.state.status, 'running', 'nobody can tell yet');
  world.estimates = { 1: momentsOfCounts(1800, 2000), 2: momentsOfCounts(1790, 2000) };
  assert.equal(experiments.answer('m').comparisons[0]!.mean, 0.895);
  world.estimates[2] = momentsOfCounts(1400, 2000);
  await lookAfter(1000);
  const { status, reason } = book.runOf('m')!.state;
  assert.equal(status, 'rolled_back');
  assert.match(reason, /cbpe_accuracy/);
});

test('arms of the wrong size withhold the read-out, the advice says so, and so does one event', async (context) => {
  const { experiments, see, mismatches } = await roomIn(context, routesText('', 'version: "2"', 90));
  see('old', 900);
  see('new', 300);
  const answer = experiments.answer('m');
  assert.deepEqual([answer.srm.is_mismatch, answer.variants, answer.comparisons], [true, [], []]);
  assert.match(answer.advice, /^Results are withheld/);
  assert.deepEqual(mismatches.map(mismatchEvent), [
    [
      'io.sluice.experiment.srm',
      'm',
      {
        ...{ model: 'm', experiment: 'm', phase: answer.phase, since: answer.since },
        ...{ srm: answer.srm, exposure: answer.exposure, dedup_key: `srm:m:${answer.phase}` },
      },
    ],
  ]);
  see('new', 900, { from: 300 });
  assert.equal(experiments.answer('m').srm.is_mismatch, true, 'the smallest p of the phase counts');
  assert.equal(mismatches.length, 1, 'said once for each phase');
  assert.throws(() => experiments.answer('n'), /there is no experiment 'n': there are m/);
});

test('a worse variant is advised against, an undecided one goes on', async (context) => {
  const { experiments, see } = await roomIn(context, routesText('', 'version: "2"', 90));
  const undecided = /^Keep going with 'new': not decided yet is error_rate \(margin 0\.005, 0 units .*\); slow_share/;
  assert.match(experiments.answer('m').advice, undecided);
  see('old', 900, { faults: 20 });
  see('new', 900, { faults: 400 });
  assert.match(
    experiments.answer('m').advice,
    /^Stop 'new': worse than allowed in error_rate \+0\.42\d? \(\+0\.\d+ to \+0\.\d+, margin 0\.005\)/,
  );
});

test('an experiment is read by the rules that its route has; the minimum by other rules is another', async (context) => {
  const { world, experiments, experiment, publish, see } = await roomIn(context, routesText('', 'version: "2"', 90));
  see('old', 900, { faults: 20 });
  see('new', 900, { faults: 60 });
  const [plain] = experiments.answer('m').comparisons;
  assert.deepEqual([plain!.margin, plain!.fixed], [0.005, null]);
  const { phase } = experiment();
  const rules = 'alpha: 0.01, method: msprt, tau2: 1, planned_n: 900';
  world.routes = configured(
    `${routesText('', 'version: "2"', 90)}    readout: { ${rules}, guardrails: [{ metric: error_rate, margin: 0.1 }, { metric: prediction_drift }] }\n`,
  );
  await publish();
  const answer = experiments.answer('m');
  assert.deepEqual([answer.phase, answer.alpha, answer.method], [phase, 0.01, 'msprt']);
  assert.deepEqual(
    answer.metrics.map(({ metric, margin }) => [metric, margin]),
    [
      ['error_rate', 0.1],
      ['prediction_drift', 0.02],
    ],
  );
  const [ruled] = answer.comparisons;
  assert.equal(ruled!.fixed!.test, 'two_proportions');
  assert.ok(ruled!.p_always_valid > 2 * plain!.p_always_valid, 'not the minimum of the other method');
  assert.equal(experiment().countsPredictions, true);
});

test('a change by hand wins until the file says something else of that route, and can be taken back', async (context) => {
  const { world, changes, weights, publish, again } = await roomIn(context, routesText(''));
  const by = { actor: 'me', reason: 'more' };
  const route = (weight: number) => changes.with('m', configured(routesText('', 'version: "2"', weight)).m).m!;
  await changes.put('m', route(40), by);
  await publish();
  assert.deepEqual(weights(), { old: 90, new: 40 });
  assert.deepEqual((await again()).weights(), { old: 90, new: 40 });
  await changes.put('m', route(50), by);
  assert.equal(changes.before('m', undefined)!.variants.new!.weight, 40);
  assert.equal(changes.before('m', 0), null);
  assert.throws(() => changes.before('m', 9), /expected 0 \(the file\) or a change of 'm' from 1 to 2, got 9/);
  assert.throws(() => changes.before('n', undefined), /never changed/);

  world.routes = configured(
    `${routesText('')}  n: { key: header:x, default: a, variants: { a: { alias: champion, weight: 1 } } }`,
  );
  await publish();
  assert.equal(weights().new, 50, 'another route of the file changed');
  const next = configured(routesText('', 'version: "2"', 20));
  assert.equal(changes.foreseen(next).m!.variants.new!.weight, 20, 'the file is about to say something else');
  const named = configured(
    `${routesText('')}  n: { experiment: m, key: header:x, default: a, variants: { a: { alias: champion, weight: 1 } } }`.replace(
      '  m:',
      '  k:',
    ),
  );
  assert.throws(
    () => changes.foreseen({ ...world.routes, n: named.n! }),
    /routes\.n\.experiment: expected another name/,
  );
  world.routes = next;
  await publish();
  assert.deepEqual([weights().new, changes.isChanged('m')], [20, false]);
  world.routes = configured(routesText(''));
  await publish();
  assert.equal(weights().new, 10, 'a change that was overruled does not come back');
  assert.deepEqual(
    changes.history('m').map(({ number, actor }) => [number, actor]),
    [
      [1, 'me'],
      [2, 'me'],
      [3, 'system:file'],
      [4, 'system:file'],
    ],
  );
});

test('the newest fifty changes are kept', async (context) => {
  const { changes } = await roomIn(context, routesText(''));
  const { m } = changes.with('m', configured(routesText('')).m);
  for (let i = 0; i < 53; i++) await changes.put('m', m!, { actor: 'me', reason: '' });
  assert.deepEqual([changes.history('m').length, changes.history('m')[0]!.number], [50, 4]);
});

test('weights by hand are refused while a canary has them, and hold when it has ended', async (context) => {
  const { book, canaries, changes, weights, publish } = await roomIn(context, routesText(quick));
  await assert.rejects(canaries.release('m'), /the canary of 'm' is running and has the weights/);
  await canaries.steer('m', { actor: 'me', reason: 'no' }, ({ state }) => rolledBack(state, 'no'));
  await canaries.release('m');
  await changes.put('m', changes.with('m', configured(routesText(quick, 'version: "2"', 30)).m).m!, {
    actor: 'me',
    reason: '',
  });
  await publish();
  assert.deepEqual(weights(), { old: 90, new: 30 });
  await canaries.start('m', 9, { actor: 'me', reason: 'again' });
  assert.deepEqual([weights(), book.runOf('m')!.state.step], [{ old: 50, new: 50 }, 0]);
});
