/**
 * All methods that are served, by path: the same for every engine. The only file with the proto loader.
 *
 *   ModelInfer, ModelStreamInfer (own codec) ─▶ DataPlane.infer
 *   the other calls, health, reflection (proto loader) ─▶ DataPlane
 *
 * Must not know an engine, or the fields of tensors.
 */
import { fileURLToPath } from 'node:url';
import { loadSync, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import type { DataPlane } from '../core/inference.js';
import { createRequestIds } from '../core/request-id.js';
import type { Method } from './call.js';
import { createCalls } from './calls.js';
import { compressing } from './compression.js';
import { createFeedback } from './feedback.js';
import { Health } from './health.js';
import type { InferenceOptions } from './infer.js';
import { InferCall } from './infer-call.js';
import { InferStream } from './infer-stream.js';
import type { GrpcOptions } from './options.js';
import { exchangeMethod, unaryMethod, watchMethod } from './plain-method.js';
import { createReflection } from './reflection.js';

const protoDirectory = fileURLToPath(new URL('../../../proto/', import.meta.url));
const inferenceName = 'inference.GRPCInferenceService';
const healthName = 'grpc.health.v1.Health';
const feedbackName = 'sluice.Feedback';
const reflectionName = 'grpc.reflection.v1.ServerReflection';

export class Methods {
  readonly byPath: ReadonlyMap<string, Method>;
  readonly #plane: DataPlane;
  readonly #options: GrpcOptions;
  readonly #health: Health;
  readonly #streams = new Set<InferStream>();
  #isStopping = false;

  constructor(plane: DataPlane, options: GrpcOptions) {
    this.#plane = plane;
    this.#options = options;
    this.#health = new Health(plane);
    const loaded = loadSync(['inference.proto', 'health.proto', 'reflection.proto', 'sluice.proto'], {
      includeDirs: [protoDirectory],
      keepCase: true,
      longs: String,
      enums: String,
      oneofs: true,
      defaults: true,
    });
    const methods = [
      ...this.#inference(loaded[inferenceName] as ServiceDefinition),
      ...this.#feedback(loaded[feedbackName] as ServiceDefinition),
      ...this.#healthChecks(loaded[healthName] as ServiceDefinition),
      ...(options.hasReflection ? reflection(loaded[reflectionName] as ServiceDefinition) : []),
    ];
    this.byPath = new Map(methods.map((method) => [method.path, method]));
  }

  setServing(isServing: boolean): void {
    this.#health.setServing(isServing);
  }

  /** New requests are refused; what is outstanding is answered. */
  stop(): void {
    this.#isStopping = true;
    this.#health.setServing(false);
    this.#health.stop();
    for (const stream of this.#streams) stream.drain();
  }

  #inference(service: ServiceDefinition): Method[] {
    const { overloadStatus, requestTimeoutMs, typedElementsMax, stringsMax } = this.#options;
    const plane = this.#plane;
    const newId = createRequestIds({ epochMs: this.#options.epochNow, random: this.#options.random });
    const inference: InferenceOptions = { typedElementsMax, stringsMax, newId, isStopping: () => this.#isStopping };
    const options = { plane, inference, requestTimeoutMs, overloadStatus };
    const calls = createCalls(plane, { ...this.#options, isServing: () => this.#health.isServing });
    return Object.entries(service).flatMap(([name, method]) => {
      if (name === 'ModelInfer') return this.#infer(method.path, options);
      if (name === 'ModelStreamInfer') return this.#inferStream(method.path, options);
      const answer = calls[name];
      return answer === undefined ? [] : unaryMethod(method, answer, overloadStatus);
    });
  }

  #infer(path: string, options: ConstructorParameters<typeof InferCall>[0]): Method {
    const level = this.#options.responseCompression;
    return {
      path,
      isRequestStream: false,
      isResponseStream: false,
      open: (call) => new InferCall(options, compressing(call, level)),
    };
  }

  #inferStream(path: string, options: ConstructorParameters<typeof InferCall>[0]): Method {
    const level = this.#options.responseCompression;
    const withEnd = { ...options, onOver: (stream: InferStream) => this.#streams.delete(stream) };
    return {
      path,
      isRequestStream: true,
      isResponseStream: true,
      open: (call) => {
        const stream = new InferStream(withEnd, compressing(call, level));
        this.#streams.add(stream);
        if (this.#isStopping) stream.drain();
        return stream;
      },
    };
  }

  #feedback(service: ServiceDefinition): Method[] {
    return [unaryMethod(service.Give!, createFeedback(this.#plane), this.#options.overloadStatus)];
  }

  #healthChecks(service: ServiceDefinition): Method[] {
    const check = (request: { service: string }) => ({ status: this.#health.check(request.service) });
    return [unaryMethod(service.Check!, check, 429), watchMethod(service.Watch!, this.#health)];
  }
}

/** Under both names of the protocol: their messages are the same. */
function reflection(service: ServiceDefinition): Method[] {
  const method = service.ServerReflectionInfo as MethodDefinition<object, object>;
  const answer = createReflection(
    [inferenceName, healthName, reflectionName],
    method.requestType.fileDescriptorProtos as Buffer[],
  );
  return ['v1', 'v1alpha'].map((version) =>
    exchangeMethod({ ...method, path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo` }, answer),
  );
}
