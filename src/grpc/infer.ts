/**
 * One inference, from the bytes of a ModelInferRequest to its reply: the same for a unary call and for a stream.
 *
 *   bytes → decode → which version → inputs checked and converted → DataPlane.infer → classes → outputs
 *
 * An inference that ends before `infer` is called is reported by `refuse`, so that every one has its event.
 *
 * Must not know the gRPC library or how replies travel.
 */
import { classify } from '../core/classification.js';
import { GatewayError, invalid } from '../core/errors.js';
import type {
  CallTerms,
  Cancellation,
  DataPlane,
  InferenceRequest,
  Parameter,
  Selector,
  Timing,
} from '../core/inference.js';
import { isModelName, type Version } from '../core/model.js';
import { checkedModel, checkedVersion } from '../core/relay.js';
import type { Assignment } from '../core/route.js';
import type { Tensor } from '../core/tensor.js';
import type { Trace } from '../core/trace.js';
import { requestedOf, tensorsOf } from './codec.js';
import { decodeMessage, type InferMessage, type MessageLimits, type OutputMessage } from './message.js';
import { wishesOf } from './parameters.js';
import type { Terms } from './terms.js';

/** Who waits for this request, and until when. */
export interface Caller {
  readonly terms: Terms;
  readonly receivedAt: number;
  /** On the clock of `DataPlane.now`: the shortest of all limits. */
  readonly deadlineAt: number;
  readonly cancellation: Cancellation;
  /** It asks where the time went. */
  readonly isTimed: boolean;
}

export interface InferenceOptions extends MessageLimits {
  readonly newId: () => string;
  /** New requests are refused: the listener is closing. */
  readonly isStopping: () => boolean;
}

export const stoppingText = 'GRPC server is shutting down and has stopped accepting new requests.';

export interface Answer {
  /** The one that answered, which a route may have chosen. */
  readonly model: string;
  readonly version: string;
  readonly outputs: readonly Tensor[];
  readonly assignment: Assignment | undefined;
  readonly timing: Timing;
  readonly rowsMax: number;
}

/** One request on its way; what is known of it stays readable when it fails. */
export class Inference implements CallTerms {
  message: InferMessage | undefined = undefined;
  /** The effective id, as soon as it is known. */
  requestId = '';
  /** Its place in a trace, as soon as the id is known. */
  trace: Trace | undefined = undefined;
  /** From arrival until the inputs were tensors; known only when the caller asks. */
  parseMs = 0;
  readonly #plane: DataPlane;
  readonly #options: InferenceOptions;
  readonly #caller: Caller;

  constructor(plane: DataPlane, options: InferenceOptions, caller: Caller) {
    this.#plane = plane;
    this.#options = options;
    this.#caller = caller;
    this.requestId = caller.terms.requestId;
  }

  /** @throws GatewayError only */
  async run(bytes: Buffer): Promise<Answer> {
    let request: InferenceRequest;
    try {
      const message = this.#decode(bytes);
      this.trace = this.#plane.trace?.(message.modelName, this, this.#caller.receivedAt);
      const trace = this.trace;
      if (trace?.isSampled) trace.routeAt = this.#plane.now();
      const wishes = wishesOf(message.parameters);
      const selector = selectorOf(message, wishes.label);
      const assigned = this.#plane.assign(message.modelName, selector, this);
      if (assigned === undefined && this.variant !== '') throw noVariant(this.variant, message.modelName);
      const found = assigned?.version ?? this.#plane.find(message.modelName, selector);
      const version = found instanceof Promise ? await found : found;
      if (trace?.isSampled) trace.routedAt = this.#plane.now();
      checkOutputs(message.outputs, version);
      const { inputs, rows } = tensorsOf(message, version, this.#options);
      if (trace?.isSampled) trace.parsed(inputs, this.#plane.now());
      if (this.#caller.isTimed) this.parseMs = this.#plane.now() - this.#caller.receivedAt;
      request = {
        id: this.requestId,
        model: message.modelName,
        version,
        inputs,
        rows,
        outputs: requestedOf(message),
        parameters: message.parameters,
        priority: wishes.priority,
        timeoutMs: wishes.timeoutMs,
        receivedAt: this.#caller.receivedAt,
        deadlineAt: this.#caller.deadlineAt,
        cancellation: this.#caller.cancellation,
        protocol: 'grpc',
        assignment: assigned?.assignment,
        tenant: this.#plane.tenant?.(this),
        trace,
      };
    } catch (thrown) {
      throw this.#refuse(GatewayError.from(thrown));
    }
    return this.#answer(request);
  }

  #decode(bytes: Buffer): InferMessage {
    if (this.#options.isStopping()) throw new GatewayError('UNAVAILABLE', stoppingText, { reason: 'draining' });
    if (this.#caller.terms.fault !== undefined) throw this.#caller.terms.fault;
    const message = decodeMessage(bytes, this.#options);
    this.message = message;
    if (message.id !== '') this.requestId = message.id;
    else if (this.requestId === '') this.requestId = this.#options.newId();
    checkedModel(message.modelName);
    checkedVersion(message.modelVersion);
    return message;
  }

  /** Variant asked for, by parameter or metadata; empty = none. */
  get variant(): string {
    const asked = this.parameter('sluice_variant') as string | undefined;
    return asked || this.#caller.terms.variant;
  }

  header(name: string): string | undefined {
    return this.#caller.terms.text(name) || undefined;
  }

  parameter(name: string): Parameter | undefined {
    return this.message?.parameters.get(name);
  }

  #refuse(error: GatewayError): GatewayError {
    const name = this.message?.modelName ?? '';
    const model = isModelName(name) ? name : '';
    if (this.requestId === '') this.requestId = this.#options.newId();
    const { receivedAt } = this.#caller;
    this.trace ??= this.#plane.trace?.(model, this, receivedAt);
    this.#plane.refuse({ model, protocol: 'grpc', receivedAt, error, id: this.requestId, trace: this.trace });
    return error;
  }

  async #answer(request: InferenceRequest): Promise<Answer> {
    try {
      const reply = await this.#plane.infer(request);
      if (request.trace?.isSampled) request.trace.encodes(reply.outputs, this.#plane.now());
      const { outputs } = this.message!;
      const { model, version } = reply.version;
      const { assignment } = request;
      const { timing } = reply;
      const { rowsMax } = request.version.batch;
      if (outputs.length === 0) return { model, version, outputs: reply.outputs, assignment, timing, rowsMax };
      const classes = reply.outputs.map((output) => classesOf(output, outputs, request.version));
      return { model, version, outputs: classes, assignment, timing, rowsMax };
    } catch (thrown) {
      throw GatewayError.from(thrown);
    }
  }
}

function noVariant(variant: string, model: string): GatewayError {
  return invalid(`variant '${variant}' cannot be asked for: model '${model}' has no route that allows it`);
}

function selectorOf(message: InferMessage, label: string | undefined): Selector {
  if (message.modelVersion !== '') return { version: message.modelVersion };
  return label === undefined ? noSelector : { label };
}

const noSelector: Selector = {};

/** What can be said about the form of outputs before the model runs. */
function checkOutputs(outputs: readonly OutputMessage[], version: Version): void {
  for (const { name, classes, isShared } of outputs) {
    if (isShared) throw new GatewayError('UNIMPLEMENTED', 'shared memory is not supported');
    if (classes === undefined) continue;
    if (!Number.isSafeInteger(classes) || (classes as number) < 1) {
      throw invalid(`invalid value for classification of output '${name}', expected an integer > 0, got ${classes}`);
    }
    const datatype = version.signature.outputs.find((output) => output.name === name)?.datatype;
    if (datatype === 'BYTES' || datatype === 'FP16' || datatype === 'BF16') {
      throw invalid(`class result not available for output due to unsupported type '${datatype}'`);
    }
  }
}

function classesOf(tensor: Tensor, outputs: readonly OutputMessage[], version: Version): Tensor {
  const classes = outputs.find((output) => output.name === tensor.name)?.classes;
  if (classes === undefined) return tensor;
  return classify(tensor, classes as number, version.batch.rowsMax > 0, version.labels[tensor.name] ?? []);
}
