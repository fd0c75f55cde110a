/**
 * Appends records to segments. A batch of records is written by one call and is either kept whole or counted whole:
 *
 *   add … add ─▶ commit ─▶ written                       → the events are logged
 *                       └▶ no room, short write, error   → cut back to the last whole record, close, count, again in 1 s
 *
 * Whatever was dropped, here or before, is said by a marker before the next record that is kept.
 *
 * Must not know where records come from. Disk and time are given.
 */
import { join } from 'node:path';
import { type DropRun, DropRuns, markerOf } from './drop-runs.js';
import { type DropReason, noDrops } from './event.js';
import type { SegmentFiles } from './files.js';
import { kinds } from './layout.js';
import { segmentHeader, segmentHeaderBytes, segmentStem } from './segment.js';
import { SegmentBatch } from './segment-batch.js';
import type { SubjectRecord } from './subject.js';

export interface SegmentWriterOptions {
  readonly directory: string;
  readonly gatewayId: string;
  readonly incarnation: number;
  readonly segmentBytesMax: number;
  readonly segmentRowsMax: number;
  readonly segmentAgeMsMax: number;
  readonly files: SegmentFiles;
  /** Microseconds since the epoch. */
  readonly nowUs: () => number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** How an incarnation ended. */
export interface LogEnd {
  /** The last number given. */
  readonly seq: number;
  readonly offered: number;
  readonly sampledOut: number;
  /** Those that no chunk had room for. */
  readonly gaps: readonly DropRun[];
}

interface OpenSegment {
  readonly path: string;
  readonly descriptor: number;
  readonly openedAt: number;
  readonly subjects: Set<number>;
  /** Numbers of the events in it. */
  readonly events: number[];
  bytes: number;
  rows: number;
}

const retryMs = 1000;
const syncMs = 1000;
const syncBytes = 1024 * 1024;
const batchBytesMax = 1024 * 1024;
export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #runs = new DropRuns();
  readonly dropped = noDrops();
  #logged = 0;
  #bytesWritten = 0;
  #segment: OpenSegment | undefined;
  #number = 0;
  readonly #batch = new SegmentBatch(2 * batchBytesMax);
  #retryAt = 0;
  #syncAt = 0;
  #unsynced = 0;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
  }

  /** Events in segments, and bytes of them. */
  get written(): { readonly logged: number; readonly bytes: number } {
    return { logged: this.#logged, bytes: this.#bytesWritten };
  }

  drop(seq: number, reason: DropReason): void {
    this.#runs.add(seq, reason);
    this.dropped[reason]++;
  }

  /** A marker that came with the events: what it says has been counted by whoever wrote it. */
  addMarker(record: Buffer): void {
    this.#runs.addRun(markerOf(record));
  }

  /** @param bytes in which a whole record lies; its checksum is made here */
  add(bytes: Buffer, subject: SubjectRecord, from = 0, to = bytes.length): void {
    const batch = this.#batch;
    if (batch.length + to - from > batchBytesMax) this.commit();
    if (this.#runs.length > 0) this.#putMarkers();
    if (!this.#isKnown(subject.id)) batch.putSubject(subject.id, kinds.subject, JSON.stringify(subject));
    batch.putEvent(bytes, from, to);
  }

  #isKnown(id: number): boolean {
    return (this.#segment?.subjects.has(id) ?? false) || this.#batch.subjects.includes(id);
  }

  #putMarkers(): void {
    for (const run of this.#runs.take()) this.#batch.putMarker(run);
  }

  /** Writes what was added. */
  commit(): void {
    if (this.#batch.length === 0) return;
    const isWritten = this.#write();
    if (!isWritten) this.#giveUpBatch();
    this.#batch.clear();
    if (isWritten) this.#rotateWhenFull();
  }

  #write(): boolean {
    const { files, now } = this.#options;
    if (now() < this.#retryAt) return false;
    try {
      this.#segment ??= this.#open();
      writeWhole(files, this.#segment.descriptor, this.#batch.bytes, this.#segment.bytes);
    } catch {
      this.#cutBack();
      return false;
    }
    const segment = this.#segment;
    const { length, rows, subjects, numbers } = this.#batch;
    segment.bytes += length;
    segment.rows += rows;
    for (const id of subjects) segment.subjects.add(id);
    for (const number of numbers) {
      if (typeof number !== 'number') continue;
      segment.events.push(number);
      this.#logged++;
    }
    this.#bytesWritten += length;
    this.#unsynced += length;
    if (this.#unsynced >= syncBytes) this.#sync();
    return true;
  }

  /** Nothing of a batch that could not be written counts as logged, and its markers wait for the next one. */
  #giveUpBatch(): void {
    for (const number of this.#batch.numbers) {
      if (typeof number === 'number') this.drop(number, 'write_error');
      else this.#runs.addRun(number);
    }
  }

  #open(): OpenSegment {
    const { directory, gatewayId, incarnation, files, now, nowUs } = this.#options;
    const stem = segmentStem({ gatewayId, incarnation, number: ++this.#number });
    const path = join(directory, `${stem}.open`);
    const descriptor = files.create(path);
    const opened: OpenSegment = {
      path,
      descriptor,
      openedAt: now(),
      subjects: new Set(),
      events: [],
      bytes: segmentHeaderBytes,
      rows: 0,
    };
    try {
      writeWhole(files, descriptor, segmentHeader(incarnation, nowUs()), 0);
    } catch (error) {
      opened.bytes = 0;
      this.#segment = opened;
      throw error;
    }
    return opened;
  }

  #cutBack(): void {
    this.#retryAt = this.#options.now() + retryMs;
    const segment = this.#segment;
    if (segment === undefined) return;
    try {
      this.#options.files.truncate(segment.descriptor, segment.bytes);
    } catch {
      // Nothing is lost: readers stop at the last whole record by themselves.
    }
    this.#close();
  }

  #close(): void {
    const segment = this.#segment;
    if (segment === undefined) return;
    this.#segment = undefined;
    const { files } = this.#options;
    try {
      files.sync(segment.descriptor);
    } catch {
      // A disk that cannot sync now is found out by the next write; the records stay readable.
    }
    try {
      files.close(segment.descriptor);
      files.rename(segment.path, segment.path.replace(/open$/, 'seg'));
    } catch {
      // Moved away meanwhile, or no room for the new name: recovery takes it up as it is.
    }
    this.#unsynced = 0;
  }

  #sync(): void {
    this.#unsynced = 0;
    this.#syncAt = this.#options.now() + syncMs;
    if (this.#segment === undefined) return;
    try {
      this.#options.files.sync(this.#segment.descriptor);
    } catch {
      this.#cutBack();
    }
  }

  #rotateWhenFull(): void {
    const { segmentBytesMax, segmentRowsMax } = this.#options;
    const segment = this.#segment;
    if (segment !== undefined && (segment.bytes >= segmentBytesMax || segment.rows >= segmentRowsMax)) this.#close();
  }

  /** To be called every 100 ms or so: syncs, closes what is old, and notices that the file was taken away. */
  tick(): void {
    const { now, segmentAgeMsMax } = this.#options;
    this.#lookAfterFile();
    if (this.#unsynced > 0 && now() >= this.#syncAt) this.#sync();
    if (this.#segment !== undefined && now() - this.#segment.openedAt >= segmentAgeMsMax) this.#close();
  }

  #lookAfterFile(): void {
    const segment = this.#segment;
    if (segment === undefined) return;
    const where = this.#whereabouts(segment);
    if (where === 'here') return;
    this.#close();
    if (where === 'moved') return;
    this.#logged -= segment.events.length;
    for (const seq of segment.events) this.drop(seq, 'write_error');
  }

  #whereabouts(segment: OpenSegment): ReturnType<SegmentFiles['whereabouts']> {
    try {
      return this.#options.files.whereabouts(segment.descriptor, segment.path);
    } catch {
      return 'moved';
    }
  }

  close(end: LogEnd): void {
    this.commit();
    if (end.seq === 0) return;
    this.#lookAfterFile();
    for (const gap of end.gaps) this.#runs.addRun(gap);
    this.#putMarkers();
    const { offered, sampledOut } = end;
    this.#batch.putText(kinds.end, end.seq, JSON.stringify({ offered, sampledOut }));
    this.#retryAt = 0;
    this.commit();
    this.#close();
  }
}

/** @throws when a write fails, or takes nothing */
function writeWhole(files: SegmentFiles, descriptor: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    const took = files.write(descriptor, bytes, done, bytes.length - done, position + done);
    if (took <= 0) throw new Error('short write');
    done += took;
  }
}
