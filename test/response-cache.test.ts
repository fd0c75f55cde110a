/** Answers from memory: whose they are, how long they stay, and what equal requests at the same time do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { Cancellation, type InferenceReply, type InferenceRequest } from '../src/core/inference.js';
import type { Version } from '../src/core/model.js';
import { ResponseCache } from '../src/routing/response-cache.js';
import { replyOf, requestOf, scores, versionOf } from './shadow-fixture.js';

interface Run {
  readonly request: InferenceRequest;
  finish(...values: number[]): void;
  fail(error: GatewayError): void;
}

/** A version whose runs end when told. */
function cachedVersion(isEnabled = true) {
  const runs: Run[] = [];
  const infer = (request: InferenceRequest) =>
    new Promise<InferenceReply>((resolve, reject) => {
      runs.push({
        request,
        finish: (...values) => resolve(replyOf('1', [scores(...values)], 3)),
        fail: reject,
      });
    });
  const version: Version = {
    ...versionOf('1', infer),
    config: { response_cache: { enable: isEnabled } } as unknown as Version['config'],
  };
  return { version, runs };
}

const clock = { at: 1000 };
const cacheOf = (bytesMax = 1 << 20) => new ResponseCache({ bytesMax, ttlMs: 500, now: () => clock.at });

const asked = (version: Version, change: Partial<InferenceRequest> = {}) =>
  requestOf('r', { version, deadlineAt: Number.POSITIVE_INFINITY, ...change });
const input = (...values: number[]) => [
  { name: 'x', datatype: 'FP32' as const, shape: [1, values.length], data: Float32Array.from(values) },
];
const resultOf = (cache: ResponseCache) =>
  Object.fromEntries(cache.families()[0]!.series.map(({ labels, value }) => [labels.result, value]));

test('an equal request is answered without a run, until its time is over', async () => {
  const cache = cacheOf();
  const { version, runs } = cachedVersion();
  const first = cache.run(asked(version));
  runs[0]!.finish(0.25, 0.75);
  assert.equal((await first).cache, 'miss');
  const second = await cache.run(asked(version));
  assert.deepEqual(
    [second.cache, second.timing.inferMs, [...(second.outputs[0]!.data as Float32Array)]],
    ['hit', 0, [0.25, 0.75]],
  );
  assert.equal(runs.length, 1);
  clock.at += 501;
  void cache.run(asked(version));
  assert.equal(runs.length, 2, 'it was too old');
  assert.deepEqual(resultOf(cache), { hit: 1, miss: 2, joined: 0 });
});

test('other inputs, shapes, datatypes, outputs or another loaded version are another request', async () => {
  const cache = cacheOf();
  const { version, runs } = cachedVersion();
  const again = { ...version };
  const texts = (...data: string[]) => [{ name: 'x', datatype: 'BYTES' as const, shape: [data.length], data }];
  const different: InferenceRequest[] = [
    asked(version, { inputs: input(1, 2) }),
    asked(version, { inputs: input(1, 2.0000002) }),
    asked(version, { inputs: [{ ...input(1, 2)[0]!, shape: [2, 1] }] }),
    asked(version, { inputs: [{ ...input(1, 2)[0]!, name: 'z' }] }),
    asked(version, { inputs: [{ name: 'x', datatype: 'INT32', shape: [1, 2], data: Int32Array.of(1, 2) }] }),
    asked(version, { inputs: input(1, 2), outputs: ['y'] }),
    asked(version, { inputs: texts('a', 'bc') }),
    asked(version, { inputs: texts('ab', 'c') }),
    asked(again, { inputs: input(1, 2) }),
  ];
  for (const request of different) void cache.run(request);
  assert.equal(runs.length, different.length);
});

test('a model that did not ask for it is always run', async () => {
  const cache = cacheOf();
  const { version, runs } = cachedVersion(false);
  for (let at = 0; at < 2; at++) {
    const reply = cache.run(asked(version));
    runs[at]!.finish(1);
    assert.equal((await reply).cache, undefined);
  }
  assert.deepEqual(resultOf(cache), {});
});

test('equal requests at the same time run once, and each has its own deadline and caller', async () => {
  const cache = cacheOf();
  const { version, runs } = cachedVersion();
  const leader = cache.run(asked(version));
  const follower = cache.run(asked(version));
  const cancellation = new Cancellation();
  const leaving = cache.run(asked(version, { cancellation }));
  const late = cache.run(asked(version, { deadlineAt: clock.at + 5 }));
  cancellation.cancel();
  await Promise.all([
    assert.rejects(leaving, { code: 'CANCELLED' }),
    assert.rejects(late, { code: 'DEADLINE_EXCEEDED' }),
  ]);
  assert.equal(runs.length, 1);
  runs[0]!.finish(1);
  assert.deepEqual([(await leader).cache, (await follower).cache], ['miss', 'hit']);
  assert.deepEqual(resultOf(cache), { hit: 0, miss: 1, joined: 1 });
});

test('when the one who runs gives up, one of those who wait runs; when the model fails, it fails for all and is not kept', async () => {
  const cache = cacheOf();
  const { version, runs } = cachedVersion();
  const leader = cache.run(asked(version));
  const followers = [cache.run(asked(version)), cache.run(asked(version))];
  runs[0]!.fail(new GatewayError('CANCELLED', 'left'));
  await assert.rejects(leader, { code: 'CANCELLED' });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(runs.length, 2, 'one of two runs, the other waits for it');
  runs[1]!.fail(new GatewayError('INTERNAL', 'broken'));
  for (const follower of followers) await assert.rejects(follower, { code: 'INTERNAL' });
  void cache.run(asked(version));
  assert.equal(runs.length, 3, 'an error is not kept');
});

test('bytes are bounded, and an answer that is too large is not kept', async () => {
  const cache = cacheOf(64 * 1024);
  const { version, runs } = cachedVersion();
  const answer = async (at: number, values: number) => {
    const reply = cache.run(asked(version, { inputs: input(at) }));
    runs.at(-1)!.finish(...new Array<number>(values).fill(1));
    await reply;
  };
  for (let at = 0; at < 100; at++) await answer(at, 500);
  const bytes = cache.families()[1]!.series[0]!.value as number;
  assert.ok(bytes > 32 * 1024 && bytes <= 64 * 1024, String(bytes));
  const before = runs.length;
  await answer(1000, 5000);
  void cache.run(asked(version, { inputs: input(1000) }));
  assert.equal(runs.length, before + 2, 'an answer of 20 KB was not kept');
});

test('a kept answer does not hold the batch that it was part of', async () => {
  const cache = cacheOf();
  const whole = Float32Array.from({ length: 1000 }, (_, at) => at);
  const part = whole.subarray(10, 12);
  const version = {
    ...cachedVersion().version,
    infer: async () => replyOf('1', [{ name: 'y', datatype: 'FP32', shape: [1, 2], data: part }]),
  };
  await cache.run(asked(version));
  const { outputs } = await cache.run(asked(version));
  const data = outputs[0]!.data as Float32Array;
  assert.deepEqual([[...data], data.buffer.byteLength], [[10, 11], 8]);
});
