/**
 * What onnxruntime-node itself makes of a case, through its public API.
 *
 *   runDirectly(case) ─▶ child: load ─▶ run ─▶ compare with what is expected ─▶ Direct      exit, signal ─▶ `crashed`
 *
 * In a child process, because a model may end it. The same file is both ends.
 *
 * Must not know the gateway.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DataType, Tensor, TypedArray } from '../../../src/core/tensor.js';
import { readOnnx } from '../../../src/registry/onnx.js';
import { type Case, dataSetsOf, readTensors } from './cases.js';
import { differenceOf } from './closeness.js';

/** One data set: inputs by the names of the model, and what the runtime makes of them. */
export interface Sample {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

export type Outcome =
  /** Loads, runs, gives what is expected. */
  | 'passed'
  /** Something in it cannot be a V2 tensor. */
  | 'not tensors'
  | 'does not load'
  | 'does not run'
  | 'differs'
  | 'crashed';

export interface Direct {
  readonly outcome: Outcome;
  /** Why it did not pass. */
  readonly reason: string;
  /** Of a case that passed, and of one that differs. */
  readonly samples: readonly Sample[];
}

const runtimeNameOf: Readonly<Record<DataType, string>> = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  BF16: 'bfloat16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
};
const datatypeOf = new Map(Object.entries(runtimeNameOf).map(([datatype, name]) => [name, datatype as DataType]));

export class DirectRuns {
  #child: ChildProcess | undefined;

  /** One case at a time. */
  run(one: Case): Promise<Direct> {
    this.#child ??= fork(fileURLToPath(import.meta.url), ['child'], {
      serialization: 'advanced',
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    const child = this.#child;
    return new Promise((resolve) => {
      const onExit = (code: number | null, signal: string | null) => {
        this.#child = undefined;
        child.off('message', onMessage);
        resolve({ outcome: 'crashed', reason: String(signal ?? code), samples: [] });
      };
      const onMessage = (direct: unknown) => {
        child.off('exit', onExit);
        resolve(direct as Direct);
      };
      child.once('exit', onExit);
      child.once('message', onMessage);
      child.send(one);
    });
  }

  close(): void {
    this.#child?.kill('SIGKILL');
  }
}

class Failed extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome, reason: unknown) {
    super(reason instanceof Error ? reason.message : String(reason));
    this.outcome = outcome;
  }
}

/** The value of `work`; what it throws becomes the outcome. */
async function orFail<Value>(outcome: Outcome, work: () => Value | Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    throw new Failed(outcome, error);
  }
}

async function judge(one: Case): Promise<Direct> {
  const samples: Sample[] = [];
  try {
    const { InferenceSession } = await import('onnxruntime-node');
    const path = join(one.directory, 'model.onnx');
    checkTypes(path);
    const options = { intraOpNumThreads: 1, logSeverityLevel: 3 } as const;
    const session = await orFail('does not load', () => InferenceSession.create(path, options));
    for (const dataSet of dataSetsOf(one)) {
      const inputs = inputsOf(session.inputNames, readTensors(dataSet, 'input'));
      const outputs = await orFail('does not run', () => runOnce(session, inputs));
      samples.push({ inputs, outputs });
      const expected = readTensors(dataSet, 'output');
      if (expected.length !== outputs.length) throw new Failed('differs', `expected ${expected.length} outputs`);
      expected.forEach((tensor, i) => {
        const difference = differenceOf(outputs[i]!, tensor);
        if (difference !== undefined) throw new Failed('differs', `output ${i}: ${difference}`);
      });
    }
    await session.release();
    return { outcome: 'passed', reason: '', samples };
  } catch (error) {
    const { outcome, message } = error instanceof Failed ? error : new Failed('does not run', error);
    return { outcome, reason: message, samples };
  }
}

function checkTypes(path: string): void {
  const { inputs, outputs } = readOnnx(readFileSync(path));
  for (const { datatype, onnxType } of [...inputs, ...outputs]) {
    if (datatype === undefined || datatype === 'BF16') throw new Failed('not tensors', onnxType);
  }
}

/** The n-th file is the n-th input of the model. */
function inputsOf(names: readonly string[], tensors: readonly Tensor[]): Tensor[] {
  if (names.length !== tensors.length) throw new Failed('does not run', `${tensors.length} inputs for ${names.length}`);
  return tensors.map((tensor, i) => ({ ...tensor, name: names[i]! }));
}

type Session = Awaited<ReturnType<typeof import('onnxruntime-node')['InferenceSession']['create']>>;

async function runOnce(session: Session, inputs: readonly Tensor[]): Promise<Tensor[]> {
  const { Tensor: Native } = await import('onnxruntime-node');
  const feeds = Object.fromEntries(
    inputs.map(({ name, datatype, data, shape }) => [
      name,
      new Native(runtimeNameOf[datatype] as 'float32', data as Float32Array, shape),
    ]),
  );
  const results = await session.run(feeds);
  return session.outputNames.map((name) => {
    const { type, dims, data } = results[name]!;
    return { name, datatype: datatypeOf.get(type)!, shape: [...dims], data: data as TypedArray | string[] };
  });
}

if (process.argv[2] === 'child') {
  process.on('message', (one: Case) => {
    void judge(one).then((direct) => process.send!(direct));
  });
}
