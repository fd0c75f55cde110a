/**
 * An event's record, read back.
 *
 *   record ── eventOf ──▶ LoggedEvent ── rowsOf (rows.ts) ──▶ one row per item
 *
 * Must not know files or SQL.
 */
import type { Role } from './event.js';
import { flags, headBytes, marks, noText, payloads, place, roles, seqOf } from './layout.js';
import { type Payload, type PayloadTensor, payloadTensorOf } from './payload.js';
import { type KeptTensor, tensorsAt } from './tensor-bytes.js';
import { unitKeyHashOf, unitOf } from './unit-key.js';

export interface LoggedEvent {
  readonly seq: number;
  readonly subjectId: number;
  readonly role: Role;
  readonly attempt: number;
  readonly isCacheHit: boolean;
  readonly isTruncated: boolean;
  readonly isRedacted: boolean;
  readonly tsUs: number;
  readonly latencyUs: number;
  readonly queueUs: number;
  readonly upstreamUs: number;
  readonly batchSize: number;
  readonly status: number;
  readonly items: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly sampleRate: number;
  readonly payloadRate: number;
  readonly score: number | undefined;
  /** Once the key of the unit is hashed. */
  readonly unitKeyHash: string | undefined;
  /** The key of the unit as a number, until it is hashed. */
  readonly unit: number | undefined;
  readonly requestId: string;
  readonly clientRequestId: string | undefined;
  readonly traceId: string | undefined;
  readonly parentRequestId: string | undefined;
  readonly errorCode: string | undefined;
  readonly prediction: string | undefined;
  readonly contentType: string | undefined;
  readonly route: LoggedRoute | undefined;
}

export interface LoggedRoute {
  readonly experiment: string;
  readonly phase: number;
  readonly assigned: string;
  readonly served: string;
  readonly reason: string;
  readonly isSticky: boolean;
}

/** Reads texts one after the other. */
class Texts {
  readonly #record: Buffer;
  #at: number = place.texts;

  constructor(record: Buffer) {
    this.#record = record;
  }

  next(): string | undefined {
    const length = this.#record.readUInt16LE(this.#at);
    const start = this.#at + 2;
    this.#at = length === noText ? start : start + length;
    return length === noText ? undefined : this.#record.toString('utf8', start, this.#at);
  }
}

/** @param record from its head to its end */
export function eventOf(record: Buffer): LoggedEvent {
  const bits = record[place.flags]!;
  const has = (bit: number) => (bits & bit) !== 0;
  const texts = new Texts(record);
  const score = has(flags.score) ? record.readDoubleLE(place.score) : undefined;
  const isScorePrediction = (record[place.marks]! & marks.scoreIsPrediction) !== 0;
  const predictionIn = (text: string | undefined) => (isScorePrediction ? String(score) : text);
  return {
    seq: seqOf(record),
    subjectId: record.readUInt32LE(place.subject),
    role: roles[record[place.role]!] ?? 'primary',
    attempt: record[place.attempt]!,
    isCacheHit: has(flags.cacheHit),
    isTruncated: has(flags.truncated),
    isRedacted: has(flags.redacted),
    tsUs: record.readDoubleLE(place.ts),
    latencyUs: record.readUInt32LE(place.latency),
    queueUs: record.readUInt32LE(place.queue),
    upstreamUs: record.readUInt32LE(place.upstream),
    batchSize: record.readUInt16LE(place.batchSize),
    status: record.readUInt16LE(place.status),
    items: record.readUInt32LE(place.items),
    inputBytes: record.readUInt32LE(place.inputBytes),
    outputBytes: record.readUInt32LE(place.outputBytes),
    sampleRate: record.readDoubleLE(place.sampleRate),
    payloadRate: record.readDoubleLE(place.payloadRate),
    score,
    unitKeyHash: unitKeyHashOf(record),
    unit: unitOf(record),
    requestId: texts.next() ?? '',
    clientRequestId: texts.next(),
    traceId: texts.next(),
    parentRequestId: texts.next(),
    errorCode: texts.next(),
    prediction: predictionIn(texts.next()),
    contentType: texts.next(),
    route: has(flags.assignment)
      ? {
          experiment: texts.next() ?? '',
          phase: record.readUInt32LE(place.phase),
          assigned: texts.next() ?? '',
          served: texts.next() ?? '',
          reason: texts.next() ?? '',
          isSticky: has(flags.sticky),
        }
      : undefined,
  };
}

/** Where the payload begins: its first byte says what it is. */
export function payloadStart(record: Buffer): number {
  return place.texts + record.readUInt32LE(place.textBytes);
}

export interface KeptTensors {
  readonly inputs: readonly KeptTensor[];
  readonly outputs: readonly KeptTensor[];
}

/** Inputs and outputs in their own types; undefined when they did not come along. */
export function tensorsOf(record: Buffer): KeptTensors | undefined {
  const start = payloadStart(record);
  if (record[start] !== payloads.tensors) return undefined;
  const inputs = tensorsAt(record, start + 1);
  return { inputs: inputs.tensors, outputs: tensorsAt(record, inputs.end).tensors };
}

/** Inputs and outputs as they were kept; undefined when they were not. */
export function payloadOf(record: Buffer): Payload | undefined {
  const start = payloadStart(record);
  if (record[start] === payloads.json) return JSON.parse(record.toString('utf8', start + 1)) as Payload;
  const tensors = tensorsOf(record);
  if (tensors === undefined) return undefined;
  const cells = (side: readonly KeptTensor[]): PayloadTensor[] => side.map(payloadTensorOf);
  return { inputs: cells(tensors.inputs), outputs: cells(tensors.outputs) };
}

/** A copy of the record with nothing of its inputs and outputs. */
export function withoutPayload(record: Buffer): Buffer {
  return rebuilt(record, payloads.none, Buffer.alloc(0));
}

/** A copy of the record with this instead of what it had. */
export function withPayload(record: Buffer, payload: Payload): Buffer {
  const copy = rebuilt(record, payloads.json, Buffer.from(JSON.stringify(payload)));
  copy[place.flags]! |= flags.redacted;
  return copy;
}

function rebuilt(record: Buffer, form: number, payload: Buffer): Buffer {
  const start = payloadStart(record);
  const copy = Buffer.alloc(start + 1 + payload.length);
  record.copy(copy, 0, 0, start);
  copy[start] = form;
  payload.copy(copy, start + 1);
  copy[place.flags]! &= ~flags.tapOnly;
  copy.writeUInt32LE(copy.length - headBytes, 0);
  return copy;
}
