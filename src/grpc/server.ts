/**
 * The gRPC listener: the only file with grpc-js and the proto loader.
 *
 *   call ─▶ bytes ─┬▶ Inference, InferStream (own codec) ─▶ DataPlane.infer
 *                  └▶ calls, Health (proto loader)       ─▶ DataPlane
 *
 * Messages are decoded in the handlers and not in grpc-js, which answers INTERNAL when a deserialiser throws. Errors become
 * statuses here and nowhere else.
 *
 * Must not know the fields of tensors.
 */
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import { GatewayError } from '../core/errors.js';
import type { DataPlane } from '../core/inference.js';
import { createRequestIds } from '../core/request-id.js';
import { createCalls, type UnaryCall } from './calls.js';
import { encodeReply } from './codec.js';
import { compressed, encodingOf, keepAcceptEncoding } from './compression.js';
import { gate } from './gate.js';
import { Health, type Watcher } from './health.js';
import type { InferenceOptions } from './infer.js';
import { type CallOptions, InferCall, isOverdue } from './infer-call.js';
import { leanOn } from './lean.js';
import { channelOptionsOf, type GrpcOptions } from './options.js';
import { type Decode, decoderOf } from './plain.js';
import { createReflection } from './reflection.js';
import { InferStream } from './stream.js';
import { first, peerOf, statusFor, termsOf } from './terms.js';

export interface GrpcDoor {
  readonly port: number;
  /** ModelInfer is answered without grpc-js. */
  readonly isLean: boolean;
  /** False from the first moment of a drain: health and ServerReady say so, requests are still served. */
  setServing(isServing: boolean): void;
  /** No new calls; those in flight may finish within the grace. */
  stop(graceMs: number): Promise<void>;
}

type Unary = grpc.ServerUnaryCall<Buffer, Buffer>;
type Duplex = grpc.ServerDuplexStream<Buffer, Buffer>;
type Respond = (status: Partial<grpc.StatusObject> | null, reply?: Buffer) => void;

const protoDirectory = fileURLToPath(new URL('../../../proto/', import.meta.url));
const nothing = Buffer.alloc(0);
const identity = (bytes: Buffer): Buffer => bytes;

/** @throws GatewayError when the port cannot be bound */
export async function listenGrpc(plane: DataPlane, options: GrpcOptions): Promise<GrpcDoor> {
  const door = new Listener(plane, options);
  await door.listen();
  return door;
}

class Listener implements GrpcDoor {
  port = 0;
  isLean = false;
  readonly #plane: DataPlane;
  readonly #options: GrpcOptions;
  readonly #inference: InferenceOptions;
  readonly #server: grpc.Server;
  readonly #health: Health;
  readonly #streams = new Set<InferStream>();
  readonly #calls: CallOptions;
  #isStopping = false;

  constructor(plane: DataPlane, options: GrpcOptions) {
    this.#plane = plane;
    this.#options = options;
    this.#health = new Health(plane);
    const newId = createRequestIds({ epochMs: options.epochNow, random: options.random });
    const { typedElementsMax, stringsMax, requestTimeoutMs, overloadStatus } = options;
    this.#inference = { typedElementsMax, stringsMax, newId, isStopping: () => this.#isStopping };
    this.#calls = { plane, inference: this.#inference, requestTimeoutMs, overloadStatus };
    if (options.responseCompression !== 'none') keepAcceptEncoding(grpc.Metadata);
    // The library writes what fails to the console as well; what it throws reaches our log.
    grpc.setLogVerbosity(grpc.logVerbosity.NONE);
    this.#server = new grpc.Server({ ...channelOptionsOf(options), interceptors: [this.#gated] });
    const loaded = loadSync(['inference.proto', 'health.proto', 'reflection.proto'], {
      includeDirs: [protoDirectory],
      keepCase: true,
      longs: String,
      enums: String,
      oneofs: true,
      defaults: true,
    });
    this.#addInference(loaded['inference.GRPCInferenceService'] as ServiceDefinition);
    this.#addHealth(loaded['grpc.health.v1.Health'] as ServiceDefinition);
    if (options.hasReflection) this.#addReflection(loaded['grpc.reflection.v1.ServerReflection'] as ServiceDefinition);
  }

  async listen(): Promise<void> {
    const address = `${this.#host()}:${this.#options.port}`;
    this.port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(new GatewayError('UNAVAILABLE', `gRPC port ${address} cannot be bound`, { cause: error }));
      });
    });
    const { responseCompression, messageBytesMax } = this.#options;
    if (responseCompression === 'none') this.isLean = leanOn(this.#server, { ...this.#calls, messageBytesMax });
  }

  /** Streams of requests pass the gate. */
  readonly #gated = (method: { readonly requestStream: boolean }, call: object): grpc.ServerInterceptingCall => {
    if (method.requestStream) gate(call as Parameters<typeof gate>[0], this.#options.streamInFlightMax);
    return call as grpc.ServerInterceptingCall;
  };

  setServing(isServing: boolean): void {
    this.#health.setServing(isServing);
  }

  stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    this.#health.setServing(false);
    this.#health.stop();
    for (const stream of this.#streams) stream.drain();
    // In this order: `drain` ends after the grace only what nobody has begun to close before it.
    this.#server.drain(`${this.#host()}:${this.port}`, graceMs);
    return new Promise((resolve) => this.#server.tryShutdown(() => resolve()));
  }

  #host(): string {
    const { host } = this.#options;
    return host.includes(':') ? `[${host}]` : host;
  }

  #addInference(service: ServiceDefinition): void {
    const definition: Record<string, object> = {};
    const handlers: grpc.UntypedServiceImplementation = {};
    const calls = createCalls(this.#plane, { ...this.#options, isServing: () => this.#health.isServing });
    for (const [name, method] of Object.entries(service)) {
      const isHot = name === 'ModelInfer' || name === 'ModelStreamInfer';
      definition[name] = { ...method, requestDeserialize: identity, ...(isHot ? { responseSerialize: identity } : {}) };
      if (!isHot) handlers[name] = this.#plain(calls[name]!, decoderOf(name, method)) as grpc.UntypedHandleCall;
    }
    handlers.ModelInfer = ((call: Unary, respond: Respond) => this.#infer(call, respond)) as grpc.UntypedHandleCall;
    handlers.ModelStreamInfer = ((call: Duplex) => this.#stream(call)) as grpc.UntypedHandleCall;
    this.#server.addService(definition as grpc.ServiceDefinition, handlers);
  }

  #infer(call: Unary, respond: Respond): void {
    const receivedAt = this.#plane.now();
    const terms = termsOf(call, receivedAt, this.#options.epochNow);
    const inferCall = new InferCall(this.#calls, terms, receivedAt, {
      reply: ({ requestId, model, version, id }, { outputs }) => {
        const reply = encodeReply({ modelName: model, modelVersion: version, id }, outputs);
        const metadata = metadataOf(requestId, model, version);
        if (this.#options.responseCompression === 'none') {
          call.sendMetadata(metadata);
          respond(null, reply);
        } else void this.#respondCompressed(call, respond, metadata, reply);
      },
      fail: (status, requestId) => respond({ ...status, metadata: metadataOf(requestId, '', '') }),
    });
    call.on('cancelled', () => inferCall.cancel());
    inferCall.run(call.request);
  }

  async #respondCompressed(call: Unary, respond: Respond, metadata: grpc.Metadata, reply: Buffer): Promise<void> {
    const level = this.#options.responseCompression;
    const encoding = encodingOf(call);
    const packed = encoding === undefined || level === 'none' ? reply : await compressed(reply, encoding, level);
    if (encoding !== undefined && packed !== reply) metadata.set('grpc-encoding', encoding);
    call.sendMetadata(metadata);
    respond(null, packed);
  }

  #stream(call: Duplex): void {
    const terms = termsOf(call, this.#plane.now(), this.#options.epochNow);
    const failsAtError = first(call, 'triton_grpc_error') === 'true';
    const { requestTimeoutMs, overloadStatus } = this.#options;
    const inOrder = this.#writer(call);
    const stream = new InferStream(
      this.#plane,
      this.#inference,
      { terms, failsAtError, requestTimeoutMs },
      {
        write: (message) => inOrder(message, (packed) => call.write(packed)),
        end: () => inOrder(nothing, () => call.end()),
        fail: (error) => {
          const status = statusFor(error, overloadStatus, isOverdue(this.#plane, terms.deadlineAt));
          inOrder(nothing, () => call.emit('error', status));
        },
      },
    );
    this.#streams.add(stream);
    call.on('data', (bytes: Buffer) => stream.take(bytes));
    call.on('end', () => stream.halfClose());
    call.on('cancelled', () => {
      this.#streams.delete(stream);
      stream.cancel();
    });
    if (this.#isStopping) stream.drain();
  }

  /** Hands messages on in order, compressed where the caller accepts it. */
  #writer(call: Duplex): (message: Buffer, then: (packed: Buffer) => void) => void {
    const level = this.#options.responseCompression;
    const encoding = encodingOf(call);
    if (level === 'none' || encoding === undefined) return (message, then) => then(message);
    const metadata = new grpc.Metadata();
    metadata.set('grpc-encoding', encoding);
    call.sendMetadata(metadata);
    let last: Promise<void> = Promise.resolve();
    return (message, then) => {
      const packed = compressed(message, encoding, level);
      last = last.then(async () => then(await packed));
    };
  }

  /** A unary call beside inference. */
  #plain(answer: UnaryCall, decode: Decode): (call: Unary, respond: Respond) => Promise<void> {
    return async (call, respond) => {
      try {
        const reply = await answer(decode(call.request), peerOf(call));
        respond(null, reply as Buffer);
      } catch (thrown) {
        respond(statusFor(GatewayError.from(thrown), this.#options.overloadStatus, true));
      }
    };
  }

  #addHealth(service: ServiceDefinition): void {
    const decode = decoderOf('Check', service.Check!);
    const definition = {
      Check: { ...service.Check, requestDeserialize: identity },
      Watch: { ...service.Watch, requestDeserialize: identity },
    };
    const check: UnaryCall = (request: { service: string }) => ({ status: this.#health.check(request.service) });
    this.#server.addService(definition as grpc.ServiceDefinition, {
      Check: this.#plain(check, decode) as grpc.UntypedHandleCall,
      Watch: ((call: grpc.ServerWritableStream<Buffer, object>) => {
        const watcher: Watcher = {
          send: (status) => call.write({ status }),
          end: () => call.emit('error', { code: grpc.status.UNAVAILABLE, details: 'server is shutting down' }),
        };
        call.on('cancelled', () => this.#health.unwatch(watcher));
        try {
          this.#health.watch((decode(call.request) as { service: string }).service, watcher);
        } catch (thrown) {
          call.emit('error', statusFor(GatewayError.from(thrown), 429, true));
        }
      }) as grpc.UntypedHandleCall,
    });
  }

  /** Under both names of the protocol: their messages are the same. */
  #addReflection(service: ServiceDefinition): void {
    const method = service.ServerReflectionInfo!;
    const names = ['inference.GRPCInferenceService', 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection'];
    const answer = createReflection(names, method.requestType.fileDescriptorProtos);
    const decode = decoderOf('ServerReflectionInfo', method);
    const handler = (call: grpc.ServerDuplexStream<Buffer, object>): void => {
      call.on('data', (bytes: Buffer) => {
        try {
          call.write(answer(decode(bytes)));
        } catch (thrown) {
          call.emit('error', statusFor(GatewayError.from(thrown), 429, true));
        }
      });
      call.on('end', () => call.end());
    };
    for (const version of ['v1', 'v1alpha']) {
      const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
      const definition = { ServerReflectionInfo: { ...method, path, requestDeserialize: identity } };
      this.#server.addService(definition as grpc.ServiceDefinition, {
        ServerReflectionInfo: handler as grpc.UntypedHandleCall,
      });
    }
  }
}

/** Empty = left out. */
function metadataOf(requestId: string, model: string, version: string): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (requestId !== '') metadata.set('x-request-id', requestId);
  if (model === '') return metadata;
  metadata.set('x-sluice-model', model);
  metadata.set('x-sluice-version', version);
  return metadata;
}
