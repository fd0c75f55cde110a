/**
 * What the observer does with a chunk: every record is looked at once, told to the tap, stripped of what must not be kept,
 * and added to the segment.
 *
 *   chunk ─▶ record ─▶ tap (as it came) ─▶ disk low? ─▶ redaction ─▶ segment
 *
 * Nothing that a rule forbids leaves this function. A redaction that fails costs the event, which is counted.
 *
 * Must not know threads.
 */
import { markerOf } from './drop-runs.js';
import { flags, headBytes, kinds, payloads, place, seqOf } from './layout.js';
import { payloadTensorOf } from './payload.js';
import {
  eventOf,
  type KeptTensors,
  type LoggedEvent,
  payloadStart,
  tensorsOf,
  withoutPayload,
  withPayload,
} from './record.js';
import { type HashKey, redacted } from './redaction.js';
import type { SegmentWriter } from './segment-writer.js';
import type { Rule, Subject, SubjectRecord } from './subject.js';
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
  room: Room = 'all';

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#unitKeys = new UnitKeys(options.hashKey);
  }

  learn(subject: Subject): void {
    this.#subjects.set(subject.record.id, subject);
  }

  /** Takes the records in the first `length` bytes, and writes them. */
  take(bytes: Buffer, length: number): void {
    const { writer } = this.#options;
    for (let at = 0; at < length; ) {
      const end = at + headBytes + bytes.readUInt32LE(at);
      const record = bytes.subarray(at, end);
      if (record[place.kind] === kinds.drops) {
        writer.addMarker(record);
        this.#options.tap?.lost?.(markerOf(record).count);
      } else this.#takeEvent(record);
      at = end;
    }
    writer.commit();
  }

  #takeEvent(record: Buffer): void {
    const { writer, tap } = this.#options;
    const seq = seqOf(record);
    const subject = this.#subjects.get(record.readUInt32LE(place.subject));
    if (subject === undefined) return writer.drop(seq, 'redaction_error');
    if (tap !== undefined) tap.event(eventOf(record), subject.record, tensorsOf(record));
    if (this.room === 'nothing') return writer.drop(seq, 'disk_low');
    let kept: Buffer;
    try {
      kept = this.#keepable(this.#unitKeys.hashed(record), subject);
    } catch {
      return writer.drop(seq, 'redaction_error');
    }
    writer.add(kept, subject.record);
  }

  #keepable(record: Buffer, { rules }: Subject): Buffer {
    if (record[payloadStart(record)] === payloads.none) return record;
    const isForTap = (record[place.flags]! & flags.tapOnly) !== 0;
    if (isForTap || this.room === 'metadata') {
      const stripped = withoutPayload(record);
      if (!isForTap) stripped.writeDoubleLE(0, place.payloadRate);
      return stripped;
    }
    return rules.length === 0 ? record : this.#redacted(record, rules);
  }

  #redacted(record: Buffer, rules: readonly Rule[]): Buffer {
    const tensors = tensorsOf(record)!;
    const sideOf = (side: Rule['side']) =>
      redacted(
        tensors[side].map(payloadTensorOf),
        rules.filter((rule) => rule.side === side),
        this.#options.hashKey,
      );
    return withPayload(record, { inputs: sideOf('inputs'), outputs: sideOf('outputs') });
  }
}
