/**
 * A gRPC listener over models that compute in JavaScript, and a stock client: what the gRPC tests stand on.
 *
 * The models are real `Version` objects; only the runtime is missing.
 */
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { GatewayError, invalid } from '../src/core/errors.js';
import type { DataPlane, InferenceReply, InferenceRequest, Refusal } from '../src/core/inference.js';
import type { ModelConfig, Signature, Version } from '../src/core/model.js';
import type { RelayCall } from '../src/core/relay.js';
import { bytesOf, type DataType, type Tensor, type TensorSpec, type TypedArray } from '../src/core/tensor.js';
import type { GrpcOptions } from '../src/grpc/options.js';
import { type GrpcDoor, listenGrpc } from '../src/grpc/server.js';
import { batchPolicy } from './batch-fixture.js';
import { carriedTypes } from './fixtures.js';

function spec(name: string, datatype: DataType, shape: number[]): TensorSpec {
  return { name, datatype, shape };
}

type Compute = (request: InferenceRequest) => readonly Tensor[] | Promise<readonly Tensor[]>;

const timing = { queueMs: 0, inputMs: 0, inferMs: 0, outputMs: 0, batchRows: 1 };

export function versionOf(
  model: string,
  version: string,
  signature: Signature,
  options: { rowsMax?: number; isContract?: boolean; labels?: Record<string, string[]>; compute: Compute },
): Version {
  const id = { model, version };
  return {
    id,
    signature,
    batch: batchPolicy({ rowsMax: options.rowsMax ?? 0, isContract: options.isContract ?? false }),
    config: { ...config, name: model, max_batch_size: options.rowsMax ?? 0 },
    labels: options.labels ?? {},
    infer: async (request): Promise<InferenceReply> => {
      const computed = await options.compute(request);
      const { outputs } = request;
      return {
        version: id,
        outputs: outputs === undefined ? computed : computed.filter((tensor) => outputs.includes(tensor.name)),
        timing,
      };
    },
  };
}

const config: ModelConfig = {
  name: '',
  platform: 'onnxruntime_onnx',
  backend: 'onnxruntime',
  version_policy: { latest: { num_versions: 1 } },
  max_batch_size: 8,
  input: [{ name: 'INPUT0', data_type: 'TYPE_INT32', format: 'FORMAT_NONE', dims: [16] }],
  output: [{ name: 'OUTPUT0', data_type: 'TYPE_INT32', dims: [16], label_filename: '' }],
  instance_group: [{ name: 'simple_0', kind: 'KIND_CPU', count: 2, gpus: [] }],
  default_model_filename: 'model.onnx',
  parameters: { owner: { string_value: 'us' } },
  model_warmup: [],
  dynamic_batching: { preferred_batch_size: [8], max_queue_delay_microseconds: 100, priority_queue_policy: {} },
  model_transaction_policy: { decoupled: false },
  response_cache: { enable: false },
};

/** Two inputs of 16 integers, sum and difference: the example that every V2 client has. */
function simple(version: string, isContract: boolean): Version {
  const signature = {
    inputs: [spec('INPUT0', 'INT32', [-1, 16]), spec('INPUT1', 'INT32', [-1, 16])],
    outputs: [spec('OUTPUT0', 'INT32', [-1, 16]), spec('OUTPUT1', 'INT32', [-1, 16])],
  };
  const compute: Compute = ({ inputs }) => {
    const [a, b] = inputs as [Tensor, Tensor];
    const [x, y] = [a.data as Int32Array, b.data as Int32Array];
    return [
      { name: 'OUTPUT0', datatype: 'INT32', shape: a.shape, data: x.map((value, i) => value + y[i]!) },
      { name: 'OUTPUT1', datatype: 'INT32', shape: a.shape, data: x.map((value, i) => value - y[i]!) },
    ];
  };
  return versionOf('simple', version, signature, { rowsMax: 8, isContract, compute });
}

function echo(model: string, datatype: DataType, shape: number[]): Version {
  const signature = { inputs: [spec('IN', datatype, shape)], outputs: [spec('OUT', datatype, shape)] };
  return versionOf(model, '1', signature, { compute: ({ inputs }) => [{ ...inputs[0]!, name: 'OUT' }] });
}

export class FakePlane implements DataPlane {
  readonly now = (): number => performance.now();
  readonly server = { name: 'sluice', version: '0.1.0', extensions: ['statistics', 'classification'] };
  readonly versions = new Map<string, Version[]>();
  readonly seen: InferenceRequest[] = [];
  readonly refusals: Refusal[] = [];
  readonly relayed: RelayCall[] = [];
  relayAnswer: unknown = undefined;
  isReady = true;
  readonly loading = new Set<string>();
  /** Requests of model `held`, answered when a test says so. */
  readonly held: { request: InferenceRequest; release: () => void }[] = [];

  constructor() {
    this.#add(simple('1', false), simple('2', false));
    const contract = simple('1', true);
    this.#add({ ...contract, id: { model: 'contract', version: '1' } });
    for (const datatype of carriedTypes) this.#add(echo(`echo_${datatype}`, datatype, [-1]));
    this.#add(echo('matrix', 'FP32', [-1, -1]), echo('scalar', 'FP32', []));
    const scores = { inputs: [spec('IN', 'FP32', [-1, 4])], outputs: [spec('OUT', 'FP32', [-1, 4])] };
    this.#add(
      versionOf('scores', '1', scores, {
        rowsMax: 8,
        labels: { OUT: ['cat', 'dog'] },
        compute: ({ inputs }) => [{ ...inputs[0]!, name: 'OUT' }],
      }),
    );
    const one = { inputs: [spec('IN', 'FP32', [-1])], outputs: [spec('OUT', 'FP32', [-1])] };
    this.#add(versionOf('held', '1', one, { compute: (request) => this.#hold(request) }));
    this.#add(
      versionOf('broken', '1', one, {
        compute: () => {
          throw new GatewayError('INTERNAL', 'onnx runtime error: it broke');
        },
      }),
    );
    this.#add(
      versionOf('busy', '1', one, {
        compute: () => {
          throw new GatewayError('RESOURCE_EXHAUSTED', 'Exceeds maximum queue size', { reason: 'queue_full' });
        },
      }),
    );
    this.#add(
      versionOf('odd', '1', one, {
        compute: () => {
          throw new TypeError('/secret/path');
        },
      }),
    );
  }

  #add(...versions: Version[]): void {
    for (const version of versions) {
      const { model } = version.id;
      this.versions.set(model, [...(this.versions.get(model) ?? []), version]);
    }
  }

  #hold(request: InferenceRequest): Promise<readonly Tensor[]> {
    return new Promise((resolve, reject) => {
      const left = request.deadlineAt - this.now();
      const timer = setTimeout(() => reject(new GatewayError('DEADLINE_EXCEEDED', 'Request timeout expired')), left);
      const release = (): void => {
        clearTimeout(timer);
        resolve([{ ...request.inputs[0]!, name: 'OUT' }]);
      };
      const onCancel = (): void => {
        clearTimeout(timer);
        this.cancelled++;
        this.#onChange?.();
        reject(new GatewayError('CANCELLED', 'cancelled', { reason: 'cancelled' }));
      };
      request.cancellation.holder = { onCancel };
      this.held.push({ request, release });
      this.#onChange?.();
    });
  }

  cancelled = 0;
  #onChange: (() => void) | undefined;

  /** Resolves when `count` requests are held. */
  async untilHeld(count: number): Promise<void> {
    while (this.held.length < count) await this.#change();
  }

  /** Resolves when `count` of the requests that are held have been cancelled. */
  async untilCancelled(count: number): Promise<void> {
    while (this.held.filter(({ request }) => request.cancellation.isCancelled).length < count) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#onChange = resolve;
    });
  }

  state() {
    return { isReady: this.isReady, reason: '', isDegraded: false, isDraining: false };
  }

  models(): readonly string[] {
    return [...this.versions.keys()];
  }

  find(model: string, { version, label }: { version?: string; label?: string }): Version | Promise<Version> {
    const versions = this.versions.get(model);
    if (versions === undefined)
      throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' is not found`);
    if (this.loading.has(model)) {
      throw new GatewayError('UNAVAILABLE', `Request for unknown model: '${model}' version 1 is not at ready state`);
    }
    const wanted = label === 'stable' ? '1' : version;
    const found = wanted === undefined ? versions.at(-1) : versions.find(({ id }) => id.version === wanted);
    if (found === undefined) {
      throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' version ${wanted} is not found`);
    }
    return model === 'matrix' ? Promise.resolve(found) : found;
  }

  assign: DataPlane['assign'] = () => undefined;

  readiness(model: string, selector: { version?: string }) {
    if (this.loading.has(model)) return { isReady: false, reason: 'loading' };
    this.find(model, selector);
    return { isReady: true, reason: '' };
  }

  async metadata(model: string, selector: { version?: string }) {
    const { signature } = await this.find(model, selector);
    return {
      name: model,
      versions: this.versions.get(model)!.map(({ id }) => id.version),
      platform: 'onnxruntime_onnx',
      ...signature,
      properties: { kind: 'test' },
    };
  }

  readonly infer = (request: InferenceRequest): Promise<InferenceReply> => {
    this.seen.push(request);
    return request.version.infer(request);
  };

  refuse(refusal: Refusal): void {
    this.refusals.push(refusal);
  }

  async relay(call: RelayCall): Promise<unknown> {
    this.relayed.push(call);
    if (this.relayAnswer instanceof Error) throw this.relayAnswer;
    return this.relayAnswer;
  }
}

export const defaults: GrpcOptions = {
  engine: process.env.SLUICE_TEST_GRPC_ENGINE === 'grpc-js' ? 'grpc-js' : 'own',
  writeTimeoutMs: 30_000,
  host: '127.0.0.1',
  port: 0,
  messageBytesMax: 64 * 1024 * 1024,
  typedElementsMax: 8_388_608,
  stringsMax: 1_048_576,
  streamsMax: 256,
  streamInFlightMax: 64,
  connectionAgeMs: 300_000,
  responseCompression: 'none',
  hasReflection: false,
  requestTimeoutMs: 30_000,
  relayRead: 'on',
  relayChange: 'loopback',
  overloadStatus: 429,
  epochNow: Date.now,
  random: Math.random,
};

const loaded = grpc.loadPackageDefinition(
  loadSync(['inference.proto', 'health.proto', 'reflection.proto'], {
    includeDirs: [fileURLToPath(new URL('../../proto/', import.meta.url))],
    keepCase: true,
    longs: String,
    enums: String,
    oneofs: true,
    defaults: true,
  }),
);

// biome-ignore lint/suspicious/noExplicitAny: messages are typed by the proto files, not by TypeScript.
export type Message = any;

export interface Reply {
  readonly message: Message;
  readonly metadata: grpc.Metadata;
}

export interface Failure {
  readonly code: number;
  readonly details: string;
  readonly metadata: grpc.Metadata;
}

export interface CallOptions {
  metadata?: Record<string, string>;
  deadlineMs?: number;
}

export class Rig {
  readonly plane: FakePlane;
  readonly door: GrpcDoor;
  readonly client: Message;
  readonly health: Message;
  readonly reflection: Message;

  constructor(plane: FakePlane, door: GrpcDoor, channel: grpc.ChannelOptions) {
    this.plane = plane;
    this.door = door;
    const address = `127.0.0.1:${door.port}`;
    const credentials = grpc.credentials.createInsecure();
    const { inference } = loaded as Message;
    this.client = new inference.GRPCInferenceService(address, credentials, channel);
    this.reflection = new (loaded as Message).grpc.reflection.v1.ServerReflection(address, credentials, channel);
    this.health = new (loaded as Message).grpc.health.v1.Health(address, credentials, channel);
  }

  static async open(options: Partial<GrpcOptions> = {}, channel: grpc.ChannelOptions = {}): Promise<Rig> {
    const plane = new FakePlane();
    return new Rig(plane, await listenGrpc(plane, { ...defaults, ...options }), {
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
      ...channel,
    });
  }

  async close(): Promise<void> {
    this.client.close();
    this.health.close();
    this.reflection.close();
    await this.door.stop(2000);
  }

  /** A unary call; resolves with its reply and initial metadata. */
  call(method: string, request: object, { metadata = {}, deadlineMs }: CallOptions = {}): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const sent = new grpc.Metadata();
      for (const [key, value] of Object.entries(metadata)) sent.set(key, value);
      const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
      let received = new grpc.Metadata();
      const client = method === 'Check' ? this.health : this.client;
      const call = client[method](request, sent, options, (error: Failure | null, message: Message) =>
        error === null ? resolve({ message, metadata: received }) : reject(error),
      );
      call.on('metadata', (got: grpc.Metadata) => {
        received = got;
      });
    });
  }

  /** A unary call with bytes in place of a message. */
  raw(method: string, bytes: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const identity = (value: Buffer): Buffer => value;
      const path = `/inference.GRPCInferenceService/${method}`;
      this.client.makeUnaryRequest(path, identity, identity, bytes, (error: Failure | null, reply: Buffer) =>
        error === null ? resolve(reply) : reject(error),
      );
    });
  }

  async fails(method: string, request: object, options: CallOptions = {}): Promise<Failure> {
    try {
      await this.call(method, request, options);
    } catch (error) {
      return error as Failure;
    }
    throw invalid(`${method} was answered`);
  }
}

/** The little-endian bytes of numbers. */
export function rawOf(data: TypedArray): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** Strings in the raw form of BYTES. */
export function rawStrings(texts: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat(
    texts.flatMap((text) => {
      const bytes = Buffer.from(text as string);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );
}

const ramp = Int32Array.from({ length: 16 }, (_, i) => i);
const ones = new Int32Array(16).fill(1);

/** A request that `simple` answers. */
export function simpleRequest(changes: object = {}): Message {
  return {
    model_name: 'simple',
    inputs: [
      { name: 'INPUT0', datatype: 'INT32', shape: [1, 16] },
      { name: 'INPUT1', datatype: 'INT32', shape: [1, 16] },
    ],
    raw_input_contents: [rawOf(ramp), rawOf(ones)],
    ...changes,
  };
}

/** A request for a model with one input, with raw contents. */
export function oneInput(model: string, datatype: string, shape: readonly number[], raw: Buffer): Message {
  return { model_name: model, inputs: [{ name: 'IN', datatype, shape }], raw_input_contents: [raw] };
}

export function sizeOf(datatype: DataType): number {
  return bytesOf(datatype);
}
