/**
 * The only file with onnxruntime-node: opens a model, tells its signature, runs it.
 *
 * A run and an open block their thread, so both are for pool threads and child processes; on a serving thread only runs that
 * are shorter than the hop to another thread, and the opening of models that small. Runs go through the package's
 * synchronous binding (6.8 µs for a trivial run, 9.5 through the public API, and no loop turn); it is not public, so it must
 * pass a self-test when it is loaded, or the public API is used instead.
 *
 * Must not know threads, batches or who calls.
 */
import { createRequire } from 'node:module';
import { GatewayError } from '../core/errors.js';
import type { SessionPolicy } from '../core/model.js';
import type { DataType, Tensor, TensorData } from '../core/tensor.js';

/** One input or output as the runtime reports it. */
export interface SessionTensor {
  readonly name: string;
  readonly datatype: DataType;
  /** −1 = varies. */
  readonly shape: readonly number[];
  /** Symbolic names beside `shape`; empty where there is none. */
  readonly symbols: readonly string[];
}

export interface Session {
  readonly inputs: readonly SessionTensor[];
  readonly outputs: readonly SessionTensor[];
  /**
   * Runs the model once. A promise only when the synchronous binding is not available.
   * @param inputs all inputs of the model, checked: the runtime ignores extra ones and cuts strings without a word
   * @throws INTERNAL `onnx runtime error: …`
   */
  run(inputs: readonly Tensor[]): Tensor[] | Promise<Tensor[]>;
  /** Frees the native memory. Never while a run is under way. */
  release(): void;
}

interface NativeTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: TensorData;
}

interface NativeMetadata {
  readonly name: string;
  readonly isTensor: boolean;
  readonly type: number;
  readonly shape: readonly number[];
  readonly symbolicDimensions: readonly string[];
}

interface NativeSession {
  loadModel(path: string, options: object): void;
  readonly inputMetadata: readonly NativeMetadata[];
  readonly outputMetadata: readonly NativeMetadata[];
  run(
    feeds: Record<string, NativeTensor>,
    fetches: Record<string, null>,
    options: object,
  ): Record<string, NativeTensor>;
  dispose(): void;
}

type PublicSession = { run(feeds: object): Promise<Record<string, NativeTensor>>; release(): Promise<void> };

interface Runtime {
  readonly Native: new () => NativeSession;
  readonly ort: {
    Tensor: new (type: string, data: TensorData, dims: readonly number[]) => NativeTensor;
    InferenceSession: { create(path: string, options: object): Promise<PublicSession> };
  };
  readonly version: string;
  readonly isSynchronous: boolean;
}

/** ONNX element type numbers → V2 datatypes and the runtime's own names. */
const types: readonly (readonly [DataType, string] | undefined)[] = [
  undefined,
  ['FP32', 'float32'],
  ['UINT8', 'uint8'],
  ['INT8', 'int8'],
  ['UINT16', 'uint16'],
  ['INT16', 'int16'],
  ['INT32', 'int32'],
  ['INT64', 'int64'],
  ['BYTES', 'string'],
  ['BOOL', 'bool'],
  ['FP16', 'float16'],
  ['FP64', 'float64'],
  ['UINT32', 'uint32'],
  ['UINT64', 'uint64'],
];
const runtimeNameOf = new Map(types.flatMap((pair) => (pair ? [pair] : [])));
const datatypeOf = new Map(types.flatMap((pair) => (pair ? [[pair[1], pair[0]] as const] : [])));

let loaded: Runtime | undefined;

/**
 * Loads the library once for this thread. The main thread of a process does so before any other thread of it, or older
 * builds fail to register; telemetry is switched off by the environment, which must be set before.
 */
export function loadRuntime(): { readonly version: string; readonly isSynchronous: boolean } {
  if (loaded !== undefined) return loaded;
  process.env.ORT_DISABLE_TELEMETRY = '1';
  const require = createRequire(import.meta.url);
  const ort = require('onnxruntime-node');
  const { binding, initOrt } = require('onnxruntime-node/dist/binding');
  const { version } = require('onnxruntime-node/package.json');
  initOrt();
  const Native = binding?.InferenceSession;
  loaded = { Native, ort, version, isSynchronous: false };
  loaded = { ...loaded, isSynchronous: passesSelfTest(Native) };
  return loaded;
}

/** The binding has the shape that `NativeSession` says. What it computes is checked by every admission. */
function passesSelfTest(Native: unknown): boolean {
  if (typeof Native !== 'function') return false;
  const session = new (Native as new () => Partial<NativeSession>)();
  return [session.loadModel, session.run, session.dispose].every((method) => typeof method === 'function');
}

/**
 * Opens `path`, blocking the thread.
 * @param path of an ONNX file whose bytes were verified; by path, because external data is found relative to it
 * @throws FAILED_PRECONDITION with the runtime's reason, or naming what cannot be carried
 */
export async function openSession(path: string, policy: SessionPolicy): Promise<Session> {
  loadRuntime();
  const { Native, ort, isSynchronous } = loaded!;
  const options = optionsOf(policy);
  const native = new Native();
  try {
    native.loadModel(path, options);
    const inputs = native.inputMetadata.map((metadata) => describe('input', metadata));
    const outputs = native.outputMetadata.map((metadata) => describe('output', metadata));
    if (isSynchronous) return new SynchronousSession(native, inputs, outputs);
    native.dispose();
    return new AsynchronousSession(await ort.InferenceSession.create(path, options), inputs, outputs);
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError('FAILED_PRECONDITION', withoutPaths(error), { cause: error });
  }
}

function optionsOf(policy: SessionPolicy): object {
  return {
    intraOpNumThreads: policy.intraOpThreads,
    interOpNumThreads: policy.interOpThreads,
    executionMode: policy.executionMode,
    graphOptimizationLevel: policy.optimization,
    enableCpuMemArena: policy.cpuMemArena,
    enableMemPattern: policy.memPattern,
    logSeverityLevel: 3,
    // Spinning pool threads cost 841 ms of CPU for 300 tiny runs, sleeping ones 93.
    extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
  };
}

function describe(kind: 'input' | 'output', metadata: NativeMetadata): SessionTensor {
  if (!metadata.isTensor) {
    throw new GatewayError(
      'FAILED_PRECONDITION',
      `${kind} '${metadata.name}' is a sequence or map, expected a tensor (scikit-learn: convert with zipmap=False)`,
    );
  }
  const type = types[metadata.type];
  if (type === undefined) {
    throw new GatewayError(
      'FAILED_PRECONDITION',
      `${kind} '${metadata.name}' has ONNX element type ${metadata.type}, which onnxruntime-node cannot carry`,
    );
  }
  return { name: metadata.name, datatype: type[0], shape: metadata.shape, symbols: metadata.symbolicDimensions };
}

class SynchronousSession implements Session {
  readonly #native: NativeSession;
  readonly inputs: readonly SessionTensor[];
  readonly outputs: readonly SessionTensor[];
  readonly #fetches: Record<string, null>;

  constructor(native: NativeSession, inputs: readonly SessionTensor[], outputs: readonly SessionTensor[]) {
    this.#native = native;
    this.inputs = inputs;
    this.outputs = outputs;
    this.#fetches = Object.fromEntries(outputs.map((output) => [output.name, null]));
  }

  run(inputs: readonly Tensor[]): Tensor[] {
    try {
      return resultOf(this.#native.run(feedsOf(inputs), this.#fetches, {}), this.outputs);
    } catch (error) {
      throw runError(error);
    }
  }

  release(): void {
    this.#native.dispose();
  }
}

class AsynchronousSession implements Session {
  readonly #session: PublicSession;
  readonly inputs: readonly SessionTensor[];
  readonly outputs: readonly SessionTensor[];

  constructor(session: PublicSession, inputs: readonly SessionTensor[], outputs: readonly SessionTensor[]) {
    this.#session = session;
    this.inputs = inputs;
    this.outputs = outputs;
  }

  async run(inputs: readonly Tensor[]): Promise<Tensor[]> {
    try {
      return resultOf(await this.#session.run(feedsOf(inputs)), this.outputs);
    } catch (error) {
      throw runError(error);
    }
  }

  release(): void {
    void this.#session.release();
  }
}

function feedsOf(inputs: readonly Tensor[]): Record<string, NativeTensor> {
  const { Tensor: Native } = loaded!.ort;
  const feeds: Record<string, NativeTensor> = {};
  for (const { name, datatype, shape, data } of inputs)
    feeds[name] = new Native(runtimeNameOf.get(datatype)!, data, shape);
  return feeds;
}

function resultOf(results: Record<string, NativeTensor>, outputs: readonly SessionTensor[]): Tensor[] {
  return outputs.map(({ name }) => {
    const { type, dims, data } = results[name]!;
    return { name, datatype: datatypeOf.get(type)!, shape: dims, data };
  });
}

function runError(error: unknown): GatewayError {
  return new GatewayError('INTERNAL', `onnx runtime error: ${withoutPaths(error)}`, { cause: error });
}

/** The runtime names source files and model paths in its messages; neither concerns a caller. */
function withoutPaths(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/(?:\/[\w.@+-]+){2,}(?::\d+)?/g, '…').slice(0, 1000);
}
