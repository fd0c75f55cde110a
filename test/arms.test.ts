/** What a gateway process counts of arms: the present phase alone, units by key, in bounded room. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import type { InferenceEvent } from '../src/core/events.js';
import type { InferenceReply, InferenceRequest } from '../src/core/inference.js';
import type { Assignment, Experiment } from '../src/core/route.js';
import type { Tensor } from '../src/core/tensor.js';
import { Arms } from '../src/observe/arms.js';
import { countPredictions, predictionBins } from '../src/observe/prediction-bins.js';
import { experimentOf, oldAndNew } from './experiment-fixture.js';

const inPhase = (phase: number, change: Partial<Experiment> = {}): Experiment =>
  experimentOf({
    phase,
    key: [{ source: 'header', name: 'x-user' }],
    variants: oldAndNew('m').map((variant) => ({ ...variant, weight: 50 })),
    ...change,
  });

const tableOf = (experiment: Experiment) => ({
  routes: { m: { model: 'm', versions: [], champion: '1', labels: {}, experiment } },
});

function eventOf(assignment: Partial<Assignment>, more: Partial<InferenceEvent> = {}): InferenceEvent {
  return {
    kind: 'inference',
    version: { model: 'm', version: '1' },
    model: 'm',
    protocol: 'http',
    requestId: 'r',
    code: 'OK',
    reason: undefined,
    rows: 1,
    durationMs: 1,
    timing: undefined,
    assignment: {
      experiment: 'spring',
      phase: 1,
      variant: 'new',
      assigned: 'new',
      reason: 'weight',
      isSticky: true,
      keyHash: 7,
      ...assignment,
    },
    ...more,
  };
}

function armsIn(experiment = inPhase(1), keysMax = 100): Arms {
  const arms = new Arms({ keysMax });
  arms.publish(tableOf(experiment));
  return arms;
}

const requestsOf = (arms: Arms) => arms.take().arms.map(({ counts }) => counts.requests);

test('arms are whole since their phase began, keys only what came since the last take', () => {
  const arms = armsIn();
  arms.observe(eventOf({}));
  arms.observe(eventOf({}, { code: 'INTERNAL' }));
  arms.observe(eventOf({ keyHash: 8 }));
  const first = arms.take();
  assert.deepEqual(
    first.arms.map(({ variant, counts }) => [variant, counts.requests, counts.faults]),
    [
      ['old', 0, 0],
      ['new', 3, 1],
    ],
  );
  const [keys] = first.keys;
  assert.equal(first.keys.length, 1);
  assert.deepEqual([...keys!.keys], [7, 8]);
  assert.deepEqual([...keys!.requests], [2, 1]);
  assert.deepEqual([...keys!.faults], [1, 0]);
  arms.observe(eventOf({ keyHash: 8 }));
  const second = arms.take();
  assert.deepEqual(
    [second.arms[1]!.counts.requests, [...second.keys[0]!.keys], [...second.keys[0]!.requests]],
    [4, [8], [1]],
  );
  assert.deepEqual(arms.take().keys, []);
});

test('only the present phase is counted, and a new one begins at nothing', () => {
  const arms = armsIn();
  arms.observe(eventOf({}));
  arms.observe(eventOf({ phase: 2 }));
  arms.observe(eventOf({ experiment: 'autumn' }));
  arms.publish(tableOf(inPhase(1)));
  assert.deepEqual(requestsOf(arms), [0, 1]);
  arms.publish(tableOf(inPhase(2)));
  arms.observe(eventOf({ phase: 1 }));
  assert.deepEqual(requestsOf(arms), [0, 0]);
  arms.observe(eventOf({ phase: 2 }));
  assert.deepEqual(requestsOf(arms), [0, 1]);
});

test('whoever was not split is no unit', () => {
  const arms = armsIn();
  const reasons = ['no_key', 'layer', 'holdout', 'targeting', 'coverage', 'override'] as const;
  for (const reason of reasons) arms.observe(eventOf({ reason, assigned: 'old', variant: 'old' }));
  arms.observe(eventOf({ reason: 'explicit', assigned: '', variant: '' }));
  arms.observe(eventOf({ isSticky: false }));
  const { arms: counted, keys } = arms.take();
  assert.deepEqual(keys, []);
  assert.deepEqual(
    counted.map(({ counts }) => counts.requests),
    [6, 1],
  );
});

test('without any place for a key each request is a unit', () => {
  const arms = armsIn(inPhase(1, { key: [], noKey: 'request' }));
  arms.observe(eventOf({ isSticky: false }));
  assert.deepEqual([...arms.take().keys[0]!.keys], [7]);
});

test('of a request that a fallback served the key is a unit of the variant it was given, and nothing else counts', () => {
  const arms = armsIn();
  arms.observe(eventOf({ reason: 'fallback', variant: 'old' }, { code: 'INTERNAL' }));
  const { arms: counted, keys } = arms.take();
  assert.deepEqual(
    counted.map(({ counts }) => counts.requests),
    [0, 0],
  );
  assert.deepEqual([keys[0]!.variant, [...keys[0]!.keys], [...keys[0]!.requests]], ['new', [7], [0]]);
});

test('what is slow is counted from when it is known, and of how many', () => {
  const arms = armsIn();
  arms.observe(eventOf({}, { durationMs: 50 }));
  arms.publish(tableOf(inPhase(1, { slowMs: 10 })));
  arms.observe(eventOf({}, { durationMs: 50 }));
  arms.observe(eventOf({}, { durationMs: 10 }));
  const [{ requests, timed, slow } = assert.fail()] = arms.take().keys;
  assert.deepEqual([[...requests], [...timed], [...slow]], [[3], [2], [1]]);
});

test('keys beyond the room are told as untold, and there is room again after a take', () => {
  const arms = armsIn(inPhase(1), 3);
  for (let key = 0; key < 5; key++) arms.observe(eventOf({ keyHash: key }));
  arms.observe(eventOf({ keyHash: 0 }));
  const first = arms.take();
  assert.deepEqual([first.keys[0]!.keys.length, first.untold, first.arms[1]!.counts.requests], [3, 2, 6]);
  arms.observe(eventOf({ keyHash: 9 }));
  assert.deepEqual([arms.take().keys[0]!.keys.length, arms.take().untold], [1, 0]);
});

test('a thousand keys are all there', () => {
  const arms = armsIn(inPhase(1), 1000);
  for (let round = 0; round < 2; round++)
    for (let key = 0; key < 1000; key++)
      arms.observe(eventOf({ keyHash: key, assigned: key % 2 === 0 ? 'old' : 'new' }));
  const { keys } = arms.take();
  assert.deepEqual(
    keys.map((one) => one.keys.length),
    [500, 500],
  );
  assert.ok(keys.every(({ requests }) => requests.every((count) => count === 2)));
});

const tensorOf = (datatype: Tensor['datatype'], shape: number[], data: Tensor['data']): Tensor => ({
  name: 'OUTPUT0',
  datatype,
  shape,
  data,
});

/** Which bins the rows of an output fall into, by bin. */
function binsOf(output: Tensor): Record<number, number> {
  const bins = new Array<number>(predictionBins).fill(0);
  countPredictions(bins, [output]);
  return Object.fromEntries(bins.flatMap((count, bin) => (count === 0 ? [] : [[bin, count]])));
}

test('predictions fall into the same bins whoever made them: classes, scores, labels, integers', () => {
  assert.deepEqual(binsOf(tensorOf('FP32', [2, 3], Float32Array.of(0.1, 0.7, 0.2, 0.8, 0.1, 0.1))), { 0: 1, 1: 1 });
  assert.deepEqual(binsOf(tensorOf('FP16', [1, 2], Uint16Array.of(0xbc00, 0x3c00))), { 1: 1 });
  assert.deepEqual(binsOf(tensorOf('FP32', [3, 1], Float32Array.of(0, 0.5, 1))), { 0: 1, 10: 1, 19: 1 });
  const outside = Object.keys(binsOf(tensorOf('FP64', [5], Float64Array.of(2, 1e300, -1, -Infinity, NaN)))).map(Number);
  assert.equal(outside.length, 5);
  assert.ok(outside.every((bin) => bin >= 20 && bin < predictionBins));
  assert.deepEqual(binsOf(tensorOf('INT64', [2], BigInt64Array.of(3n, -1n))), { 3: 1, 63: 1 });
  assert.equal(Object.keys(binsOf(tensorOf('BYTES', [3], ['cat', 'dog', 'cat']))).length, 2);
});

test('an answer of any size costs a bounded look', () => {
  const rows = tensorOf('FP32', [1000, 2], new Float32Array(2000));
  assert.deepEqual(binsOf(rows), { 0: 64 });
  assert.deepEqual(binsOf(tensorOf('FP32', [1, 20_000], new Float32Array(20_000))), {});
  assert.deepEqual(binsOf(tensorOf('FP32', [0, 4], new Float32Array(0))), {});
  countPredictions([], []);
});

test('only answers of an arm whose predictions count are looked at, and the other who looks is told all the same', () => {
  const reply = { outputs: [tensorOf('FP32', [1, 2], Float32Array.of(0, 1))] } as unknown as InferenceReply;
  const requestOf = (assignment: Partial<Assignment>) =>
    ({ assignment: eventOf(assignment).assignment }) as unknown as InferenceRequest;
  const told: unknown[] = [];
  const other = { end: (result: unknown) => void told.push(result) };
  const plain = armsIn();
  assert.equal(plain.expose(requestOf({}), other), other);
  const arms = armsIn(inPhase(1, { countsPredictions: true }));
  assert.equal(arms.expose(requestOf({ reason: 'override' }), undefined), undefined);
  assert.equal(arms.expose(requestOf({ phase: 2 }), other), other);
  const failure = new GatewayError('INTERNAL', 'no');
  for (const result of [reply, failure]) arms.expose(requestOf({}), other)!.end(result);
  assert.deepEqual(told, [reply, failure]);
  const [old, fresh] = arms.take().arms;
  assert.deepEqual([old!.counts.predictions[1], fresh!.counts.predictions[1]], [0, 1]);
});
