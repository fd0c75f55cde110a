/**
 * A traced request as spans: the values of one OTLP document.
 *
 *   infer MODEL ├── parse ─┬ route
 *               ├── queue
 *               ├── batch ── infer
 *               └── encode
 *
 * They are made when they are sent, of numbers that exist anyway. The parts of a batch are those of the whole batch, which is
 * what each of its requests waited for.
 *
 * Must not know when they are sent, or where to.
 */
import type { Code } from '../core/errors.js';
import type { InferenceEvent } from '../core/events.js';
import type { Trace } from '../core/trace.js';
import type { NewId } from './span-ids.js';

/** What a finished request left. Its `trace` may still be told when the reply was encoded. */
export interface SpanRecord {
  readonly trace: Trace;
  readonly requestId: string;
  readonly event: InferenceEvent;
  /** What turns the trace's times into milliseconds since the epoch. */
  readonly epochOffsetMs: number;
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue: string } | { readonly intValue: string };
}

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly flags: number;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status?: { readonly code: number };
}

const internalKind = 1;
const serverKind = 2;
const errorStatus = 2;
/** Sampled, and it is known whether the parent is elsewhere. */
const sampledFlags = 0x101;
const remoteParentFlag = 0x200;

/** Those that OpenTelemetry counts as the server's fault; the others are the caller's. */
const faults: ReadonlySet<Code> = new Set(['DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE']);

export function attribute(key: string, value: string | number): Attribute {
  return { key, value: typeof value === 'number' ? { intValue: `${value}` } : { stringValue: value } };
}

export function spansOf(record: SpanRecord, newId: NewId): Span[] {
  const { trace, event } = record;
  const spans = new RequestSpans(record, newId);
  const startAt = trace.receivedAt;
  const endAt = startAt + event.durationMs;
  const requestId = spans.addRequest(startAt, Math.max(endAt, trace.encodedAt));
  // A refused request ends in whatever it had reached.
  const parsedAt = trace.parsedAt === 0 ? endAt : trace.parsedAt;
  const parseId = spans.add('parse', requestId, startAt, parsedAt);
  if (trace.routeAt > 0) spans.add('route', parseId, trace.routeAt, trace.routedAt === 0 ? endAt : trace.routedAt);
  if (trace.parsedAt === 0) return spans.all;
  if (event.timing === undefined) {
    spans.add('queue', requestId, parsedAt, endAt);
    return spans.all;
  }
  const { queueMs, inputMs, inferMs, outputMs, batchRows } = event.timing;
  const batchAt = parsedAt + queueMs;
  const inferAt = batchAt + inputMs;
  spans.add('queue', requestId, parsedAt, batchAt);
  const batch = [attribute('batch.size', batchRows)];
  const batchId = spans.add('batch', requestId, batchAt, inferAt + inferMs + outputMs, batch);
  spans.add('infer', batchId, inferAt, inferAt + inferMs, batch);
  if (trace.encodedAt > 0) spans.add('encode', requestId, trace.encodeAt, trace.encodedAt);
  return spans.all;
}

class RequestSpans {
  readonly all: Span[] = [];
  readonly #record: SpanRecord;
  readonly #newId: NewId;
  readonly #model: readonly Attribute[];

  constructor(record: SpanRecord, newId: NewId) {
    this.#record = record;
    this.#newId = newId;
    const { model, version } = record.event;
    this.#model = [
      attribute('model', model),
      ...(version === undefined ? [] : [attribute('version', version.version)]),
    ];
  }

  /** @returns the id of the new span */
  addRequest(startAt: number, endAt: number): string {
    const { trace, event } = this.#record;
    const spanId = this.#newId(8);
    this.all.push({
      traceId: trace.traceId,
      spanId,
      ...(trace.parentId === '' ? {} : { parentSpanId: trace.parentId }),
      ...(trace.state === '' ? {} : { traceState: trace.state }),
      flags: trace.parentId === '' ? sampledFlags : sampledFlags | remoteParentFlag,
      name: `infer ${event.model}`,
      kind: serverKind,
      startTimeUnixNano: this.#nanosOf(startAt),
      endTimeUnixNano: this.#nanosOf(endAt),
      attributes: [...this.#model, ...requestAttributes(this.#record)],
      ...(event.code !== 'OK' && faults.has(event.code) ? { status: { code: errorStatus } } : {}),
    });
    return spanId;
  }

  /** @returns the id of the new span */
  add(name: string, parentSpanId: string, startAt: number, endAt: number, more: readonly Attribute[] = []): string {
    const { traceId, state } = this.#record.trace;
    const spanId = this.#newId(8);
    this.all.push({
      traceId,
      spanId,
      parentSpanId,
      ...(state === '' ? {} : { traceState: state }),
      flags: sampledFlags,
      name,
      kind: internalKind,
      startTimeUnixNano: this.#nanosOf(startAt),
      endTimeUnixNano: this.#nanosOf(Math.max(startAt, endAt)),
      attributes: [...this.#model, ...more],
    });
    return spanId;
  }

  /** To the microsecond, which is what a double holds of a time since the epoch. */
  #nanosOf(at: number): string {
    return `${Math.round((at + this.#record.epochOffsetMs) * 1000)}000`;
  }
}

function requestAttributes({ trace, event, requestId }: SpanRecord): Attribute[] {
  const { protocol, code, reason, rows, assignment } = event;
  const call =
    protocol === 'http'
      ? [attribute('http.request.method', 'POST')]
      : [attribute('rpc.system', 'grpc'), attribute('rpc.service', 'inference.GRPCInferenceService')];
  const attributes = [
    ...call,
    attribute('sluice.request_id', requestId),
    attribute('sluice.code', code),
    attribute('sluice.rows', rows),
  ];
  if (trace.inputs !== '') attributes.push(attribute('sluice.inputs', trace.inputs));
  if (trace.outputs !== '') attributes.push(attribute('sluice.outputs', trace.outputs));
  if (code !== 'OK') attributes.push(attribute('error.type', reason ?? code));
  if (assignment === undefined) return attributes;
  const { experiment, variant, reason: rule } = assignment;
  attributes.push(attribute('sluice.experiment', experiment), attribute('sluice.reason', rule));
  if (variant !== '') attributes.push(attribute('sluice.variant', variant));
  return attributes;
}
