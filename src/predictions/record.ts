/**
 * An event's record, read back.
 *
 *   record ── eventOf ──▶ LoggedEvent ── rowsOf (rows.ts) ──▶ one row per item
 *
 * Must not know files or SQL.
 */
import type { Role } from './event.js';
import { EventReader } from './event-reader.js';
import { flags, headBytes, payloads, place, viewOf } from './layout.js';
import { type Payload, type PayloadTensor, payloadTensorOf } from './payload.js';
import { type KeptTensor, tensorsAt } from './tensor-bytes.js';

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

/** @param record from its head to its end */
export function eventOf(record: Buffer): LoggedEvent {
  const read = new EventReader().over({ bytes: record, view: viewOf(record) }, 0);
  return {
    seq: read.seq,
    subjectId: read.subjectId,
    role: read.role,
    attempt: read.attempt,
    isCacheHit: read.isCacheHit,
    isTruncated: read.isTruncated,
    isRedacted: read.isRedacted,
    tsUs: read.tsUs,
    latencyUs: read.latencyUs,
    queueUs: read.queueUs,
    upstreamUs: read.upstreamUs,
    batchSize: read.batchSize,
    status: read.status,
    items: read.items,
    inputBytes: read.inputBytes,
    outputBytes: read.outputBytes,
    sampleRate: read.sampleRate,
    payloadRate: read.payloadRate,
    score: read.score,
    unitKeyHash: read.unitKeyHash,
    unit: read.unit,
    requestId: read.requestId,
    clientRequestId: read.clientRequestId,
    traceId: read.traceId,
    parentRequestId: read.parentRequestId,
    errorCode: read.errorCode,
    prediction: read.prediction,
    contentType: read.contentType,
    route: read.route,
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

/** A copy of the record with this instead of what it had. */
export function withPayload(record: Buffer, payload: Payload): Buffer {
  const text = Buffer.from(JSON.stringify(payload));
  const start = payloadStart(record);
  const copy = Buffer.alloc(start + 1 + text.length);
  record.copy(copy, 0, 0, start);
  copy[start] = payloads.json;
  text.copy(copy, start + 1);
  copy[place.flags]! &= ~flags.tapOnly;
  copy[place.flags]! |= flags.redacted;
  copy.writeUInt32LE(copy.length - headBytes, 0);
  return copy;
}
