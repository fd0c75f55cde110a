/** The queue in front of a version: when a batch is cut, of whom, and how everybody is answered. No clock, no threads. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { GatewayError } from '../src/core/errors.js';
import { Cancellation, type InferenceReply, type InferenceRequest } from '../src/core/inference.js';
import type { Version } from '../src/core/model.js';
import { Batcher, type BatcherOptions, type LaneKind, waitUs } from '../src/engine/batcher.js';
import { Cores, type Rank } from '../src/engine/cores.js';
import type { Entry } from '../src/engine/entry.js';
import { batchPolicy } from './batch-fixture.js';

const timing = { queueMs: 0, inputMs: 0, inferMs: 0, outputMs: 0, batchRows: 0 };
const reply: InferenceReply = { version: { model: 'm', version: '1' }, outputs: [], timing };

function request(change: Partial<InferenceRequest> = {}): InferenceRequest {
  return {
    id: 'r',
    model: 'm',
    version: {} as Version,
    inputs: [],
    rows: 1,
    outputs: undefined,
    parameters: new Map(),
    priority: 0,
    timeoutMs: 0,
    receivedAt: 0,
    deadlineAt: Number.POSITIVE_INFINITY,
    cancellation: new Cancellation(),
    protocol: 'http',
    ...change,
  };
}

/** A batcher whose runs end when the test says so, on a clock that the test moves. */
function bench(change: Partial<BatcherOptions> = {}) {
  const runs: { batch: readonly Entry[]; lane: LaneKind; finish: () => void }[] = [];
  const clock = { at: 0 };
  const batcher = new Batcher({
    policy: batchPolicy(),
    rank: 'primary',
    cores: new Cores(1),
    threads: 1,
    now: () => clock.at,
    inlineRowsMax: 0,
    priorityAgingMs: 500,
    run: (batch, lane) =>
      new Promise<void>((resolve) => {
        const finish = () => {
          for (const entry of batch) entry.answer(reply);
          resolve();
        };
        runs.push({ batch, lane, finish });
        if (lane === 'inline') finish();
      }),
    ...change,
  });
  return { batcher, runs, clock };
}

const turn = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'OK',
    (error: GatewayError) => error.code,
  );

test('a lone request on an idle process goes in the same loop turn', async () => {
  const { batcher, runs } = bench();
  const answered = batcher.infer(request(), '');
  await turn();
  assert.equal(runs.length, 1);
  runs[0]!.finish();
  await answered;
});

test('requests that arrive in one loop turn share a batch', async () => {
  const { batcher, runs } = bench();
  for (let i = 0; i < 5; i++) void batcher.infer(request(), '');
  await turn();
  assert.deepEqual(
    runs.map(({ batch }) => batch.length),
    [5],
  );
});

test('while the lane is busy requests gather, and the next batch takes as many rows as are allowed', async () => {
  const { batcher, runs } = bench();
  void batcher.infer(request(), '');
  await turn();
  for (let i = 0; i < 10; i++) void batcher.infer(request(), '');
  await turn();
  assert.equal(runs.length, 1);
  runs[0]!.finish();
  await turn();
  runs[1]!.finish();
  await turn();
  assert.deepEqual(
    runs.map(({ batch }) => batch.length),
    [1, 8, 2],
  );
});

test('requests of unlike shapes are never in one batch', async () => {
  const { batcher, runs } = bench({ threads: 9, cores: new Cores(9) });
  for (const bucket of ['a', 'b', 'a', 'c', 'b']) void batcher.infer(request(), bucket);
  await turn();
  assert.deepEqual(
    runs.map(({ batch }) => batch.map(({ bucket }) => bucket).join('')),
    ['aa', 'bb', 'c'],
  );
});

test('a request without a bucket runs alone', async () => {
  const { batcher, runs } = bench({ threads: 3, cores: new Cores(3) });
  for (let i = 0; i < 3; i++) void batcher.infer(request(), undefined);
  await turn();
  assert.deepEqual(
    runs.map(({ batch }) => batch.length),
    [1, 1, 1],
  );
});

test('rows are counted, not requests', async () => {
  const { batcher, runs } = bench();
  for (const rows of [3, 3, 3, 2]) void batcher.infer(request({ rows }), '');
  await turn();
  assert.deepEqual(
    runs[0]!.batch.map(({ rows }) => rows),
    [3, 3, 2],
  );
});

test('short runs happen inline, longer ones on a thread', async () => {
  const { batcher, runs } = bench({ inlineRowsMax: 2 });
  for (const rows of [1, 1, 1]) void batcher.infer(request({ rows }), '');
  void batcher.infer(request({ rows: 4 }), '');
  // One inline run a loop turn.
  for (let turns = 0; turns < 3; turns++) await turn();
  assert.deepEqual(
    runs.map(({ lane, batch }) => `${lane} ${batch.length}`),
    ['inline 2', 'inline 1', 'thread 1'],
  );
});

test('a full queue answers RESOURCE_EXHAUSTED at once and says when to come back', async () => {
  const queue = { sizeMax: 2, timeoutMs: 0, timeoutAction: 'REJECT' as const, allowTimeoutOverride: true };
  const { batcher } = bench({ policy: batchPolicy({ queue }) });
  void batcher.infer(request(), '');
  void batcher.infer(request(), '');
  await assert.rejects(batcher.infer(request(), ''), (error: GatewayError) => {
    assert.equal(error.code, 'RESOURCE_EXHAUSTED');
    assert.equal(error.message, 'Exceeds maximum queue size');
    assert.equal(error.reason, 'queue_full');
    assert.ok(error.retryAfterMs! >= 1000);
    return true;
  });
});

test('the queue timeout fires on a timer while every lane is busy', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const queue = { sizeMax: 10, timeoutMs: 50, timeoutAction: 'REJECT' as const, allowTimeoutOverride: true };
    const { batcher, runs, clock } = bench({ policy: batchPolicy({ queue }) });
    void batcher.infer(request(), '');
    await turn();
    const late = codeOf(batcher.infer(request(), ''));
    await turn();
    clock.at = 50;
    mock.timers.tick(50);
    assert.equal(await late, 'DEADLINE_EXCEEDED');
    assert.equal(runs.length, 1);
    assert.equal(batcher.depth, 0);
  } finally {
    mock.timers.reset();
  }
});

test('a request may shorten its queue timeout, never lengthen it', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const queue = { sizeMax: 10, timeoutMs: 50, timeoutAction: 'REJECT' as const, allowTimeoutOverride: true };
    const { batcher, clock } = bench({ policy: batchPolicy({ queue }) });
    void batcher.infer(request(), '');
    await turn();
    const short = codeOf(batcher.infer(request({ timeoutMs: 10 }), ''));
    const long = codeOf(batcher.infer(request({ timeoutMs: 500 }), ''));
    await turn();
    clock.at = 10;
    mock.timers.tick(10);
    assert.equal(await short, 'DEADLINE_EXCEEDED');
    assert.equal(batcher.depth, 1);
    clock.at = 50;
    mock.timers.tick(40);
    assert.equal(await long, 'DEADLINE_EXCEEDED');
  } finally {
    mock.timers.reset();
  }
});

test('timeout action DELAY moves a request behind the others instead of refusing it', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const queue = { sizeMax: 10, timeoutMs: 50, timeoutAction: 'DELAY' as const, allowTimeoutOverride: true };
    const { batcher, runs, clock } = bench({ policy: batchPolicy({ queue, rowsMax: 1 }) });
    void batcher.infer(request({ id: 'running' }), '');
    await turn();
    void batcher.infer(request({ id: 'old' }), '');
    await turn();
    clock.at = 50;
    mock.timers.tick(50);
    void batcher.infer(request({ id: 'new' }), '');
    await turn();
    runs[0]!.finish();
    await turn();
    runs[1]!.finish();
    await turn();
    assert.deepEqual(
      runs.map(({ batch }) => batch[0]!.request.id),
      ['running', 'new', 'old'],
    );
  } finally {
    mock.timers.reset();
  }
});

test('a deadline answers the caller of a run that goes on', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const { batcher, runs, clock } = bench();
    const late = codeOf(batcher.infer(request({ deadlineAt: 30 }), ''));
    await turn();
    clock.at = 30;
    mock.timers.tick(30);
    assert.equal(await late, 'DEADLINE_EXCEEDED');
    assert.equal(batcher.inFlight, 1, 'the lane stays taken');
    runs[0]!.finish();
    await turn();
    assert.equal(batcher.inFlight, 0);
  } finally {
    mock.timers.reset();
  }
});

test('a cancelled request leaves the queue at once', async () => {
  const { batcher, runs } = bench();
  void batcher.infer(request(), '');
  await turn();
  const cancellation = new Cancellation();
  const gone = codeOf(batcher.infer(request({ cancellation }), ''));
  cancellation.cancel();
  assert.equal(await gone, 'CANCELLED');
  assert.equal(batcher.depth, 0);
  runs[0]!.finish();
  await turn();
  assert.equal(runs.length, 1);
});

test('a request whose deadline has passed or whose caller has gone is never queued', async () => {
  const { batcher, clock } = bench();
  clock.at = 100;
  assert.equal(await codeOf(batcher.infer(request({ deadlineAt: 99 }), '')), 'DEADLINE_EXCEEDED');
  const cancellation = new Cancellation();
  cancellation.cancel();
  assert.equal(await codeOf(batcher.infer(request({ cancellation }), '')), 'CANCELLED');
  assert.equal(batcher.inFlight, 0);
});

test('a higher priority goes first, and waiting long enough makes up for it', async () => {
  const change = batchPolicy({ priorityLevels: 3, defaultPriority: 2, rowsMax: 1 });
  const { batcher, runs, clock } = bench({ policy: change });
  void batcher.infer(request({ id: 'running' }), '');
  await turn();
  void batcher.infer(request({ id: 'low', priority: 3 }), '');
  void batcher.infer(request({ id: 'default' }), '');
  void batcher.infer(request({ id: 'high', priority: 1 }), '');
  runs[0]!.finish();
  await turn();
  clock.at = 2000;
  void batcher.infer(request({ id: 'high later', priority: 1 }), '');
  for (const at of [1, 2, 3]) {
    runs[at]!.finish();
    await turn();
  }
  assert.deepEqual(
    runs.map(({ batch }) => batch[0]!.request.id),
    ['running', 'high', 'default', 'low', 'high later'],
  );
});

test('versions get cores by rank and in the order of asking; background runs never take a primary one its core', () => {
  const cores = new Cores(2);
  const started: string[] = [];
  const want = (name: string, rank: Rank) => cores.want({ rank, start: () => started.push(name) > 0 });
  const newlyStarted = () => started.splice(0).join(' ');
  // A hung one: its permit never comes back.
  want('background 1', 'background');
  want('background 2', 'background');
  assert.equal(newlyStarted(), 'background 1');
  for (const name of ['a', 'b', 'c', 'd']) want(name, 'primary');
  assert.equal(newlyStarted(), 'a b');
  cores.release('background');
  assert.equal(newlyStarted(), '', 'primaries wait');
  cores.release('primary');
  cores.release('primary');
  assert.equal(newlyStarted(), 'c d background 2');
});

test('who has nothing to start after all leaves the core to the next, and who asks twice is asked once', () => {
  const cores = new Cores(1);
  const started: string[] = [];
  const claimant = (name: string, starts: boolean) => ({
    rank: 'primary' as const,
    start: () => {
      started.push(name);
      return starts;
    },
  });
  const [a, b] = [claimant('a', false), claimant('b', true)];
  cores.want(claimant('first', true));
  cores.want(a);
  cores.want(a);
  cores.want(b);
  cores.release('primary');
  assert.deepEqual(started, ['first', 'a', 'b']);
  const gone = claimant('gone', true);
  cores.want(gone);
  cores.forget(gone);
  cores.release('primary');
  assert.deepEqual(started, ['first', 'a', 'b']);
});

test('idle resolves when the last run has ended', async () => {
  const { batcher, runs } = bench();
  let isIdle = false;
  void batcher.infer(request(), '');
  await turn();
  const idle = batcher.idle().then(() => {
    isIdle = true;
  });
  await turn();
  assert.equal(isIdle, false);
  runs[0]!.finish();
  await idle;
  assert.equal(isIdle, true);
});

test('waiting is a number: nothing by default, the rest of the delay otherwise, nothing once the batch is full enough', () => {
  const queue = { rows: 3, oldestMs: 1, rowsMax: 8, preferredRows: [], delayUs: 0 };
  assert.equal(waitUs(queue), 0);
  assert.equal(waitUs({ ...queue, delayUs: 5000 }), 4000);
  assert.equal(waitUs({ ...queue, delayUs: 5000, oldestMs: 7 }), 0);
  assert.equal(waitUs({ ...queue, delayUs: 5000, rows: 8 }), 0);
  assert.equal(waitUs({ ...queue, delayUs: 5000, rows: 4, preferredRows: [2, 4] }), 0);
});

test('a delay holds the batch back until it is full', async () => {
  const { batcher, runs } = bench({ policy: batchPolicy({ delayUs: 500 }) });
  for (let i = 0; i < 7; i++) void batcher.infer(request(), '');
  await turn();
  assert.equal(runs.length, 0);
  void batcher.infer(request(), '');
  await turn();
  assert.deepEqual(
    runs.map(({ batch }) => batch.length),
    [8],
  );
});

test('a batch takes the largest preferred size that the queue fills', async () => {
  const { batcher, runs } = bench({ policy: batchPolicy({ preferredRows: [2, 4] }) });
  for (let i = 0; i < 5; i++) void batcher.infer(request(), '');
  await turn();
  runs[0]!.finish();
  await turn();
  assert.deepEqual(
    runs.map(({ batch }) => batch.length),
    [4, 1],
  );
});

test('everybody is answered exactly once in any mix of requests, cancellations and runs', async () => {
  let seed = 12345;
  const random = () => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return seed / 0x7fffffff;
  };
  const { batcher, runs } = bench({ threads: 2, cores: new Cores(2), inlineRowsMax: 1 });
  const answers: Promise<string>[] = [];
  let finished = 0;
  for (let i = 0; i < 500; i++) {
    const cancellation = new Cancellation();
    answers.push(
      codeOf(batcher.infer(request({ cancellation, rows: 1 + Math.floor(random() * 4) }), random() < 0.5 ? 'a' : 'b')),
    );
    if (random() < 0.2) setImmediate(() => cancellation.cancel());
    if (random() < 0.3) {
      await turn();
      while (finished < runs.length && random() < 0.7) runs[finished++]!.finish();
    }
  }
  for (let idle = 0; idle < 1000 && batcher.inFlight > 0; idle++) {
    await turn();
    while (finished < runs.length) runs[finished++]!.finish();
  }
  const codes = await Promise.all(answers);
  assert.equal(codes.length, 500);
  assert.ok(codes.every((code) => code === 'OK' || code === 'CANCELLED'));
  const seen = runs.flatMap(({ batch }) => batch);
  assert.equal(new Set(seen).size, seen.length, 'nobody is in two batches');
});
