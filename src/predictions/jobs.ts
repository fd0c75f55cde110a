/**
 * What the analytics child may be asked to do, and what it answers. Everything is plain values, which travel between
 * processes.
 *
 * Must not know how anything of it is done.
 */
import type { Answer } from './database.js';
import type { Span } from './partitions.js';
import type { Row } from './rows.js';

export interface ConvertJob {
  readonly kind: 'convert';
  readonly root: string;
  readonly segment: string;
}

export interface Converted {
  /** False when the file is no segment; it was set aside. */
  readonly isSegment: boolean;
  /** Behind the last whole record; the file was set aside for them. */
  readonly damagedBytes: number;
  readonly events: number;
  readonly rows: number;
  readonly files: readonly string[];
}

export interface QueryJob {
  readonly kind: 'query';
  readonly root: string;
  readonly sql: string;
  readonly span: Span;
  readonly rowsMax: number;
  readonly bytesMax: number;
  readonly timeoutMs: number;
}

export type ExportFormat = 'csv' | 'parquet' | 'jsonl';

export interface ExportJob {
  readonly kind: 'export';
  readonly root: string;
  readonly sql: string;
  readonly span: Span;
  readonly format: ExportFormat;
  /** A file that does not exist yet. */
  readonly output: string;
  readonly timeoutMs: number;
}

export interface ExplainJob {
  readonly kind: 'explain';
  readonly root: string;
  readonly segments: string;
  readonly requestId: string;
  readonly rowsMax: number;
  readonly timeoutMs: number;
}

export interface TailJob {
  readonly kind: 'tail';
  readonly root: string;
  readonly segments: string;
  readonly model: string | undefined;
  /** Only what arrived after this; microseconds since the epoch. */
  readonly afterUs: number;
  readonly rowsMax: number;
  readonly timeoutMs: number;
}

/** Which row of a file it is: rows stand in this order. */
export interface RowPlace {
  /** As rows tell the time: `YYYY-MM-DD HH:MM:SS.ffffff`. */
  readonly ts: string;
  readonly seq: number;
  readonly item: number;
}

/** Rows of one finished file, in their order. */
export interface ReadJob {
  readonly kind: 'read';
  readonly root: string;
  readonly path: string;
  /** Only what comes behind it. */
  readonly after: RowPlace | undefined;
  readonly rowsMax: number;
  /** At least one row is given, however large. */
  readonly bytesMax: number;
  readonly timeoutMs: number;
}

/** A stretch of a file of labels, as finished files. */
export interface LabelsJob {
  readonly kind: 'labels';
  readonly root: string;
  /** Module that reads files of labels. */
  readonly readerUrl: string;
  readonly path: string;
  /** `YYYY-MM-DD` of the predictions that are labelled. */
  readonly date: string;
  /** What the finished files are named after. */
  readonly name: string;
  readonly from: number;
  readonly bytesMax: number;
}

export interface LabelsConverted {
  /** Where the next stretch begins, when this one is full. */
  readonly end: number;
  readonly isFull: boolean;
  readonly rows: number;
}

/** A finished file made anew with less in it. */
export interface RewriteJob {
  readonly kind: 'rewrite';
  readonly path: string;
  /** Without inputs and outputs. */
  readonly withoutPayload: boolean;
  /** Without the rows of these `unit_key_hash`. */
  readonly withoutUnits: readonly string[];
}

export interface Rewritten {
  readonly rowsBefore: number;
  readonly rows: number;
}

/** A file of somebody else's, as columns; of many rows an even sample, always the same one. */
export interface ColumnsJob {
  readonly kind: 'columns';
  readonly path: string;
  readonly format: 'csv' | 'parquet';
  readonly rowsMax: number;
  readonly timeoutMs: number;
}

export interface Results {
  readonly convert: Converted;
  readonly query: Answer;
  readonly export: { readonly rows: number };
  readonly explain: { readonly rows: readonly Row[] };
  readonly tail: { readonly rows: readonly Row[] };
  readonly read: { readonly rows: readonly Row[] };
  readonly labels: LabelsConverted;
  readonly rewrite: Rewritten;
  readonly columns: Answer;
}

export type Job =
  | ConvertJob
  | LabelsJob
  | QueryJob
  | ExportJob
  | ExplainJob
  | TailJob
  | ReadJob
  | RewriteJob
  | ColumnsJob;
