/**
 * One inference over HTTP, from its head to its answer.
 *
 *   head → version → body → inflate → read → decode → DataPlane.infer → encode → compress → answer
 *
 * Every inference has one event: `infer` tells it, or, when it is not reached, `refuse` here.
 *
 * Must not know sockets or how a version is chosen.
 */
import { GatewayError, invalid } from '../core/errors.js';
import type { CallTerms, DataPlane, InferenceReply, Parameter, Selector } from '../core/inference.js';
import type { Version } from '../core/model.js';
import { isRequestId } from '../core/request-id.js';
import type { Assignment } from '../core/route.js';
import { serverTiming } from '../core/server-timing.js';
import type { Trace } from '../core/trace.js';
import { errorAnswer } from './answers.js';
import {
  type CodecOptions,
  decodeRequest,
  httpStatus,
  parametersOf,
  type ReplyForm,
  readRequest,
  type WireRequest,
} from './codec.js';
import { acceptedCoding, type Coding, deflateBody, inflateBody } from './compress.js';
import {
  addAssignment,
  codingOf,
  commonHeaders,
  errorHeaders,
  replyHeaders,
  requestIdOf,
  timeoutOf,
  UnsupportedCoding,
} from './inference-headers.js';
import { checkedLabel } from './paths.js';
import { encodeReply } from './reply.js';
import { wholeBody } from './response-bytes.js';
import type { BodyConsumer, Decision, Header, HttpRequest, HttpResponse } from './transport.js';

export interface InferenceOptions extends CodecOptions {
  /** Bytes of a body after inflation. */
  readonly bodyBytesMax: number;
  /** Smaller replies are not compressed. */
  readonly compressionBytesMin: number;
  /** Total time of a request; callers may only shorten it. */
  readonly requestTimeoutMs: number;
  /** What a full queue or quota is answered with. */
  readonly overloadStatus: 429 | 503;
  /** A request id for a caller that brings none. */
  readonly newId: () => string;
}

/** A timer may fire so much before the deadline that it was set for. */
const clockSlackMs = 2;

/** Decides what to do with an inference request before its body is read. */
export function decideInference(
  plane: DataPlane,
  options: InferenceOptions,
  request: HttpRequest,
  target: { readonly model: string; readonly selector: Selector },
): Decision | Promise<Decision> {
  const call = new InferenceCall(plane, options, request, target);
  try {
    call.readHead();
    const version = plane.find(target.model, target.selector);
    if (!(version instanceof Promise)) return call.on(version);
    return version.then(
      (opened) => call.on(opened),
      (thrown) => call.refuseWith(GatewayError.from(thrown)),
    );
  } catch (thrown) {
    return call.refuseWith(GatewayError.from(thrown));
  }
}

class InferenceCall implements BodyConsumer, CallTerms {
  /** Variant asked for, by header or parameter; empty = none. */
  variant = '';
  readonly #plane: DataPlane;
  readonly #options: InferenceOptions;
  readonly #request: HttpRequest;
  readonly #target: { readonly model: string; readonly selector: Selector };
  /** The id that reply, event and log share. */
  #id = '';
  #deadlineAt = Infinity;
  #coding: Coding | undefined;
  #version!: Version;
  #assignment: Assignment | undefined;
  #parameters: ReadonlyMap<string, Parameter> | undefined;
  #isTimed = false;
  #parseMs = 0;
  #trace: Trace | undefined;

  constructor(
    plane: DataPlane,
    options: InferenceOptions,
    request: HttpRequest,
    target: { readonly model: string; readonly selector: Selector },
  ) {
    this.#plane = plane;
    this.#options = options;
    this.#request = request;
    this.#target = target;
  }

  /** Looks at the headers. @throws INVALID_ARGUMENT */
  readHead(): void {
    const request = this.#request;
    this.#id = requestIdOf(request.header('x-request-id'));
    this.#deadlineAt =
      request.receivedAt + timeoutOf(request.header('x-sluice-timeout-ms'), this.#options.requestTimeoutMs);
    this.variant = request.header('x-sluice-variant') ?? '';
    this.#coding = codingOf(request.header('content-encoding'));
    this.#isTimed = request.header('x-sluice-timing') === '1';
  }

  on(version: Version): BodyConsumer {
    this.#version = version;
    return this;
  }

  consume(body: Buffer): HttpResponse | Promise<HttpResponse> {
    if (this.#coding === undefined) return this.#run(body);
    return inflateBody(this.#coding, body, this.#options.bodyBytesMax).then(
      (inflated) => this.#run(inflated),
      (thrown) => this.refuseWith(GatewayError.from(thrown)),
    );
  }

  refuse(status: number, error: GatewayError): HttpResponse {
    return this.#refused(error, status);
  }

  /** The answer to a request that never reached the model, and its event. */
  refuseWith(error: GatewayError): HttpResponse {
    return this.#refused(error, this.#statusOf(error));
  }

  #refused(error: GatewayError, status: number): HttpResponse {
    const { receivedAt } = this.#request;
    const { model } = this.#target;
    if (this.#id === '') this.#id = this.#options.newId();
    this.#trace ??= this.#plane.trace?.(model, this, receivedAt);
    this.#plane.refuse({ model, protocol: 'http', receivedAt, error, id: this.#id, trace: this.#trace });
    return this.#errorAnswer(error, status);
  }

  #errorAnswer(error: GatewayError, status: number): HttpResponse {
    const headers = errorHeaders(this.#id, error);
    if (this.#assignment !== undefined) addAssignment(headers, this.#assignment);
    return this.#sent(errorAnswer(error, status, headers));
  }

  #statusOf(error: GatewayError): number {
    const { overloadStatus } = this.#options;
    if (error instanceof UnsupportedCoding) return 415;
    const status = httpStatus(error);
    if (status === 429) return overloadStatus;
    // A timeout before the request's own deadline was the queue's (protocol D23).
    const isQueueTimeout = status === 504 && this.#plane.now() < this.#deadlineAt - clockSlackMs;
    return isQueueTimeout && overloadStatus === 503 ? 503 : status;
  }

  #run(body: Buffer): HttpResponse | Promise<HttpResponse> {
    try {
      const headerLength = this.#request.header('inference-header-content-length');
      const wire = readRequest(body, headerLength, this.#options, this.#target.model);
      this.#adoptId(wire.skeleton?.id ?? '');
      this.#trace = this.#plane.trace?.(this.#target.model, this, this.#request.receivedAt);
      if (this.#trace?.isSampled) this.#trace.routeAt = this.#plane.now();
      const version = this.#versionOf(wire);
      if (!(version instanceof Promise)) return this.#infer(wire, version);
      return version
        .then((opened) => this.#infer(wire, opened))
        .catch((thrown: unknown) => this.refuseWith(GatewayError.from(thrown)));
    } catch (thrown) {
      return this.refuseWith(GatewayError.from(thrown));
    }
  }

  /** The body's id stands before the header's; one that no header could carry is replaced. */
  #adoptId(id: string): void {
    if (id !== '') this.#id = isRequestId(id) ? id : this.#options.newId();
    else if (this.#id === '') this.#id = this.#options.newId();
  }

  /**
   * The model's route decides, when it has one, now that the parameters are known; else the version that was found before the
   * body. A label may also be a parameter; the path decides when it names a version or label itself.
   */
  #versionOf(wire: WireRequest): Version | Promise<Version> {
    const { label, variant, others } = parametersOf(wire);
    const { model, selector: named } = this.#target;
    const isNamed = label === '' || named.version !== undefined || named.label !== undefined;
    const selector = isNamed ? named : { label: checkedLabel(label) };
    if (variant !== '') this.variant = variant;
    this.#parameters = others;
    const assigned = this.#plane.assign(model, selector, this);
    if (assigned !== undefined) {
      this.#assignment = assigned.assignment;
      return assigned.version;
    }
    if (this.variant !== '') throw noVariant(this.variant, model);
    return isNamed ? this.#version : this.#plane.find(model, selector);
  }

  get requestId(): string {
    return this.#id;
  }

  header(name: string): string | undefined {
    return this.#request.header(name);
  }

  parameter(name: string): Parameter | undefined {
    return this.#parameters?.get(name);
  }

  #infer(wire: WireRequest, version: Version): Promise<HttpResponse> | HttpResponse {
    const plane = this.#plane;
    const trace = this.#trace;
    if (trace?.isSampled) trace.routedAt = plane.now();
    const { inputs, rows, outputs, form } = decodeRequest(version, wire, this.#options);
    if (trace?.isSampled) trace.parsed(inputs, plane.now());
    if (this.#isTimed) this.#parseMs = plane.now() - this.#request.receivedAt;
    const { others, priority, timeoutMs } = parametersOf(wire);
    const { receivedAt, cancellation } = this.#request;
    const reply = plane.infer({
      id: this.#id,
      model: this.#target.model,
      version,
      inputs,
      rows,
      outputs,
      parameters: others,
      priority,
      timeoutMs,
      receivedAt,
      deadlineAt: this.#deadlineAt,
      cancellation,
      protocol: 'http',
      assignment: this.#assignment,
      tenant: plane.tenant?.(this),
      trace,
    });
    return reply.then(
      (given) => this.#encoded(given, version, form),
      (thrown: unknown) => this.#failed(thrown),
    );
  }

  #encoded(reply: InferenceReply, version: Version, form: ReplyForm): HttpResponse | Promise<HttpResponse> {
    try {
      return this.#encode(reply, version, form);
    } catch (thrown) {
      return this.#failed(thrown);
    }
  }

  /** The request has had its event already. */
  #failed(thrown: unknown): HttpResponse {
    const error = GatewayError.from(thrown);
    return this.#errorAnswer(error, this.#statusOf(error));
  }

  #encode(reply: InferenceReply, version: Version, form: ReplyForm): HttpResponse | Promise<HttpResponse> {
    const trace = this.#trace;
    const startedAt = this.#isTimed || trace?.isSampled ? this.#plane.now() : 0;
    const { model } = this.#target;
    const assignment = this.#assignment;
    const { nonFinite } = this.#options;
    const { body, headerLength } = encodeReply(model, version, reply, { form, nonFinite, assignment });
    if (trace?.isSampled) {
      trace.encodes(reply.outputs, startedAt);
      trace.encodedAt = this.#plane.now();
    }
    const headers = replyHeaders(this.#id, headerLength);
    const common = commonHeaders(reply.version, headerLength !== undefined, assignment);
    if (this.#isTimed) headers.push(['Server-Timing', this.#timingText(reply, version, startedAt)]);
    const coding = acceptedCoding(this.#request.header('accept-encoding'));
    if (coding === undefined) return this.#sent({ status: 200, headers, common, body });
    return compressed(coding, { headers, common, body }, this.#options.compressionBytesMin).then((answer) =>
      this.#sent(answer),
    );
  }

  /** The drain may have begun since the request came. */
  #sent(answer: HttpResponse): HttpResponse {
    return this.#plane.state().isDraining ? { ...answer, isLast: true } : answer;
  }

  #timingText({ timing }: InferenceReply, version: Version, startedAt: number): string {
    const times = { parseMs: this.#parseMs, encodeMs: this.#plane.now() - startedAt };
    return serverTiming(timing, times, version.batch.rowsMax);
  }
}

function noVariant(variant: string, model: string): GatewayError {
  return invalid(`variant '${variant}' cannot be asked for: model '${model}' has no route that allows it`);
}

async function compressed(
  coding: Coding,
  { headers, common, body }: Pick<HttpResponse, 'headers' | 'common' | 'body'>,
  bytesMin: number,
): Promise<HttpResponse> {
  const bytes = wholeBody(body);
  if (bytes.length < bytesMin) return { status: 200, headers, common, body: bytes };
  const coded: Header = ['Content-Encoding', coding];
  return { status: 200, headers: [...headers, coded], common, body: await deflateBody(coding, bytes) };
}
