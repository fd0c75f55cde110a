/** One logged request, run again: what is compared, what is an incident, and what cannot be run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comparedOutputs } from '../src/control/logged-outputs.js';
import { loggedRequestOf } from '../src/control/logged-request.js';
import { type ReplayTools, replayed } from '../src/control/request-replay.js';
import { type Code, GatewayError } from '../src/core/errors.js';
import type { DataType, Tensor, TensorData } from '../src/core/tensor.js';
import type { FromGateway, ToGateway } from '../src/ipc.js';
import { Repeats } from '../src/supervisor/repeats.js';

const sha256 = 'ab'.repeat(32);
const ts = '2026-01-01 00:00:00';

/** A row of the log; of several with one number each is an item. */
const rowOf = (y: readonly unknown[], more: object = {}) => ({
  ...{ request_id: 'r', ts, gateway_id: 'gateway_1', incarnation: '7', seq: '1', item_index: 0, role: 'primary' },
  ...{ model: 'm', version: '3', artifact_sha256: sha256, status: 200, latency_us: 900 },
  input_json: '{"x":[1,2]}',
  outputs_json: JSON.stringify({ y }),
  ...more,
});

const tensorOf = (datatype: DataType, shape: readonly number[], data: TensorData): Tensor => ({
  name: 'y',
  datatype,
  shape,
  data,
});
const singles = (shape: readonly number[], ...data: number[]) => tensorOf('FP32', shape, Float32Array.from(data));

interface World {
  readonly rows: readonly object[];
  readonly answer?: Tensor | Code;
  /** What the version is made of now. */
  readonly now?: string;
  readonly isKnown?: boolean;
}

async function replay({ rows, answer = singles([1, 2], 0.25, 0.75), now = sha256, isKnown = true }: World) {
  const lines: (readonly unknown[])[] = [];
  const written: unknown[][] = [];
  const ran: (readonly Tensor[])[] = [];
  const signature = { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }], outputs: [] };
  const spec = isKnown ? { signature, batch: { rowsMax: 8 }, artifact: { sha256: now } } : undefined;
  const versions = new Map([['3', { id: { model: 'm', version: '3' }, spec }]]);
  const tools = {
    actor: 'operator:otto',
    log: { warn: (...line: unknown[]) => lines.push(line) },
    predictions: { rowsMax: 100, archive: { explain: async () => rows } },
    room: {
      registry: { specOf: () => spec, models: () => [{ name: 'm', versions }] },
      audit: { append: async (...entry: unknown[]) => written.push(entry) },
    },
    repeat: async (_: unknown, inputs: readonly Tensor[]) => {
      ran.push(inputs);
      if (typeof answer === 'string') throw new GatewayError(answer, 'no');
      return { outputs: [answer], sha256: now };
    },
  } as unknown as ReplayTools;
  const document = await replayed({ ask: 'replay', request: 'r', reason: 'why not' }, tools);
  return { document, lines, written, ran };
}

test('the same answer is no incident, and who asked for it is written down', async () => {
  const { document, lines, written, ran } = await replay({ rows: [rowOf([0.25, 0.75])] });
  assert.deepEqual([document.verdict, document.incident, document.items], ['same', false, 1]);
  assert.deepEqual(Array.from(ran[0]![0]!.data as Float32Array), [1, 2]);
  assert.deepEqual(ran[0]![0]!.shape, [1, 2]);
  const detail = { request_id: 'r', reason: 'why not' };
  assert.deepEqual(written, [['request.replayed', 'm@3', detail, 'operator:otto']]);
  assert.deepEqual(lines, []);
});

test('another answer of the same bytes is an incident: the answer and a line of the log say so', async () => {
  const { document, lines } = await replay({ rows: [rowOf([0.75, 0.25])] });
  const { verdict, incident, explanation, outputs } = document;
  assert.deepEqual([verdict, incident, outputs[0]!.max_abs_diff, outputs[0]!.agreement], ['differs', true, 0.5, 0]);
  assert.deepEqual(outputs[0]!.differences, [{ item: 0, logged: [0.75, 0.25], replayed: [0.25, 0.75] }]);
  assert.match(explanation, /^m@3 answers in another way although its content is the same/);
  const told = { request: 'r', model: 'm@3', sha256, output: 'y', maxAbsDiff: 0.5 };
  assert.deepEqual(lines, [['replay.incident', told]]);
});

test('another answer of other bytes is none', async () => {
  const { document, lines } = await replay({ rows: [rowOf([0.75, 0.25])], now: 'cd'.repeat(32) });
  const { verdict, incident, fingerprint } = document;
  assert.deepEqual([verdict, incident, fingerprint.is_unchanged], ['differs', false, false]);
  assert.deepEqual(lines, []);
});

test('a version that fails where it had answered has answered in another way', async () => {
  const { document, lines } = await replay({ rows: [rowOf([0.25, 0.75])], answer: 'INTERNAL' });
  assert.deepEqual([document.verdict, document.incident, document.error], ['differs', true, 'no']);
  assert.equal(document.outputs[0]!.shape_mismatch, true);
  assert.equal(lines.length, 1);
});

test('of several requests with one id the newest that a caller had an answer to is run', async () => {
  const later = { ts: '2026-01-01 00:00:01.5', seq: '9' };
  const rows = [
    rowOf([1, 0]),
    rowOf([0.5, 0.5], { ...later, item_index: 1 }),
    rowOf([0.25, 0.75], later),
    rowOf([0, 1], { ts: '2026-01-02 00:00:00', seq: '12', role: 'shadow', version: '4' }),
  ];
  const { document, ran } = await replay({ rows, answer: singles([2, 2], 0.25, 0.75, 0.5, 0.5) });
  assert.deepEqual([document.verdict, document.items, document.ts], ['same', 2, later.ts]);
  assert.deepEqual(ran[0]![0]!.shape, [2, 2]);
});

test('what cannot be run again is refused with what is missing', async () => {
  const refused: readonly (readonly [World, Code, RegExp])[] = [
    [{ rows: [] }, 'NOT_FOUND', /^no row of request 'r' is logged$/],
    [{ rows: [rowOf([1], { role: 'shadow' })] }, 'FAILED_PRECONDITION', /only a copy of it for a shadow/],
    [{ rows: [rowOf([1], { status: 500 })] }, 'FAILED_PRECONDITION', /answered with an error/],
    [{ rows: [rowOf([1], { redacted: true })] }, 'FAILED_PRECONDITION', /prediction_log\.redact/],
    [{ rows: [rowOf([1], { truncated: true })] }, 'FAILED_PRECONDITION', /max_tensor_bytes/],
    [{ rows: [rowOf([1], { outputs_json: null })] }, 'FAILED_PRECONDITION', /prediction_log\.sample/],
    [{ rows: [rowOf([1], { input_json: '{"z":[1]}' })] }, 'FAILED_PRECONDITION', /does not give all inputs of m@3/],
    [{ rows: [rowOf([1])], isKnown: false }, 'FAILED_PRECONDITION', /version 3 of model 'm'.* is not open: load/],
    [{ rows: [rowOf([1])], answer: 'NOT_FOUND' }, 'FAILED_PRECONDITION', /is not open/],
    [{ rows: [rowOf([1])], answer: 'RESOURCE_EXHAUSTED' }, 'RESOURCE_EXHAUSTED', /no/],
    [
      { rows: Array.from({ length: 100 }, (_, item_index) => rowOf([1], { item_index })) },
      'FAILED_PRECONDITION',
      /prediction_log\.query_rows: 100/,
    ],
  ];
  for (const [world, code, message] of refused) await assert.rejects(replay(world), { code, message });
});

test('every datatype is compared as it is logged', () => {
  const cases: readonly (readonly [Tensor, readonly unknown[], readonly unknown[]])[] = [
    [tensorOf('INT64', [1, 1], BigInt64Array.of(2n ** 60n + 1n)), [String(2n ** 60n + 1n)], [String(2n ** 60n)]],
    [tensorOf('BYTES', [1, 1], ['cat']), ['cat'], ['dog']],
    [tensorOf('BOOL', [1, 1], Uint8Array.of(1)), [true], [false]],
    [tensorOf('FP16', [1, 1], Uint16Array.of(0x3c00)), [1], [1.01]],
    [tensorOf('BF16', [1, 1], Uint16Array.of(0x3f80)), [0x3f80], [0x3f90]],
    [singles([1, 2], Number.NaN, Infinity), ['NaN', 'Infinity'], ['NaN', '-Infinity']],
    [singles([1, 1], 0.1), [Math.fround(0.1)], [0.1002]],
    [singles([1, 2], 1, 2), [1, 2], [1]],
    [singles([0], ...[]), [], [1]],
  ];
  for (const [tensor, same, other] of cases) {
    const found = [same, other].map((cells) => comparedOutputs(loggedRequestOf([rowOf(cells)]), [tensor])[0]!.isSame);
    assert.deepEqual(found, [true, false], `${tensor.datatype} ${JSON.stringify(same)}`);
  }
});

test('an output that is not split by items stands with the first of them', () => {
  const rows = [rowOf([1, 2, 3]), rowOf([], { item_index: 1 })];
  const [found] = comparedOutputs(loggedRequestOf(rows), [singles([3], 1, 2, 4)]);
  assert.deepEqual([found!.isSame, found!.differences.map(({ item }) => item)], [false, [0]]);
});

test('who is asked to run a request answers it, or has ended', async () => {
  const repeats = new Repeats();
  const sent: ToGateway[] = [];
  const [one, other] = [0, 1].map(() => ({ send: (message: ToGateway) => void sent.push(message) }));
  const repeat = { id: { model: 'm', version: '3' }, inputs: [], timeoutMs: 1 };
  const asked = [one, one, other].map((member) => repeats.ask(member, repeat));
  const seqs = sent.map((message) => (message as Extract<ToGateway, { kind: 'repeat' }>).seq);
  const answer = (seq: number, rest: object) =>
    repeats.answered({ kind: 'repeated', seq, ...rest } as Extract<FromGateway, { kind: 'repeated' }>);
  answer(seqs[0]!, { value: { outputs: [], sha256 } });
  assert.deepEqual(await asked[0], { outputs: [], sha256 });
  const failure = { code: 'INTERNAL', message: 'no', reason: undefined, retryAfterMs: undefined };
  answer(seqs[2]!, { failure });
  await assert.rejects(asked[2]!, { code: 'INTERNAL', message: 'no' });
  repeats.gone(one!);
  answer(seqs[1]!, { value: { outputs: [], sha256 } });
  await assert.rejects(asked[1]!, { code: 'UNAVAILABLE' });
  await assert.rejects(repeats.ask(undefined, repeat), { code: 'UNAVAILABLE', message: /no gateway process/ });
  const many = Array.from({ length: 16 }, () => repeats.ask(other, repeat));
  await assert.rejects(repeats.ask(other, repeat), { code: 'RESOURCE_EXHAUSTED' });
  repeats.gone(other!);
  for (const result of await Promise.allSettled(many)) assert.equal(result.status, 'rejected');
});
