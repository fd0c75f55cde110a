/** Canaries on a real server: a broken candidate goes back by itself, a good one arrives, a restart goes on, a person steers. */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'node:test';
import { addSub, divInt, identity, refusesShape, writeRepository } from '../fixtures.js';
import { type Answer, post } from './load.js';
import { freshDirectory, type Server, startServer } from './server.js';
import { admin, auditEntries, eventually, metric, modelOf, rowBody, sluice, stateFor } from './versions-fixture.js';

interface ShownCanary {
  readonly status: string;
  readonly percent: number;
  readonly place: number;
  readonly phase: number;
  readonly reason: string;
  readonly error: string;
}

interface ShownRoute {
  readonly phase: number;
  readonly source: string;
  readonly variants: readonly { readonly name: string; readonly weight: number; readonly share: number }[];
  readonly history: readonly { readonly number: number; readonly actor: string }[];
  readonly error: string;
}

/** A row of three fails in every run of `refusesShape`; `identity` answers it. */
const rowOfThree = JSON.stringify({
  inputs: [{ name: 'INPUT0', shape: [1, 3], datatype: 'FP32', data: [1, 2, 3] }],
});

/** Requests of so many users, a few at once. @returns the variant that each was given */
async function askAs(server: Server, users: readonly string[], body = rowOfThree): Promise<Map<string, string>> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const given = new Map<string, string>();
  const left = [...users];
  const loop = async () => {
    for (let user = left.pop(); user !== undefined; user = left.pop()) {
      const answer = await post(`${server.http}/v2/models/m/infer`, body, agent, { 'x-user': user });
      assert.notEqual(answer, 'refused');
      given.set(user, String((answer as Answer).headers['x-sluice-variant']));
    }
  };
  await Promise.all(Array.from({ length: 8 }, loop));
  agent.destroy();
  return given;
}

const users = (count: number, prefix = 'u') => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

/** Asks on until told to stop, so that there is always something to judge. */
function keepAsking(server: Server): { stop(): Promise<void> } {
  let isStopped = false;
  const loop = (async () => {
    for (let round = 0; !isStopped; round++) await askAs(server, users(200, `r${round % 5}-`)).catch(() => {});
  })();
  return {
    stop: () => {
      isStopped = true;
      return loop;
    },
  };
}

const routeText = (canary: string, weights = [90, 10]) => `models: { version_policy: all }
gateway: { beat_ms: 200, beat_timeout_ms: 5000 }
routes:
  m:
    key: [header:x-user]
    salt: canary-test
    default: old
    variants:
      old: { version: "1", weight: ${weights[0]} }
      new: { version: "2", weight: ${weights[1]} }
${canary === '' ? '' : `    canary: { variant: new, interval: 500ms, ${canary} }\n`}`;

const shownCanary = async (server: Server) => (await admin<ShownCanary>(server, 'models/m/canary')).json;

const untilCanary = (server: Server, isRight: (canary: ShownCanary) => boolean, withinMs = 30_000) =>
  eventually(async () => {
    const canary = await shownCanary(server);
    assert.ok(isRight(canary), JSON.stringify(canary));
    return canary;
  }, withinMs);

test('a candidate that fails every request is back at 0 % by itself, with its numbers in the audit log', {
  timeout: 120_000,
}, async (context) => {
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: identity(), 2: refusesShape() } } });
  const state = stateFor(context);
  const flags = state.config(
    routeText(
      'steps: [50, 100], min_duration: 1h, max_duration: 2h, guardrails: [{ metric: error_rate, margin: 0.05 }]',
    ),
  );
  const server = await startServer({ models, flags, env: state.env });
  context.after(() => server.kill('SIGKILL'));
  assert.equal((await shownCanary(server)).percent, 50);
  const asking = keepAsking(server);
  const canary = await untilCanary(server, ({ status }) => status === 'rolled_back');
  await asking.stop();
  assert.deepEqual([canary.percent, canary.place], [0, 0]);
  assert.match(canary.reason, /error/);

  const [entry] = await auditEntries(server, 'canary.rolled_back');
  assert.equal(entry!.actor, 'system:canary');
  assert.equal(entry!.subject, 'm@2');
  const numbers = entry!.detail.numbers as {
    candidate_keys: number;
    guardrails: { metric: string }[];
    circuit: object;
  };
  assert.ok(numbers.candidate_keys > 0);
  assert.equal(numbers.guardrails[0]!.metric, 'error_rate');
  const { detail } = (await auditEntries(server, 'canary.started'))[0]!;
  assert.deepEqual([detail.percent, detail.status], [50, 'running']);

  const after = await askAs(server, users(300));
  assert.deepEqual(new Set(after.values()), new Set(['old']));
  assert.equal(await metric(server, 'sluice_rollbacks_total{reason="canary"}'), 1);
  assert.equal(await metric(server, 'sluice_canary_step{model="m"}'), 0);
});

test('a candidate that answers 200 with something else is taken back without a single label', {
  timeout: 120_000,
}, async (context) => {
  // Of the row that is asked for, one sees the other class.
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: modelOf(1), 2: modelOf(2) } } });
  const state = stateFor(context);
  const guardrail = 'guardrails: [{ metric: prediction_drift, margin: 0 }]';
  const flags = state.config(routeText(`steps: [50, 100], min_duration: 1h, max_duration: 2h, ${guardrail}`));
  const server = await startServer({ models, flags, env: state.env });
  context.after(() => server.kill('SIGKILL'));
  await askAs(server, users(1300), rowBody);
  const { reason } = await untilCanary(server, (canary) => canary.status === 'rolled_back');
  assert.match(reason, /prediction_drift/);
});

test('a candidate that brings a process down is back at 0 % at once, whatever its interval', {
  timeout: 120_000,
}, async (context) => {
  const versions = { 1: addSub('INT32', ['batch', 'n']), 2: divInt() };
  const models = writeRepository(freshDirectory(context), { m: { versions } });
  const state = stateFor(context);
  const text = routeText('steps: [50, 100], min_duration: 1h, max_duration: 2h').replace('500ms', '1h');
  const server = await startServer({ models, flags: state.config(text), env: state.env });
  context.after(() => server.kill('SIGKILL'));
  const tensor = (name: string, value: number) => ({ name, shape: [1, 1], datatype: 'INT32', data: [value] });
  // INT_MIN / -1 is SIGFPE; a sum of the two only wraps.
  const body = JSON.stringify({ inputs: [tensor('INPUT0', -2147483648), tensor('INPUT1', -1)] });
  for (let user = 0; (await shownCanary(server)).status === 'running' && user < 40; user++)
    await post(`${server.http}/v2/models/m/infer`, body, undefined, { 'x-user': `u${user}` });
  const canary = await untilCanary(server, ({ status }) => status === 'rolled_back');
  assert.match(canary.reason, /the candidate crashed a process/);
  assert.equal((await auditEntries(server, 'canary.rolled_back')).length, 1);
});

test('a good candidate goes through its steps, over a restart in the middle, and answers by default', {
  timeout: 180_000,
}, async (context) => {
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: identity(), 2: identity() } } });
  const state = stateFor(context);
  const flags = state.config(
    routeText(
      'steps: [20, 60, 100], min_duration: 1s, max_duration: 1h, min_samples: 60, guardrails: [{ metric: error_rate, margin: 0.3 }]',
    ),
  );
  let server = await startServer({ models, flags, env: state.env });
  context.after(() => server.kill('SIGKILL'));
  // The newest version answers whoever names no route's variant; the route's default is the older one.
  let asking = keepAsking(server);
  const before = await untilCanary(server, ({ place, percent }) => place === 2 && percent === 60);
  await asking.stop();
  assert.equal((await server.stop()).code, 0);

  server = await startServer({ models, flags, env: state.env });
  const resumed = await shownCanary(server);
  assert.deepEqual([resumed.status, resumed.place >= 2, resumed.phase > before.phase], ['running', true, true]);
  assert.equal((await auditEntries(server, 'canary.resumed'))[0]!.detail.reason, 'restart');
  asking = keepAsking(server);
  await untilCanary(server, ({ status }) => status === 'promoted', 60_000);
  await asking.stop();

  assert.deepEqual(new Set((await askAs(server, users(100))).values()), new Set(['new']));
  const advanced = await auditEntries(server, 'canary.advanced');
  assert.deepEqual(
    advanced.map(({ detail }) => detail.percent),
    [60, 100],
  );
  assert.equal((await auditEntries(server, 'canary.promoted')).length, 1);
  // Whoever has no key gets it, too.
  const keyless = (await post(`${server.http}/v2/models/m/infer`, rowOfThree)) as Answer;
  assert.equal(keyless.headers['x-sluice-version'], '2');
});

test('a person holds, resumes, takes on and takes back', { timeout: 120_000 }, async (context) => {
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: identity(), 2: identity() } } });
  const state = stateFor(context);
  const flags = state.config(routeText('steps: [10, 40, 100], min_duration: 1h, max_duration: 2h'));
  const server = await startServer({ models, flags, env: state.env });
  context.after(() => server.kill('SIGKILL'));
  const does = async (verb: string, ...more: string[]) => {
    const { code, stdout, stderr } = await sluice('canary', verb, 'm', '--url', server.admin, '--json', ...more);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as ShownCanary;
  };
  assert.deepEqual(
    [(await does('hold', '--reason', 'a holiday')).status, (await shownCanary(server)).reason],
    ['held', 'a holiday'],
  );
  const again = await sluice('canary', 'hold', 'm', '--url', server.admin);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /held already/);
  assert.equal((await does('resume')).status, 'running');
  assert.equal((await does('advance')).percent, 40);
  const set = await admin<ShownRoute>(server, 'routes/m', { weights: { new: 5 } });
  assert.equal(set.status, 409);
  assert.match(set.json.error, /canary of 'm' is running/);
  assert.equal((await does('rollback', '--reason', 'enough')).percent, 0);
  assert.deepEqual(new Set((await askAs(server, users(100))).values()), new Set(['old']));
  const text = await sluice('canary', 'show', 'm', '--url', server.admin);
  assert.match(text.stdout, /m: new \(m@2\) at 0 %, step 0 of 3, rolled_back: enough/);

  const released = await admin<ShownRoute>(server, 'routes/m', { weights: { old: 50, new: 50 } });
  assert.deepEqual(
    released.json.variants.map(({ share }) => share),
    [0.5, 0.5],
  );
  assert.equal((await does('start')).percent, 10);
  const [entry] = await auditEntries(server, 'canary.held');
  assert.deepEqual([entry!.actor.startsWith('operator:'), entry!.detail.reason], [true, 'a holiday']);
});

test('weights set while serving move keys one way only, in every process, and can be taken back', {
  timeout: 120_000,
}, async (context) => {
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: identity(), 2: identity() } } });
  const state = stateFor(context);
  const flags = state.config(routeText(''));
  let server = await startServer({ models, flags, env: state.env });
  context.after(() => server.kill('SIGKILL'));
  const everybody = users(400);
  const before = await askAs(server, everybody);
  const cli = async (...parameters: string[]) => {
    const { code, stdout, stderr } = await sluice('routes', ...parameters, '--url', server.admin);
    assert.equal(code, 0, stderr);
    return stdout;
  };

  assert.match(await cli('set', 'm', 'old=60', 'new=40', '--reason', 'more'), /new +2 +40 +40 % +change 1/);
  const after = await askAs(server, everybody);
  for (const user of everybody) if (before.get(user) === 'new') assert.equal(after.get(user), 'new', user);
  const moved = everybody.filter((user) => after.get(user) === 'new').length;
  assert.ok(moved > 110 && moved < 210, `${moved} of 400`);
  // New connections meet both processes: whoever answers, the answer is the same.
  assert.deepEqual(await askAs(server, everybody), after);

  for (const [weights, expected] of [
    [{ new: -1 }, /routes\.m\.variants\.new\.weight: expected a weight from 0 to 1000000, got -1/],
    [{ newer: 3 }, /routes\.m\.variants\.newer: expected one of the variants: old, new/],
    [{ old: 0, new: 0 }, /routes\.m\.variants: expected at least one weight above 0/],
  ] as const) {
    const { status, json } = await admin(server, 'routes/m', { weights });
    assert.equal(status, 400);
    assert.match(json.error, expected);
  }
  const whole = { key: ['header:x-user'], default: 'old', variants: { old: { version: '7', weight: 1 } } };
  const unknown = await admin(server, 'routes/m', { route: whole });
  assert.match(unknown.json.error, /routes\.m\.variants\.old\.version: expected a version of 'm'.*got '7'/);
  assert.deepEqual(await askAs(server, everybody), after);

  assert.equal((await server.stop()).code, 0);
  server = await startServer({ models, flags, env: state.env });
  assert.deepEqual(await askAs(server, everybody), after);

  assert.match(await cli('revert', 'm'), /new +2 +10 +10 % +file/);
  assert.deepEqual(await askAs(server, everybody), before);
  assert.match(await cli('history', 'm'), /2 .*as the file says.*\n1 .*old=60 new=40 +more/);
  const entries = await auditEntries(server, 'route.changed');
  assert.deepEqual(
    entries.map(({ detail }) => detail.to),
    [
      { old: 60, new: 40 },
      { old: 90, new: 10 },
    ],
  );

  await cli('set', 'm', 'new=90');
  state.config(routeText('', [70, 30]));
  await eventually(async () => {
    const { json } = await admin<ShownRoute>(server, 'routes/m');
    assert.deepEqual([json.source, json.variants[1]!.weight], ['file', 30]);
  });
});

test('an experiment is read while it runs: sizes first, intervals, advice, metrics', {
  timeout: 120_000,
}, async (context) => {
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: identity(), 2: refusesShape() } } });
  const state = stateFor(context);
  const flags = state.config(routeText('', [50, 50]));
  let server = await startServer({ models, flags, env: state.env });
  context.after(() => server.kill('SIGKILL'));
  await askAs(server, users(600));
  const readOut = () =>
    admin<{
      since: string;
      srm: { keys: Record<string, number>; is_mismatch: boolean };
      variants: { variant: string; keys: number; requests: number }[];
      comparisons: { metric: string; verdict: string; interval: { low: number } | null }[];
      advice: string;
    }>(server, 'experiments/m');
  const { status, json } = await readOut();
  assert.equal(status, 200);
  assert.equal(json.srm.keys.old! + json.srm.keys.new!, 600);
  assert.equal(json.srm.is_mismatch, false);
  assert.deepEqual(
    json.variants.map(({ requests }) => requests),
    [json.srm.keys.old, json.srm.keys.new],
  );
  assert.equal(json.comparisons[0]!.metric, 'error_rate');

  const text = await sluice('experiments', 'show', 'm', '--url', server.admin);
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stdout, /sample ratio: old \d+, new \d+/);
  assert.equal(await metric(server, 'sluice_experiment_keys{experiment="m",variant="new"}'), json.srm.keys.new);
  assert.ok((await metric(server, 'sluice_experiment_srm_p{experiment="m"}')) > 0.001);
  assert.equal(await metric(server, 'sluice_route_decisions_total{model="m",reason="weight"}'), 600);
  const unknown = await admin(server, 'experiments/none');
  assert.deepEqual([unknown.status, /there are m/.test(unknown.json.error)], [404, true]);

  // A restart takes nothing from it.
  const last = await readOut();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  server = await startServer({ models, flags, env: state.env });
  assert.deepEqual((await readOut()).json, last.json);
  await askAs(server, users(50, 'later'));
  const { keys } = (await readOut()).json.srm;
  assert.equal(keys.old! + keys.new!, 650);
});
