/**
 * A segment read back: its events with their subjects, its gaps, and how its incarnation ended.
 *
 * Must not know who asks.
 */
import { readdirSync, readFileSync, renameSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { type DropRun, markerOf } from './drop-runs.js';
import { headBytes, kinds, place } from './layout.js';
import type { Cell } from './payload.js';
import { eventOf, payloadOf } from './record.js';
import { type CellRows, type Row, type RowOrigin, rowsOf } from './rows.js';
import { type RecordPlace, scanSegment, segmentNamed, segmentStem } from './segment.js';
import type { SubjectRecord } from './subject.js';

export interface SegmentFile extends RowOrigin {
  readonly number: number;
  readonly isOpen: boolean;
  readonly name: string;
  readonly path: string;
}

/** In the order in which they were written, as far as one gateway goes. */
export function segmentFiles(directory: string): SegmentFile[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  const files = names.flatMap((name) => {
    const named = segmentNamed(name);
    return named === undefined ? [] : [{ ...named, name, path: join(directory, name) }];
  });
  return files.sort((a, b) => a.incarnation - b.incarnation || a.number - b.number);
}

export interface SegmentEnd {
  readonly seq: number;
  readonly offered: number;
  readonly sampledOut: number;
}

export interface OpenedSegment {
  readonly bytes: Buffer;
  readonly origin: RowOrigin;
  readonly events: readonly RecordPlace[];
  readonly gaps: readonly DropRun[];
  readonly end: SegmentEnd | undefined;
  /** Bytes that stand behind the last whole record. */
  readonly tornBytes: number;
  readonly createdUs: number;
  recordOf(event: RecordPlace): Buffer;
  subjectOf(record: Buffer): SubjectRecord | undefined;
}

/** @returns undefined when the file is no segment */
export function openSegment(file: { readonly path: string; readonly name: string }): OpenedSegment | undefined {
  const bytes = readFileSync(file.path);
  const scan = scanSegment(bytes);
  if (scan === undefined) return undefined;
  const subjects = new Map<number, SubjectRecord>();
  const events: RecordPlace[] = [];
  const gaps: DropRun[] = [];
  let end: SegmentEnd | undefined;
  for (const found of scan.records) {
    const record = bytes.subarray(found.start, found.end);
    const text = () => JSON.parse(record.toString('utf8', headBytes + 1));
    if (found.kind === kinds.event) events.push(found);
    else if (found.kind === kinds.drops) gaps.push(markerOf(record));
    else if (found.kind === kinds.end) end = { seq: found.seq, ...text() };
    else if (found.kind === kinds.subject) {
      const subject = text() as SubjectRecord;
      subjects.set(subject.id, subject);
    }
  }
  return {
    bytes,
    origin: { gatewayId: segmentNamed(file.name)?.gatewayId ?? '', incarnation: scan.incarnation },
    events,
    gaps,
    end,
    tornBytes: bytes.length - scan.wholeBytes,
    createdUs: scan.createdUs,
    recordOf: (event) => bytes.subarray(event.start, event.end),
    subjectOf: (record) => subjects.get(record.readUInt32LE(place.subject)),
  };
}

/** The rows of one event. */
export function segmentRows(segment: OpenedSegment, event: RecordPlace): Row[] {
  const record = segment.recordOf(event);
  const subject = segment.subjectOf(record);
  return subject === undefined ? [] : rowsOf(eventOf(record), subject, payloadOf(record), segment.origin);
}

/** The same as cells, for a table. */
export function segmentCells(segment: OpenedSegment, event: RecordPlace, rows: CellRows): (Cell | undefined)[][] {
  const record = segment.recordOf(event);
  const subject = segment.subjectOf(record);
  return subject === undefined ? [] : rows.of(eventOf(record), subject, payloadOf(record), segment.origin);
}

/**
 * Closes the segments of processes that are no more: cut behind the last whole record, and named like any other.
 * @returns names of files that turned out to be no segments; they are set aside as `.bad`
 */
export function recoverSegments(directory: string, isLive: (origin: RowOrigin) => boolean): string[] {
  const bad: string[] = [];
  for (const file of segmentFiles(directory)) {
    if (!file.isOpen || isLive(file)) continue;
    const scan = scanSegment(readFileSync(file.path));
    if (scan === undefined) {
      bad.push(file.name);
      renameSync(file.path, `${file.path}.bad`);
      continue;
    }
    truncateSync(file.path, scan.wholeBytes);
    renameSync(file.path, join(directory, `${segmentStem(file)}.seg`));
  }
  return bad;
}
