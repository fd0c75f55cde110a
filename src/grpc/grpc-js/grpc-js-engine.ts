/**
 * The engine of the library: for whoever prefers it, and the measure of what our own must do. The only files with grpc-js are
 * this and its call.
 *
 * Messages are passed on as bytes, for grpc-js answers INTERNAL when a deserialiser throws.
 *
 * Must not know what messages mean.
 */
import * as grpc from '@grpc/grpc-js';
import type { DoorLoad } from '../../core/door-load.js';
import type { DataPlane } from '../../core/inference.js';
import type { Method } from '../call.js';
import type { Engine } from '../engine.js';
import type { Methods } from '../methods.js';
import { channelOptionsOf, type GrpcOptions } from '../options.js';
import { gate } from './gate.js';
import { type Clocks, type Ends, GrpcJsCall, keepAcceptEncoding, type LibraryCall } from './grpc-js-call.js';

type Unary = grpc.ServerUnaryCall<Buffer, Buffer>;
type Duplex = grpc.ServerDuplexStream<Buffer, Buffer>;
type Writable = grpc.ServerWritableStream<Buffer, Buffer>;

const identity = (bytes: Buffer): Buffer => bytes;

export class GrpcJsEngine implements Engine {
  readonly name = 'grpc-js';
  /** The library does not tell. */
  readonly load: DoorLoad = { connections: undefined, requestBytes: undefined, responseBytes: undefined };
  readonly #clocks: Clocks;
  readonly #inFlightMax: number;
  readonly #server: grpc.Server;
  #address = '';

  constructor(plane: DataPlane, methods: Methods, options: GrpcOptions) {
    this.#clocks = { now: plane.now, epochNow: options.epochNow };
    this.#inFlightMax = options.streamInFlightMax;
    if (options.responseCompression !== 'none') keepAcceptEncoding(grpc.Metadata);
    // The library writes what fails to the console as well; what it throws reaches our log.
    grpc.setLogVerbosity(grpc.logVerbosity.NONE);
    this.#server = new grpc.Server({ ...channelOptionsOf(options), interceptors: [this.#gated] });
    const all = [...methods.byPath.values()];
    const definition = all.map((method) => [method.path, definitionOf(method)]);
    const handlers = all.map((method) => [method.path, this.#handlerOf(method)]);
    this.#server.addService(Object.fromEntries(definition), Object.fromEntries(handlers));
  }

  listen(host: string, port: number): Promise<number> {
    const name = host.includes(':') ? `[${host}]` : host;
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(`${name}:${port}`, grpc.ServerCredentials.createInsecure(), (error, bound) => {
        this.#address = `${name}:${bound}`;
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
  }

  stop(graceMs: number): Promise<void> {
    // In this order: `drain` ends after the grace only what nobody has begun to close before it.
    this.#server.drain(this.#address, graceMs);
    return new Promise((resolve) => this.#server.tryShutdown(() => resolve()));
  }

  /** Streams of requests pass the gate. */
  readonly #gated = (method: { readonly requestStream: boolean }, call: object): grpc.ServerInterceptingCall => {
    if (method.requestStream) gate(call as Parameters<typeof gate>[0], this.#inFlightMax);
    return call as grpc.ServerInterceptingCall;
  };

  #handlerOf(method: Method): grpc.UntypedHandleCall {
    if (method.isRequestStream) return ((call: Duplex) => this.#exchange(method, call)) as grpc.UntypedHandleCall;
    if (method.isResponseStream) return ((call: Writable) => this.#watch(method, call)) as grpc.UntypedHandleCall;
    return ((call: Unary, respond: grpc.sendUnaryData<Buffer>) =>
      this.#unary(method, call, respond)) as grpc.UntypedHandleCall;
  }

  #unary(method: Method, call: Unary, respond: grpc.sendUnaryData<Buffer>): void {
    const user = method.open(
      this.#wrap(call, { send: (message) => respond(null, message), finish() {}, fail: (status) => respond(status) }),
    );
    call.on('cancelled', () => user.cancel());
    user.message(call.request);
  }

  #watch(method: Method, call: Writable): void {
    const user = method.open(this.#wrap(call, streamEnds(call)));
    call.on('cancelled', () => user.cancel());
    user.message(call.request);
  }

  #exchange(method: Method, call: Duplex): void {
    const user = method.open(this.#wrap(call, streamEnds(call)));
    call.on('data', (bytes: Buffer) => user.message(bytes));
    call.on('end', () => user.end());
    call.on('cancelled', () => user.cancel());
  }

  #wrap(call: LibraryCall, ends: Ends): GrpcJsCall {
    return new GrpcJsCall(call, ends, this.#clocks);
  }
}

function streamEnds(call: Writable | Duplex): Ends {
  return {
    send: (message) => call.write(message),
    finish: () => call.end(),
    fail: (status) => call.emit('error', status),
  };
}

function definitionOf({ path, isRequestStream, isResponseStream }: Method): grpc.MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream: isRequestStream,
    responseStream: isResponseStream,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
}
