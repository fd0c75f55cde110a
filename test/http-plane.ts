/**
 * A data plane made of JavaScript models, for the tests of the HTTP room: echoes of every datatype, a sum and difference, a
 * dense layer of 30 inputs, a scalar, and one that answers only when told. What it was asked is kept for assertions.
 */
import { GatewayError } from '../src/core/errors.js';
import type { DataPlane, Infer, InferenceRequest, Refusal, Selector, ServerState } from '../src/core/inference.js';
import type { ModelConfig, Version } from '../src/core/model.js';
import type { RelayCall } from '../src/core/relay.js';
import { createRequestIds } from '../src/core/request-id.js';
import type { DataType, Tensor, TensorSpec } from '../src/core/tensor.js';
import type { ApiOptions } from '../src/http/api.js';
import type { HttpOptions } from '../src/http/transport.js';
import { batchPolicy } from './batch-fixture.js';
import { carriedTypes } from './fixtures.js';

const noTiming = { queueMs: 0.25, inputMs: 0, inferMs: 0.5, outputMs: 0, batchRows: 1 };

interface ModelFacts {
  readonly name: string;
  readonly version?: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly rowsMax: number;
  readonly run: (inputs: readonly Tensor[]) => Tensor[];
}

function spec(name: string, datatype: DataType, shape: readonly number[]): TensorSpec {
  return { name, datatype, shape };
}

function echo(name: string, datatype: DataType, shape: readonly number[], rowsMax: number): ModelFacts {
  return {
    name,
    inputs: [spec('X', datatype, shape)],
    outputs: [spec('Y', datatype, shape)],
    rowsMax,
    run: ([x]) => [{ ...x!, name: 'Y' }],
  };
}

function simple(version: string): ModelFacts {
  const pair = (a: string, b: string) => [spec(a, 'INT32', [-1, 16]), spec(b, 'INT32', [-1, 16])];
  const combined = (a: Tensor, b: Tensor, name: string, sign: number): Tensor => {
    const [left, right] = [a.data as Int32Array, b.data as Int32Array];
    return { name, datatype: 'INT32', shape: a.shape, data: left.map((value, i) => value + sign * right[i]!) };
  };
  return {
    name: 'simple',
    version,
    inputs: pair('INPUT0', 'INPUT1'),
    outputs: pair('OUTPUT0', 'OUTPUT1'),
    rowsMax: 8,
    run: ([a, b]) => [combined(a!, b!, 'OUTPUT0', 1), combined(a!, b!, 'OUTPUT1', -1)],
  };
}

function dense(): ModelFacts {
  return {
    name: 'dense',
    inputs: [spec('features', 'FP32', [-1, 30])],
    outputs: [spec('probabilities', 'FP32', [-1, 2])],
    rowsMax: 32,
    run: ([x]) => {
      const rows = x!.shape[0]!;
      const data = new Float32Array(2 * rows);
      for (let row = 0; row < rows; row++) {
        const share = 1 / (1 + Math.exp(-(x!.data as Float32Array)[row * 30]!));
        data[2 * row] = share;
        data[2 * row + 1] = 1 - share;
      }
      return [{ name: 'probabilities', datatype: 'FP32', shape: [rows, 2], data }];
    },
  };
}

const catalogue: readonly ModelFacts[] = [
  ...carriedTypes.map((datatype) => echo(`echo_${datatype}`, datatype, [-1], 0)),
  echo('raw_bytes', 'BYTES', [1], 0),
  echo('rows', 'FP32', [-1, 16], 4),
  echo('scalar', 'FP32', [], 0),
  echo('square', 'FP32', [-1, -1], 0),
  simple('1'),
  simple('2'),
  dense(),
  { ...echo('hang', 'FP32', [-1], 0), run: () => [] },
  {
    ...echo('broken', 'FP32', [-1], 0),
    run: () => {
      throw new GatewayError('INTERNAL', 'onnx runtime error: no');
    },
  },
  {
    ...echo('late', 'FP32', [-1], 0),
    run: () => {
      throw new GatewayError('DEADLINE_EXCEEDED', 'Request timeout expired', { reason: 'deadline' });
    },
  },
  {
    ...echo('full', 'FP32', [-1], 0),
    run: () => {
      throw new GatewayError('RESOURCE_EXHAUSTED', 'Exceeds maximum queue size', {
        reason: 'queue_full',
        retryAfterMs: 1500,
      });
    },
  },
];

export interface TestPlane extends DataPlane {
  /** Inferences that reached the plane. */
  readonly asked: InferenceRequest[];
  readonly refused: Refusal[];
  readonly relayed: RelayCall[];
  current: ServerState;
}

export function createTestPlane(): TestPlane {
  const versions = catalogue.map(versionOf);
  const asked: InferenceRequest[] = [];
  const refused: Refusal[] = [];
  const relayed: RelayCall[] = [];
  const named = (model: string) => {
    const found = versions.filter(({ id }) => id.model === model);
    if (found.length === 0) throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' is not found`);
    return found;
  };
  const find = (model: string, { version, label }: Selector): Version => {
    if (label !== undefined && label !== 'stable') throw new GatewayError('NOT_FOUND', `unknown label '${label}'`);
    const wanted = label === 'stable' ? '1' : version;
    const found = named(model);
    const one = wanted === undefined ? found.at(-1) : found.find(({ id }) => id.version === wanted);
    if (one === undefined) {
      throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' version ${wanted} is not found`);
    }
    return one;
  };
  return {
    asked,
    refused,
    relayed,
    current: { isReady: true, reason: '', isDegraded: false, isDraining: false },
    now: () => performance.now(),
    server: { name: 'sluice', version: '0.0.0', extensions: ['binary_tensor_data'] },
    state() {
      return this.current;
    },
    models: () => [...new Set(versions.map(({ id }) => id.model))],
    find,
    assign: () => undefined,
    readiness: (model, selector) =>
      find(model, selector).id.model === 'broken'
        ? { isReady: false, reason: 'broken' }
        : { isReady: true, reason: '' },
    async metadata(model, selector) {
      const { signature } = find(model, selector);
      return {
        name: model,
        versions: named(model).map(({ id }) => id.version),
        platform: 'onnxruntime_onnx',
        ...signature,
      };
    },
    infer: (request) => {
      asked.push(request);
      if (asked.length > 1000) asked.length = 0;
      return request.version.infer(request);
    },
    refuse: (refusal) => {
      refused.push(refusal);
    },
    async relay(call) {
      relayed.push(call);
      if (call.call === 'statistics')
        return { model_stats: [{ name: call.model, inference_stats: { success: { ns: 2n ** 60n + 1n } } }] };
      return [];
    },
  };
}

function versionOf({ name, version = '1', inputs, outputs, rowsMax, run }: ModelFacts): Version {
  const id = { model: name, version };
  const batch = batchPolicy({ rowsMax, isContract: rowsMax > 0 });
  const infer: Infer = (request) => {
    if (name === 'hang') {
      return new Promise((_, reject) => {
        request.cancellation.holder = {
          onCancel: () => reject(new GatewayError('CANCELLED', 'cancelled', { reason: 'cancelled' })),
        };
      });
    }
    try {
      const all = run(request.inputs);
      const wanted =
        request.outputs === undefined ? all : all.filter((output) => request.outputs!.includes(output.name));
      return Promise.resolve({ version: id, outputs: wanted, timing: noTiming });
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  };
  const config = { name, max_batch_size: rowsMax } as ModelConfig;
  return {
    id,
    signature: { inputs, outputs },
    batch,
    config,
    labels: { probabilities: ['benign', 'malignant'] },
    infer,
  };
}

export const testApiOptions: ApiOptions = {
  jsonDepthMax: 100,
  nonFinite: 'bare',
  fp16Json: 'refuse',
  stringsMax: 1000,
  bodyBytesMax: 1024 * 1024,
  compressionBytesMin: 1024,
  requestTimeoutMs: 30_000,
  overloadStatus: 429,
  relayRead: 'on',
  relayChange: 'loopback',
  newId: createRequestIds({ epochMs: Date.now, random: Math.random }),
};

export const testHttpOptions: Omit<HttpOptions, 'engine'> = {
  host: '127.0.0.1',
  port: 0,
  now: () => performance.now(),
  bodyBytesMax: 1024 * 1024,
  bufferedBytesMax: 64 * 1024 * 1024,
  bodyTimeoutMs: 5000,
  writeTimeoutMs: 5000,
};
