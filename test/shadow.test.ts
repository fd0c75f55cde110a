/** What a shadow is sent, when, within which limits, and that nothing of it reaches the caller. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniform } from '../src/core/murmur3.js';
import { type ShadowOutcome, shadowOutcomes } from '../src/core/shadow-report.js';
import { failure, primary, replyOf, requestOf, Stage, scores, shadowPlan } from './shadow-fixture.js';

test('without shadows nothing happens', () => {
  const stage = new Stage([]);
  assert.equal(stage.shadows.begin(requestOf('r1')), undefined);
  assert.deepEqual(stage.shadows.families(), []);
});

test('a model without a shadow is not looked at', () => {
  const stage = new Stage();
  assert.equal(stage.shadows.begin(requestOf('r1', { model: 'other' })), undefined);
  assert.deepEqual(stage.outcomes, {});
});

test('a copy starts after the reply, in a later turn, and both answers are compared', async () => {
  const stage = new Stage();
  const exposure = stage.shadows.begin(requestOf('r1'))!;
  await stage.turns();
  assert.equal(stage.pending.length, 0, 'not before the primary is done');
  exposure.end(replyOf('1', [scores(0.9, 0.1)], 2));
  assert.equal(stage.pending.length, 0, 'not in the turn of the reply');
  await stage.turns();
  const { request } = stage.pending[0]!;
  assert.equal(request.id, 'r1');
  assert.deepEqual(request.version.id, { model: 'm', version: '2' });
  assert.deepEqual(Array.from(request.inputs[0]!.data as Float32Array), [1, 2, 3, 4]);
  stage.pending[0]!.answer([scores(0.9, 0.1)], 5);
  await stage.turns();
  assert.deepEqual(stage.outcomes, { ok: 1 });
  assert.equal(stage.report.pairs, 1);
  assert.equal(stage.report.outputs[0]!.matched, 1);
  assert.equal(stage.report.latencyMs.mean, 3);
  assert.equal(stage.gauge('sluice_shadow_held_bytes'), 0);
});

test('copies gather for a moment, or until there are as many as may run', async () => {
  const stage = new Stage([shadowPlan({ inFlightMax: 3 })]);
  stage.send('r1');
  stage.send('r2');
  await stage.turnsAtOnce();
  assert.equal(stage.pending.length, 0);
  await stage.turns();
  assert.equal(stage.pending.length, 2);
  stage.send('r3');
  await stage.turnsAtOnce();
  assert.equal(stage.pending.length, 3, 'nothing is gained by waiting');
  stage.send('r4');
  for (const pending of stage.pending) pending.answer([scores(0.9, 0.1)]);
  await stage.turns();
  stage.pending[3]!.answer([scores(0.9, 0.1)]);
  await stage.turns();
  assert.deepEqual(stage.outcomes, { ok: 4 });
  assert.equal(stage.gauge('sluice_shadow_held_bytes'), 0);
});

test('a parallel copy starts with the primary and is compared whichever answers first', async () => {
  for (const isShadowFirst of [true, false]) {
    const stage = new Stage([shadowPlan({ when: 'parallel' })]);
    const exposure = stage.shadows.begin(requestOf('r1'))!;
    await stage.turns();
    assert.equal(stage.pending.length, 1);
    const steps = [
      () => stage.pending[0]!.answer([scores(0.4, 0.6)]),
      () => exposure.end(replyOf('1', [scores(0.9, 0.1)])),
    ];
    for (const step of isShadowFirst ? steps : steps.reverse()) {
      step();
      await stage.turns();
    }
    assert.deepEqual(stage.outcomes, { ok: 1 });
    assert.equal(stage.report.mismatchedPairs, 1);
    assert.equal(stage.gauge('sluice_shadow_held_bytes'), 0);
  }
});

test('inputs survive a primary that moves them to a thread, for every shadow', async () => {
  const stage = new Stage([
    shadowPlan({ name: 'a' }),
    shadowPlan({ name: 'b', version: { model: 'm', version: '3' } }),
  ]);
  const data = Float32Array.of(1, 2, 3, 4);
  const request = requestOf('r1', { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data }] });
  const exposure = stage.shadows.begin(request)!;
  structuredClone(data, { transfer: [data.buffer] });
  assert.equal(data.length, 0);
  exposure.end(replyOf('1', [scores(1)]));
  await stage.turns();
  assert.equal(stage.pending.length, 2);
  for (const { request: copy } of stage.pending) {
    const held = copy.inputs[0]!.data as Float32Array;
    assert.deepEqual(Array.from(held), [1, 2, 3, 4]);
    assert.ok(held.byteLength < held.buffer.byteLength, 'a buffer that its tensor fills would be moved away');
  }
});

test('a view of most of a body is kept as it is, a small part of a large buffer is copied', async () => {
  const stage = new Stage();
  const body = new Float32Array(16);
  const inputOf = (data: Float32Array) => ({ name: 'x', datatype: 'FP32' as const, shape: [1, data.length], data });
  stage.send('r1', undefined, { inputs: [inputOf(body.subarray(2))] });
  stage.send('r2', undefined, { inputs: [inputOf(body.subarray(2, 4))] });
  await stage.turns();
  const [most, part] = stage.pending.map(({ request }) => (request.inputs[0]!.data as Float32Array).buffer);
  assert.equal(most, body.buffer);
  assert.notEqual(part, body.buffer);
});

test('sampling follows the request id: exactly those with u below the share, and 5 % lies within 10 %', () => {
  const taken = (share: number) => {
    const stage = new Stage([shadowPlan({ share, sampleSalt: 'salt', queueMax: 5000 })]);
    const ids = Array.from({ length: 4000 }, (_, index) => `request-${index}`);
    return ids.filter((id) => {
      const exposure = stage.shadows.begin(requestOf(id));
      exposure?.end(failure('RESOURCE_EXHAUSTED'));
      return exposure !== undefined;
    });
  };
  const [five, ten] = [taken(0.05), new Set(taken(0.1))];
  assert.deepEqual(
    [...ten],
    Array.from({ length: 4000 }, (_, index) => `request-${index}`).filter((id) => uniform(`shadow:salt:${id}`) < 0.1),
  );
  assert.ok(five.length > 150 && five.length < 250, `${five.length} of 4000`);
  assert.ok(five.every((id) => ten.has(id)));
  assert.equal(taken(0).length, 0);
  assert.equal(taken(1).length, 4000);
});

test('two shadows with one salt see the same requests, and share one copy of the inputs', async () => {
  const share = { share: 0.5, sampleSalt: 'both' };
  const stage = new Stage([
    shadowPlan({ name: 'a', ...share }),
    shadowPlan({ name: 'b', ...share, version: { model: 'm', version: '3' } }),
  ]);
  for (let i = 0; i < 40; i++) stage.send(`r${i}`);
  await stage.turns();
  const idsOf = (version: string) =>
    stage.pending.filter(({ request }) => request.version.id.version === version).map(({ request }) => request.id);
  assert.deepEqual(idsOf('2'), idsOf('3'));
  const [first, second] = ['2', '3'].map((version) =>
    stage.pending.find(({ request }) => request.version.id.version === version),
  );
  assert.equal(first!.request.inputs[0]!.data, second!.request.inputs[0]!.data);
});

test('beyond what may run and wait copies are refused as queue_full, and every request is counted once', async () => {
  const stage = new Stage([shadowPlan({ inFlightMax: 2, queueMax: 3 })]);
  for (let i = 0; i < 10; i++) stage.send(`r${i}`);
  await stage.turns();
  assert.equal(stage.pending.length, 2);
  assert.deepEqual(stage.outcomes, { queue_full: 5 });
  assert.equal(stage.gauge('sluice_shadow_inflight'), 2);
  assert.equal(stage.gauge('sluice_shadow_queue_depth'), 3);
  for (let i = 0; i < 5; i++) {
    stage.pending[i]!.answer([scores(0.9, 0.1)]);
    await stage.turns();
  }
  assert.deepEqual(stage.outcomes, { queue_full: 5, ok: 5 });
});

test('a target that hangs holds no more than what may run and wait, and lets it go in time', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const stage = new Stage([shadowPlan({ inFlightMax: 4, queueMax: 8, timeoutMs: 100 })]);
  const bytesOf = (id: string) => {
    const data = new Float32Array(1024);
    stage.send(id, [scores(1)], { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1024], data }] });
  };
  for (let i = 0; i < 1000; i++) {
    bytesOf(`r${i}`);
    if (i % 100 === 0) await stage.turns();
  }
  assert.equal(stage.gauge('sluice_shadow_held_bytes'), 12 * (4096 + 4));
  for (let i = 0; i < 10; i++) {
    stage.now += 100;
    context.mock.timers.tick(100);
    await stage.turns();
  }
  assert.equal(stage.gauge('sluice_shadow_held_bytes'), 0);
  assert.equal(stage.pending.length, 12, 'nothing is tried twice');
  assert.deepEqual(stage.outcomes, { queue_full: 988, timeout: 12 });
  assert.equal(stage.report.statusMismatches, 12);
});

test('the time of a copy is twice what the primary had', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const stage = new Stage();
  stage.now = 500;
  stage.send('r1', undefined, { receivedAt: 500, deadlineAt: 550 });
  await stage.turns();
  assert.equal(stage.pending[0]!.request.deadlineAt, 600);
  context.mock.timers.tick(99);
  await stage.turns();
  assert.deepEqual(stage.outcomes, {});
  context.mock.timers.tick(1);
  await stage.turns();
  assert.deepEqual(stage.outcomes, { timeout: 1 });
  assert.equal(stage.pending[0]!.request.cancellation.isCancelled, true);
  stage.pending[0]!.answer([scores(1)]);
  await stage.turns();
  assert.equal(stage.report.pairs, 0, 'an answer that comes too late is not looked at');
});

test('held inputs count against one limit for all shadows, and come free again', async () => {
  const stage = new Stage([shadowPlan()], 40);
  stage.send('r1', []);
  stage.send('r2', []);
  stage.send('r3', []);
  assert.deepEqual(stage.outcomes, { bytes: 1 });
  await stage.turns();
  for (const { answer } of stage.pending) answer([]);
  await stage.turns();
  stage.send('r4', []);
  assert.deepEqual(stage.outcomes, { bytes: 1, ok: 2 });
});

test('an answer for which there is no room is not compared, and the copy does not run', async () => {
  const stage = new Stage([shadowPlan()], 20);
  stage.send('r1', [scores(1, 2)]);
  await stage.turns();
  assert.equal(stage.pending.length, 0);
  assert.deepEqual(stage.outcomes, { bytes: 1 });
  assert.equal(stage.gauge('sluice_shadow_held_bytes'), 0);
});

test('each reason not to run is counted as itself', async () => {
  const reasons: readonly ShadowOutcome[] = ['not_ready', 'loop_lag', 'body_too_large'];
  for (const reason of reasons) {
    const stage = new Stage([shadowPlan({ requestBytesMax: reason === 'body_too_large' ? 15 : 16 })]);
    if (reason === 'not_ready') stage.open.clear();
    if (reason === 'loop_lag') stage.loopLagMs = 20.1;
    stage.send('r1');
    await stage.turns();
    assert.deepEqual(stage.outcomes, { [reason]: 1 });
    assert.equal(stage.gauge('sluice_shadow_held_bytes'), 0);
  }
});

test('what is just within each limit runs', async () => {
  const stage = new Stage([shadowPlan({ requestBytesMax: 16 })]);
  stage.loopLagMs = 20;
  stage.send('r1');
  await stage.turns();
  assert.equal(stage.pending.length, 1);
});

test('a loop that is late when the copy would start sends it away, too', async () => {
  const stage = new Stage();
  stage.send('r1');
  stage.loopLagMs = 21;
  await stage.turns();
  assert.deepEqual(stage.outcomes, { loop_lag: 1 });
});

test('a request that names the shadow itself is not copied', () => {
  const stage = new Stage();
  stage.send('r1', undefined, { version: stage.open.get('2')! });
  assert.deepEqual(stage.outcomes, { same_version: 1 });
});

test('where the primary was refused, the shadow does not run', async () => {
  const stage = new Stage();
  stage.shadows.begin(requestOf('r1'))!.end(failure('RESOURCE_EXHAUSTED'));
  await stage.turns();
  assert.equal(stage.pending.length, 0);
  assert.deepEqual(stage.outcomes, { primary_refused: 1 });
});

test('where the primary failed, the shadow runs, and only another end is a status mismatch', async () => {
  const stage = new Stage();
  for (const id of ['r1', 'r2']) stage.shadows.begin(requestOf(id))!.end(failure('INTERNAL'));
  await stage.turns();
  stage.pending[0]!.answer([scores(1)]);
  stage.pending[1]!.fail(failure('INTERNAL'));
  await stage.turns();
  assert.deepEqual(stage.outcomes, { ok: 1, error: 1 });
  assert.equal(stage.report.statusMismatches, 1);
  assert.equal(stage.report.pairs, 0);
});

test('requests that fail for the primary in the same way do not open the breaker', async () => {
  const stage = new Stage();
  for (let i = 0; i < 30; i++) stage.shadows.begin(requestOf(`r${i}`))!.end(failure('INTERNAL'));
  await stage.turns();
  for (const { fail } of stage.pending) fail(failure('INTERNAL'));
  await stage.turns();
  assert.deepEqual(stage.outcomes, { error: 30 });
  assert.equal(stage.gauge('sluice_shadow_breaker_open'), 0);
});

test('the rows of a batch are its items; a model without batches has one item', async () => {
  const rows = { ...scores(1, 0, 0, 1), shape: [2, 2] };
  for (const [rowsMax, items] of [
    [8, 2],
    [0, 1],
  ] as const) {
    const stage = new Stage();
    const version = { ...primary, batch: { ...primary.batch, rowsMax } };
    stage.send('r1', [rows], { version, rows: rowsMax === 0 ? 1 : 2 });
    await stage.turns();
    stage.pending[0]!.answer([rows]);
    await stage.turns();
    assert.equal(stage.report.outputs[0]!.items, items);
  }
});

test('a version that throws instead of answering fails the copy only', async () => {
  const stage = new Stage();
  stage.open.set('2', {
    ...stage.open.get('2')!,
    infer: () => {
      throw new Error('broken');
    },
  });
  stage.send('r1');
  await stage.turns();
  assert.deepEqual(stage.outcomes, { error: 1 });
});

test('a version that takes other inputs fails the copy with a status mismatch', async () => {
  const stage = new Stage();
  const version = stage.open.get('2')!;
  const inputs = [{ name: 'z', datatype: 'FP32' as const, shape: [-1, -1] }];
  stage.open.set('2', { ...version, signature: { inputs, outputs: [] } });
  stage.send('r1');
  await stage.turns();
  assert.equal(stage.pending.length, 0);
  assert.deepEqual(stage.outcomes, { error: 1 });
  assert.equal(stage.report.statusMismatches, 1);
});

test('inputs reach the shadow in its own order', async () => {
  const stage = new Stage();
  const version = stage.open.get('2')!;
  const specs = ['b', 'a'].map((name) => ({ name, datatype: 'FP32' as const, shape: [-1, -1] }));
  stage.open.set('2', { ...version, signature: { inputs: specs, outputs: [] } });
  const inputs = ['a', 'b'].map((name) => ({ ...requestOf('r').inputs[0]!, name }));
  stage.send('r1', undefined, { inputs });
  await stage.turns();
  assert.deepEqual(
    stage.pending[0]!.request.inputs.map(({ name }) => name),
    ['b', 'a'],
  );
});

test('after twenty failures the breaker keeps everything away, and one probe decides', async () => {
  const stage = new Stage([shadowPlan({ inFlightMax: 20, queueMax: 20 })]);
  for (let i = 0; i < 30; i++) stage.send(`r${i}`);
  await stage.turns();
  for (const { fail } of stage.pending.splice(0)) fail(failure());
  await stage.turns();
  assert.deepEqual(stage.outcomes, { error: 20, breaker: 10 });
  assert.equal(stage.gauge('sluice_shadow_breaker_open'), 1);
  stage.now += 4999;
  stage.send('early');
  assert.equal(stage.outcomes.breaker, 11);
  stage.now += 1;
  stage.send('probe');
  stage.send('beside the probe');
  await stage.turns();
  assert.deepEqual(
    stage.pending.map(({ request }) => request.id),
    ['probe'],
  );
  assert.equal(stage.outcomes.breaker, 12);
  stage.pending[0]!.answer([scores(0.9, 0.1)]);
  await stage.turns();
  assert.equal(stage.gauge('sluice_shadow_breaker_open'), 0);
  stage.send('again');
  await stage.turns();
  assert.equal(stage.pending.length, 2);
});

test('a plan that stays goes on counting; one that goes gives everything back and its counters stay', async () => {
  const [kept, gone] = [shadowPlan({ name: 'kept' }), shadowPlan({ name: 'gone', when: 'parallel' })];
  const stage = new Stage([kept, gone]);
  stage.send('r1');
  await stage.turns();
  stage.shadows.publish([kept]);
  assert.equal(stage.pending.filter(({ request }) => request.cancellation.isCancelled).length, 1);
  for (const { answer } of stage.pending) answer([scores(0.9, 0.1)]);
  await stage.turns();
  assert.deepEqual(stage.outcomes, { ok: 1 });
  assert.equal(stage.gauge('sluice_shadow_held_bytes'), 0);
  const requests = stage.shadows.families().find(({ name }) => name === 'sluice_shadow_requests_total')!;
  const countOf = (shadow: string, outcome: string) =>
    requests.series.find(({ labels }) => labels.shadow === shadow && labels.result === outcome)?.value;
  assert.equal(countOf('gone', 'removed'), 1);
  assert.equal(countOf('kept', 'ok'), 1);
  stage.shadows.publish([kept, gone]);
  stage.send('r2');
  await stage.turns();
  for (const { answer } of stage.pending) answer([scores(0.9, 0.1)]);
  await stage.turns();
  const after = stage.shadows.families().find(({ name }) => name === 'sluice_shadow_requests_total')!;
  const again = after.series.filter(({ labels }) => labels.shadow === 'gone');
  assert.equal(
    again.reduce((sum, { value }) => sum + value, 0),
    2,
    'a shadow of the same name counts on where the last one stopped',
  );
});

test('over a random mix of everything each request of the route is counted exactly once', async () => {
  const stage = new Stage([shadowPlan({ share: 0.7, inFlightMax: 3, queueMax: 4 })], 400);
  let seed = 1;
  const random = () => {
    seed = (seed * 16807) % 2147483647;
    return seed / 2147483647;
  };
  const open: NonNullable<ReturnType<typeof stage.shadows.begin>>[] = [];
  for (let i = 0; i < 3000; i++) {
    stage.loopLagMs = random() < 0.05 ? 30 : 0;
    stage.now += random() * 100;
    const exposure = stage.shadows.begin(requestOf(`r${i}`, { version: primary }));
    if (exposure !== undefined) open.push(exposure);
    while (open.length > 0 && random() < 0.6) {
      const fate = random();
      const result =
        fate < 0.1 ? failure('RESOURCE_EXHAUSTED') : fate < 0.2 ? failure() : replyOf('1', [scores(0.9, random())]);
      open.splice(Math.floor(random() * open.length), 1)[0]!.end(result);
    }
    if (random() < 0.3) await stage.turns();
    for (const { answer, fail } of stage.pending.splice(0)) {
      if (random() < 0.2) fail(failure());
      else answer([scores(0.9, random())]);
    }
  }
  for (const exposure of open) exposure.end(replyOf('1', [scores(1, 0)]));
  for (let round = 0; round < 30; round++) {
    await stage.turns();
    for (const { answer } of stage.pending.splice(0)) answer([scores(1, 0)]);
  }
  const { outcomes } = stage.report;
  assert.equal(
    shadowOutcomes.reduce((sum, outcome) => sum + outcomes[outcome], 0),
    3000,
  );
  assert.ok(outcomes.ok > 100 && outcomes.error > 50 && outcomes.sampled_out > 500, JSON.stringify(outcomes));
  assert.equal(stage.gauge('sluice_shadow_held_bytes'), 0);
  assert.equal(stage.gauge('sluice_shadow_inflight'), 0);
});
