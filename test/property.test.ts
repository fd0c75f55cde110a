/**
 * Rows go back to their owner for any mix of requests: random shapes, row counts, outputs, cancellations and pauses over a real
 * engine, each answer compared to the bit with that of the same request run alone.
 *
 * The seed is printed; SLUICE_TEST_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { sessionPolicy } from '../bench/suite/session-policy.js';
import type { BatchEvent, GatewayEvent } from '../src/core/events.js';
import { Cancellation, type InferenceReply, type InferenceRequest } from '../src/core/inference.js';
import type { Signature, VersionSpec } from '../src/core/model.js';
import type { DataType, Tensor, TensorData, TensorSpec } from '../src/core/tensor.js';
import { Cores } from '../src/engine/cores.js';
import { Marks } from '../src/engine/marks.js';
import { type OpenVersion, openVersion } from '../src/engine/version.js';
import { addSub, divInt, identity, pseudoRandom, twoDynamicDims } from './fixtures.js';
import { freshDirectory } from './system/server.js';

type Random = () => number;

const rowsMax = 16;
const requestCount = 400;
const seed = Number(process.env.SLUICE_TEST_SEED ?? Date.now() % 2 ** 31);

interface Subject {
  readonly name: string;
  readonly model: Buffer;
  readonly signature: Signature;
  readonly lane: 'inline' | 'thread';
  /** Longest wait for others, so that batches are large although runs are short. */
  readonly delayUs?: number;
  /** Dimensions of one row of every input. */
  readonly row: (random: Random) => readonly number[];
  readonly element: (random: Random, datatype: DataType, input: number) => number | bigint | string;
}

function spec(name: string, datatype: DataType, shape: readonly number[]): TensorSpec {
  return { name, datatype, shape };
}

function echo(datatype: DataType, shape: readonly number[]): Signature {
  return { inputs: [spec('INPUT0', datatype, shape)], outputs: [spec('OUTPUT0', datatype, shape)] };
}

function integer(random: Random, below: number): number {
  return Math.floor(random() * below);
}

const anyInt32 = (random: Random): number => integer(random, 2 ** 32) - 2 ** 31;
const pairs = (shape: readonly number[]): Signature => ({
  inputs: [spec('INPUT0', 'INT32', shape), spec('INPUT1', 'INT32', shape)],
  outputs: [spec('OUTPUT0', 'INT32', shape), spec('OUTPUT1', 'INT32', shape)],
});
const texts = ['', 'a', 'ü', '🙂', 'x'.repeat(300), '"', '\\', '\n'];

const subjects: readonly Subject[] = [
  {
    name: 'addSub INT32 inline',
    model: addSub(),
    signature: pairs([-1, 16]),
    lane: 'inline',
    row: () => [16],
    element: anyInt32,
  },
  {
    name: 'addSub INT32 on threads',
    model: addSub(),
    signature: pairs([-1, 16]),
    lane: 'thread',
    row: () => [16],
    element: anyInt32,
  },
  {
    name: 'identity INT64 on threads that gather',
    model: identity('INT64', ['batch', 3]),
    signature: echo('INT64', [-1, 3]),
    lane: 'thread',
    delayUs: 2000,
    row: () => [3],
    element: (random) => BigInt(anyInt32(random)) * 2n ** 32n + BigInt(integer(random, 2 ** 32)),
  },
  {
    name: 'identity FP32 inline',
    model: identity('FP32', ['batch', 5]),
    signature: echo('FP32', [-1, 5]),
    lane: 'inline',
    row: () => [5],
    element: (random) => [Number.NaN, -0, Number.POSITIVE_INFINITY, 1e-45, random()][integer(random, 5)]!,
  },
  {
    name: 'two free dimensions, requests of unlike lengths',
    model: twoDynamicDims(),
    signature: echo('FP32', [-1, -1, 2]),
    lane: 'thread',
    row: (random) => [integer(random, 4), 2],
    element: (random) => random() - 0.5,
  },
  {
    name: 'texts',
    model: identity('BYTES', ['batch', 2]),
    signature: echo('BYTES', [-1, 2]),
    lane: 'thread',
    row: () => [2],
    element: (random) => texts[integer(random, texts.length)]! + integer(random, 1000),
  },
  {
    name: 'division, whose batches fail now and then by one row',
    model: divInt(['batch', 2]),
    signature: { ...pairs([-1, 2]), outputs: [spec('OUTPUT0', 'INT32', [-1, 2])] },
    lane: 'thread',
    delayUs: 1000,
    row: () => [2],
    element: (random, _, input) =>
      input === 0 ? integer(random, 2 ** 30) : random() < 0.02 ? 0 : 1 + integer(random, 9),
  },
];

/** A request that can be made again: its bytes are moved away when it runs. */
interface Plan {
  readonly rows: number;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly string[] | undefined;
  readonly end: 'answered' | 'cancelled before' | 'cancelled after';
}

function dataOf(datatype: DataType, elements: readonly (number | bigint | string)[]): TensorData {
  if (datatype === 'INT32') return Int32Array.from(elements as readonly number[]);
  if (datatype === 'INT64') return BigInt64Array.from(elements as readonly bigint[]);
  if (datatype === 'FP32') return Float32Array.from(elements as readonly number[]);
  return elements as readonly string[];
}

function planOf(subject: Subject, random: Random): Plan {
  // Mostly few rows, sometimes none, sometimes more than a batch may have.
  const rows = random() < 0.05 ? 0 : random() < 0.05 ? rowsMax + 1 + integer(random, 5) : 1 + integer(random, 6);
  const dims = subject.row(random);
  const inputs = subject.signature.inputs.map(({ name, datatype }, index): Tensor => {
    const length = dims.reduce((count, dimension) => count * dimension, rows);
    const elements = Array.from({ length }, () => subject.element(random, datatype, index));
    const data = dataOf(datatype, elements);
    return { name, datatype, shape: [rows, ...dims], data };
  });
  const outputs = random() < 0.3 ? [subject.signature.outputs.at(-1)!.name] : undefined;
  const end = random() < 0.1 ? 'cancelled before' : random() < 0.15 ? 'cancelled after' : 'answered';
  return { rows, inputs, outputs, end };
}

function requestOf(version: OpenVersion, { rows, inputs, outputs }: Plan): InferenceRequest {
  return {
    id: 'r',
    model: version.id.model,
    version,
    inputs: inputs.map((tensor) => ({ ...tensor, data: tensor.data.slice() })) as readonly Tensor[],
    rows,
    outputs,
    parameters: new Map(),
    priority: 0,
    timeoutMs: 0,
    receivedAt: performance.now(),
    deadlineAt: Number.POSITIVE_INFINITY,
    cancellation: new Cancellation(),
    protocol: 'http',
  };
}

/** An outcome as text that is equal exactly when the bits are. */
function shown({ outputs }: InferenceReply): string {
  return JSON.stringify(
    outputs.map(({ name, datatype, shape, data }) => {
      if (Array.isArray(data)) return [name, datatype, shape, data];
      const { buffer, byteOffset, byteLength } = data as Float32Array;
      return [name, datatype, shape, Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength).toString('base64')];
    }),
  );
}

function outcomeOf(answer: Promise<InferenceReply>): Promise<string> {
  return answer.then(
    shown,
    ({ code, message }: { code: string; message: string }) => `${code} ${message.replace(/.*(zero).*/s, '$1')}`,
  );
}

function specOf(context: TestContext, { name, model, signature, lane, delayUs = 0 }: Subject): VersionSpec {
  const directory = freshDirectory(context);
  const file = join(directory, 'model.onnx');
  writeFileSync(file, model);
  const queue = { sizeMax: 100_000, timeoutMs: 0, timeoutAction: 'REJECT', allowTimeoutOverride: true } as const;
  return {
    id: { model: name, version: '1' },
    directory,
    file,
    signature,
    batch: {
      rowsMax,
      isContract: false,
      preferredRows: [],
      delayUs,
      queue,
      priorityLevels: 0,
      defaultPriority: 0,
      levels: {},
    },
    session: sessionPolicy,
    instances: 2,
    rank: 'primary',
    isBounded: lane === 'inline',
    runTimes: [],
    config: {} as VersionSpec['config'],
    labels: {},
    properties: {},
  };
}

/** All of them in bursts, with turns of the loop between; the outcomes in the order of the plans. */
async function runTogether(version: OpenVersion, plans: readonly Plan[], random: Random): Promise<string[]> {
  const outcomes: Promise<string>[] = [];
  for (const plan of plans) {
    const request = requestOf(version, plan);
    if (plan.end === 'cancelled before') request.cancellation.cancel();
    outcomes.push(outcomeOf(version.infer(request)));
    if (plan.end === 'cancelled after') later(random, () => request.cancellation.cancel());
    if (random() < 0.15) await new Promise((resolve) => later(random, () => resolve(undefined)));
  }
  return Promise.all(outcomes);
}

/** In this turn of the loop, one of the next, or a moment after. */
function later(random: Random, work: () => void): void {
  const when = random();
  if (when < 0.3) queueMicrotask(work);
  else if (when < 0.8) setImmediate(work);
  else setTimeout(work, integer(random, 3));
}

for (const [index, subject] of subjects.entries()) {
  test(`${subject.name}: everybody gets the rows of a run alone`, async (context) => {
    context.diagnostic(`seed ${seed}`);
    const random = pseudoRandom(seed + index);
    const batches: BatchEvent[] = [];
    const version = await openVersion(specOf(context, subject), {
      cores: new Cores(2),
      observe: (event: GatewayEvent) => {
        if (event.kind === 'batch') batches.push(event);
      },
      now: () => performance.now(),
      // The measured run times of a busy machine must not decide which lane is tested.
      inlineRunUsMax: subject.lane === 'inline' ? 1e6 : 0,
      hardRunTimeoutMs: 60_000,
      priorityAgingMs: 500,
      marks: new Marks(undefined),
      onOverdue: () => assert.fail('a run was overdue'),
    });
    const plans = Array.from({ length: requestCount }, () => planOf(subject, random));
    const alone: string[] = [];
    for (const plan of plans) alone.push(await outcomeOf(version.infer(requestOf(version, plan))));
    assert.ok(batches.every(({ requests }) => requests === 1));
    batches.length = 0;
    const together = await runTogether(version, plans, random);
    await version.drain();
    const cancelled = 'CANCELLED request was cancelled by its caller';
    plans.forEach(({ end }, at) => {
      const text = `seed ${seed}, request ${at}, ${end}`;
      if (end === 'cancelled before') assert.equal(together[at], cancelled, text);
      else if (end === 'answered' || together[at] !== cancelled) assert.equal(together[at], alone[at], text);
    });
    assert.ok(
      batches.some(({ requests }) => requests > 1),
      'no requests ever shared a run',
    );
    // Even where there is an inline lane, what waits behind a request too large for it may go with that to a thread.
    const lanes = new Set(batches.map(({ lane }) => lane));
    assert.ok(lanes.has(subject.lane) && (subject.lane === 'inline' || lanes.size === 1), `lanes ${[...lanes]}`);
    assert.ok(
      batches.every(({ rows, requests }) => rows <= rowsMax || requests === 1),
      'a batch was larger than it may be',
    );
    assert.equal(version.inFlight, 0);
  });
}
