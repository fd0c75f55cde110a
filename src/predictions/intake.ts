/**
 * What the observer does with a chunk: every record is looked at once, told to the tap, stripped of what must not be kept,
 * and added to the segment.
 *
 *   chunk ─▶ copy ─▶ record ─▶ tap (as it came) ─▶ disk low? ─▶ limits of tensors ─▶ redaction ─▶ segment
 *
 * A chunk is copied once as a whole, and its records are read and changed where they lie in the copy: objects and
 * views of shared memory for each row cost several times what is done with them (bench/micro/prediction-observer).
 *
 * Nothing that a rule forbids leaves this function. A redaction that fails costs the event, which is counted.
 *
 * Must not know threads.
 */
import { chunkBytes } from './chunk.js';
import { markerOf } from './drop-runs.js';
import { EventReader } from './event-reader.js';
import { flags, headBytes, kinds, payloads, place, seqAt, viewOf } from './layout.js';
import { payloadTensorOf } from './payload.js';
import { type KeptTensors, type LoggedEvent, tensorsOf, withPayload } from './record.js';
import { type HashKey, redacted } from './redaction.js';
import type { SegmentWriter } from './segment-writer.js';
import type { Limit, Rule, Subject, SubjectRecord } from './subject.js';
import { putPayload } from './tensor-bytes.js';
import { TensorReader } from './tensor-reader.js';
import { UnitKeys } from './unit-key.js';

/** What the disk has room for. */
export type Room = 'all' | 'metadata' | 'nothing';

/** Is told of every event that reaches the observer, before redaction. Must not keep what it is given, and must not throw. */
export interface Tap {
  event(event: LoggedEvent, subject: SubjectRecord, tensors: KeptTensors | undefined): void;
  /** So many events never came. */
  lost?(count: number): void;
  /** What the main thread has to say to it. */
  hear?(message: unknown): void;
  /** Nothing comes any more; reports still go out. */
  close?(): void;
}

export interface IntakeOptions {
  readonly writer: SegmentWriter;
  readonly hashKey: HashKey;
  readonly tap: Tap | undefined;
}

export class Intake {
  readonly #options: IntakeOptions;
  readonly #subjects = new Map<number, Subject>();
  readonly #unitKeys: UnitKeys;
  readonly #bytes = Buffer.alloc(chunkBytes);
  readonly #records = { bytes: this.#bytes, view: viewOf(this.#bytes) };
  readonly #event = new EventReader();
  readonly #tensors = new TensorReader();
  room: Room = 'all';

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#unitKeys = new UnitKeys(options.hashKey);
  }

  learn(subject: Subject): void {
    this.#subjects.set(subject.record.id, subject);
  }

  /** Takes the records in the first `length` bytes of a chunk, and writes them. */
  take(chunk: Buffer, length: number): void {
    const { writer, tap } = this.#options;
    const { bytes, view } = this.#records;
    bytes.set(length === chunk.length ? chunk : chunk.subarray(0, length));
    for (let at = 0; at < length; ) {
      const end = at + headBytes + view.getUint32(at, true);
      if (bytes[at + place.kind] === kinds.drops) {
        const record = bytes.subarray(at, end);
        writer.addMarker(record);
        tap?.lost?.(markerOf(record).count);
      } else this.#takeEvent(at, end);
      at = end;
    }
    writer.commit();
  }

  #takeEvent(start: number, end: number): void {
    const { writer, tap } = this.#options;
    const { bytes, view } = this.#records;
    const seq = seqAt(view, start + 8);
    const subject = this.#subjects.get(view.getUint32(start + place.subject, true));
    if (subject === undefined) return writer.drop(seq, 'redaction_error');
    if (tap !== undefined) tap.event(this.#event.over(this.#records, start), subject.record, this.#tensorsAt(start));
    if (this.room === 'nothing') return writer.drop(seq, 'disk_low');
    let keptEnd: number;
    let changed: Buffer | undefined;
    try {
      keptEnd = this.#keep(start, this.#unitKeys.hash(this.#records, start, end));
      if (subject.isTapped && subject.limits.length > 0) keptEnd = this.#cut(start, keptEnd, subject.limits);
      if (subject.rules.length > 0) changed = this.#redacted(bytes.subarray(start, keptEnd), subject.rules);
    } catch {
      return writer.drop(seq, 'redaction_error');
    }
    if (changed === undefined) writer.add(bytes, subject.record, start, keptEnd);
    else writer.add(changed, subject.record);
  }

  #payloadAt(start: number): number {
    return start + place.texts + this.#records.view.getUint32(start + place.textBytes, true);
  }

  #tensorsAt(start: number): KeptTensors | undefined {
    const at = this.#payloadAt(start);
    return this.#bytes[at] === payloads.tensors ? this.#tensors.over(this.#records, at + 1) : undefined;
  }

  /** Takes away what only the tap was to see, and what the disk has no room for. @returns where the record ends now */
  #keep(start: number, end: number): number {
    const at = this.#payloadAt(start);
    const { bytes, view } = this.#records;
    if (bytes[at] === payloads.none) return end;
    const isForTap = (bytes[start + place.flags]! & flags.tapOnly) !== 0;
    if (!isForTap && this.room !== 'metadata') return end;
    bytes[at] = payloads.none;
    bytes[start + place.flags]! &= ~flags.tapOnly;
    if (!isForTap) view.setFloat64(start + place.payloadRate, 0, true);
    view.setUint32(start, at + 1 - start - headBytes, true);
    return at + 1;
  }

  /** Takes away what tensors with limits have too much, which was whole for the tap. @returns where the record ends now */
  #cut(start: number, end: number, limits: readonly Limit[]): number {
    const { bytes, view } = this.#records;
    const tensors = tensorsOf(bytes.subarray(start, end));
    if (tensors === undefined) return end;
    const keeping = { rules: [], limits, isTapped: false };
    const cutEnd = putPayload(this.#records, this.#payloadAt(start) + 1, tensors, keeping, Infinity);
    if (cutEnd < 0) bytes[start + place.flags]! |= flags.truncated;
    view.setUint32(start, Math.abs(cutEnd) - start - headBytes, true);
    return Math.abs(cutEnd);
  }

  /** @returns undefined where nothing is kept that a rule could forbid */
  #redacted(record: Buffer, rules: readonly Rule[]): Buffer | undefined {
    const tensors = tensorsOf(record);
    if (tensors === undefined) return undefined;
    const sideOf = (side: Rule['side']) =>
      redacted(
        tensors[side].map(payloadTensorOf),
        rules.filter((rule) => rule.side === side),
        this.#options.hashKey,
      );
    return withPayload(record, { inputs: sideOf('inputs'), outputs: sideOf('outputs') });
  }
}
