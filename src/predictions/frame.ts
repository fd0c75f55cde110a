/**
 * Writes one event into a chunk. This runs on the serving thread, once per request: no JSON, and no allocation but what the
 * engine needs for a text that was put together (its characters are made contiguous when they are first read).
 *
 * `frameBytesMax` says beforehand how much an event may take, so that nothing is checked while it is written.
 *
 * Must not know chunks' owners, numbers' origin or sampling.
 */
import type { Chunk } from './chunk.js';
import type { PredictionEvent } from './event.js';
import { flags, headBytes, kinds, marks, payloads, place, putSeq, roles, textCharsMax } from './layout.js';
import { putRoute } from './route-texts.js';
import { payloadBytesMax, putPayload } from './tensor-bytes.js';
import { forgetCut, isCut, putText } from './text-bytes.js';
import { putUnitKey, unitKeyBytesMax } from './unit-key.js';
import { slackBytes } from './words.js';

/** What is decided of an event before it is written. */
export interface FrameTerms {
  readonly sampleRate: number;
  readonly payloadRate: number;
  /** Inputs and outputs go along. */
  readonly withPayload: boolean;
  /** … but only for the tap. */
  readonly isTapOnly: boolean;
}

const textCount = 11;
/** Of a number as text. */
const numberCharsMax = 32;
const reasonBytesMax = 32;
/** UTF-8 takes at most three bytes for each unit of UTF-16. */
const bytesPerChar = 3;

function room(text: string | undefined): number {
  if (text === undefined) return 0;
  return bytesPerChar * (text.length < textCharsMax ? text.length : textCharsMax);
}

/** Bytes that the event cannot exceed. */
export function frameBytesMax(event: PredictionEvent, withPayload: boolean, tensorBytesMax: number): number {
  const { assignment } = event;
  let bytes = place.texts + 2 * textCount + 8 + numberCharsMax;
  bytes += room(event.requestId) + room(event.clientRequestId) + room(event.traceId) + room(event.parentRequestId);
  bytes += room(event.errorCode) + room(event.contentType);
  if (typeof event.prediction === 'string') bytes += room(event.prediction);
  if (assignment !== undefined) {
    bytes += room(assignment.experiment) + room(assignment.assigned) + room(assignment.variant);
    bytes += reasonBytesMax + slackBytes + unitKeyBytesMax(assignment.key);
  }
  if (withPayload) bytes += payloadBytesMax(event, event.subject, tensorBytesMax);
  return bytes;
}

const uint16Max = 0xffff;
const int32Max = 0x7fffffff;

/** A non-negative whole number that fits an int32: clocks that step must not wrap around. */
function clamped(value: number): number {
  return value > 0 ? (value < int32Max ? value : int32Max) : 0;
}

/**
 * @param at where the record begins; `frameBytesMax` bytes must be free there
 * @returns where it ends
 */
export function putEvent(
  chunk: Chunk,
  at: number,
  seq: number,
  event: PredictionEvent,
  terms: FrameTerms,
  tensorBytesMax: number,
): number {
  const { view } = chunk;
  const { assignment, prediction, score, subject } = event;
  const key = assignment?.key;
  const hides = subject.hidesPrediction;
  forgetCut();
  view.setUint32(at + 4, 0, true);
  putSeq(view, at + 8, seq);
  view.setUint8(at + place.kind, kinds.event);
  view.setUint8(at + place.role, event.role === 'primary' ? 0 : roles.indexOf(event.role));
  view.setUint8(at + place.attempt, event.attempt);
  view.setUint32(at + place.subject, subject.record.id, true);
  view.setFloat64(at + place.ts, event.tsUs, true);
  view.setUint32(at + place.latency, clamped(event.latencyUs), true);
  view.setUint32(at + place.queue, clamped(event.queueUs), true);
  view.setUint32(at + place.upstream, clamped(event.upstreamUs), true);
  view.setUint16(at + place.batchSize, event.batchSize < uint16Max ? event.batchSize : uint16Max, true);
  view.setUint16(at + place.status, event.status, true);
  view.setUint32(at + place.items, event.items, true);
  view.setUint32(at + place.inputBytes, clamped(event.inputBytes), true);
  view.setUint32(at + place.outputBytes, clamped(event.outputBytes), true);
  view.setFloat64(at + place.sampleRate, terms.sampleRate, true);
  view.setFloat64(at + place.payloadRate, terms.payloadRate, true);
  let bits = event.isCacheHit ? flags.cacheHit : 0;
  if (score !== undefined && !hides) {
    bits |= flags.score;
    view.setFloat64(at + place.score, score, true);
  } else view.setFloat64(at + place.score, 0, true);
  // The text of a number costs as much as the rest of a row: whoever reads makes it.
  const scoreIsPrediction = typeof prediction === 'number' && !hides && prediction === score;
  view.setUint32(at + place.marks, scoreIsPrediction ? marks.scoreIsPrediction : 0, true);
  let phase = 0;
  let unit = 0;
  let end = at + place.texts;
  end = putText(chunk, end, event.requestId);
  end = putText(chunk, end, event.clientRequestId);
  end = putText(chunk, end, event.traceId);
  end = putText(chunk, end, event.parentRequestId);
  end = putText(chunk, end, event.errorCode);
  end = putText(chunk, end, hides || scoreIsPrediction || prediction === undefined ? undefined : String(prediction));
  end = putText(chunk, end, event.contentType);
  if (assignment !== undefined) {
    bits |= assignment.isSticky ? flags.assignment | flags.sticky : flags.assignment;
    phase = assignment.phase;
    if (key !== undefined) {
      bits |= flags.unitKey;
      unit = assignment.keyHash ?? 0;
    }
    end = putRoute(chunk, end, assignment);
  }
  view.setUint32(at + place.phase, phase, true);
  view.setUint32(at + place.unit, unit, true);
  // Nothing of the record that lay here before may reach a file.
  for (let b = place.keyGeneration; b < place.marks; b += 4) view.setUint32(at + b, 0, true);
  view.setUint32(at + place.textBytes, end - at - place.texts, true);
  if (terms.withPayload) {
    if (terms.isTapOnly) bits |= flags.tapOnly;
    view.setUint8(end++, payloads.tensors);
    end = putPayload(chunk, end, event, subject, tensorBytesMax);
    if (end < 0) bits |= flags.truncated;
    end = Math.abs(end);
    if (subject.rules.length > 0) bits |= flags.redacted;
  } else view.setUint8(end++, payloads.none);
  if (key !== undefined) end = putUnitKey(chunk, end, key);
  if (isCut()) bits |= flags.truncated;
  view.setUint8(at + place.flags, bits);
  view.setUint32(at, end - at - headBytes, true);
  return end;
}
