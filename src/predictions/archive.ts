/**
 * The prediction log as the control process has it: makes Parquet of closed segments, keeps what is to be kept, and answers
 * questions.
 *
 *   segments ── recover, convert ──▶ finished files ── retain ──▶ fewer of them
 *                                          └── query · export · explain · tail · read ──▶ whoever asks
 *
 * Nothing here can reach serving: it is another process, and the work itself is done in a third.
 *
 * Must not know what models, routes or requests are, or DuckDB.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Analytics, type AnalyticsOptions } from './analytics.js';
import type { Answer } from './database.js';
import type { Converted, ExportFormat, RowPlace } from './jobs.js';
import { LabelParts, type LabelPartsOptions, type LabelSource } from './label-parts.js';
import { type DataSet, daysOf, partsOf, type Span } from './partitions.js';
import { type Day, type RetentionLimits, retentionPlan } from './retention.js';
import type { Row, RowOrigin } from './rows.js';
import { recoverSegments, segmentFiles } from './segment-reader.js';

export interface ArchiveOptions {
  /** Folder of finished files. An absolute path. */
  readonly root: string;
  /** Folder of segments. */
  readonly segments: string;
  readonly analytics: AnalyticsOptions;
  readonly retention: RetentionLimits;
  /** A file that could not be made, and is tried again, or one that is damaged. */
  readonly onFailed?: ((file: string, error: Error) => void) | undefined;
  /** Labels that are shown beside the rows; undefined = none. */
  readonly labels?: LabelSource;
  readonly queryRowsMax: number;
  readonly queryBytesMax: number;
  readonly queryTimeoutMs: number;
  /** Whether this gateway process may still write. */
  readonly isLive: (origin: RowOrigin) => boolean;
  /** Milliseconds since the epoch. */
  readonly epochMs: () => number;
}

/** A file that does not begin like a segment, and one in which something other than a record follows. */
type BadReason = 'no_segment' | 'damaged_records';

export interface ArchiveStats {
  readonly segments: number;
  readonly events: number;
  readonly rows: number;
  /** Files set aside as `.bad`. */
  readonly bad: Readonly<Record<BadReason, number>>;
  readonly failed: number;
  readonly daysRemoved: number;
  readonly daysStripped: number;
  /** Labels in finished files, those made again counted again. */
  readonly labels: number;
  readonly waiting: number;
  readonly restarts: number;
}

export interface Asked {
  readonly sql: string;
  readonly span?: Span;
}

/** A segment that failed this often is set aside. */
const triesMax = 5;
const strippedMark = '_stripped';

export class Archive {
  readonly #options: ArchiveOptions;
  readonly #analytics: Analytics;
  readonly #tries = new Map<string, number>();
  readonly #counts = { segments: 0, events: 0, rows: 0, failed: 0, daysRemoved: 0, daysStripped: 0 };
  readonly #bad: Record<BadReason, number> = { no_segment: 0, damaged_records: 0 };
  readonly #labels: LabelParts | undefined;
  #converting: Promise<void> | undefined;

  constructor(options: ArchiveOptions) {
    this.#options = options;
    this.#analytics = new Analytics(options.analytics);
    const { root, labels, epochMs } = options;
    const run: LabelPartsOptions['run'] = (job) => this.#analytics.run<'labels'>(job);
    this.#labels = labels && new LabelParts({ ...labels, root, epochMs, run, onFailed: options.onFailed });
  }

  stats(): ArchiveStats {
    const waiting = segmentFiles(this.#options.segments).filter(({ isOpen }) => !isOpen).length;
    const { rows: labels = 0, failed = 0 } = this.#labels?.counts ?? {};
    const counts = { ...this.#counts, failed: this.#counts.failed + failed };
    return { ...counts, bad: { ...this.#bad }, labels, waiting, restarts: this.#analytics.restarts };
  }

  /** Makes Parquet of every closed segment and of labels that are due; a call while one is under way waits for that one. */
  convert(): Promise<void> {
    this.#converting ??= this.#convertAll().finally(() => {
      this.#converting = undefined;
    });
    return this.#converting;
  }

  async #convertAll(): Promise<void> {
    const { root, segments, isLive } = this.#options;
    for (const name of recoverSegments(segments, isLive)) this.#setAside(name);
    for (const { isOpen, path } of segmentFiles(segments)) {
      if (isOpen || (this.#tries.get(path) ?? 0) >= triesMax) continue;
      try {
        this.#add(path, await this.#analytics.run<'convert'>({ kind: 'convert', root, segment: path }));
        this.#tries.delete(path);
      } catch (error) {
        // The segment stays.
        this.#options.onFailed?.(path, error as Error);
        this.#counts.failed++;
        this.#tries.set(path, (this.#tries.get(path) ?? 0) + 1);
      }
    }
    await this.#labels?.convertDue();
  }

  /** The same with every label there is, for somebody who asks. */
  async settle(): Promise<void> {
    await this.convert();
    await this.#labels?.convertAll();
  }

  #add(path: string, { isSegment, damagedBytes, events, rows }: Converted): void {
    if (!isSegment) return this.#setAside(path);
    if (damagedBytes > 0) this.#setAside(path, damagedBytes);
    this.#counts.segments++;
    this.#counts.events += events;
    this.#counts.rows += rows;
  }

  /** It stays beside the others under another name. */
  #setAside(file: string, damagedBytes = 0): void {
    this.#bad[damagedBytes > 0 ? 'damaged_records' : 'no_segment']++;
    const why =
      damagedBytes > 0
        ? `${damagedBytes} bytes are no records, those before them are kept`
        : 'it does not begin like a segment';
    this.#options.onFailed?.(file, new Error(`set aside as .bad: ${why}`));
  }

  /** Deletes and strips what the limits say. */
  async retain(): Promise<void> {
    const plan = retentionPlan(this.#days(), this.#options.retention, this.#options.epochMs());
    for (const { path } of plan.remove) {
      rmSync(path, { recursive: true, force: true });
      this.#counts.daysRemoved++;
    }
    for (const day of plan.strip) {
      for (const { path } of this.#partsOfDay(day)) {
        await this.#analytics.run<'rewrite'>({ kind: 'rewrite', path, withoutPayload: true, withoutUnits: [] });
      }
      writeFileSync(join(day.path, strippedMark), '');
      this.#counts.daysStripped++;
    }
  }

  #days(): Day[] {
    // Of labels there is nothing to strip.
    const labels = this.#daysOf('labels').map((day) => ({ ...day, isStripped: true }));
    return [...this.#daysOf('log'), ...labels].sort((a, b) => (a.date < b.date ? -1 : a.date > b.date ? 1 : 0));
  }

  #daysOf(set: DataSet): Day[] {
    const bytes = new Map<string, number>();
    for (const part of partsOf(this.#options.root, set)) {
      const key = `${part.date} ${part.model}`;
      bytes.set(key, (bytes.get(key) ?? 0) + part.bytes);
    }
    return daysOf(this.#options.root, set).map((day) => ({
      ...day,
      bytes: bytes.get(`${day.date} ${day.model}`) ?? 0,
      isStripped: existsSync(join(day.path, strippedMark)),
    }));
  }

  #partsOfDay({ model, date }: Day): { readonly path: string }[] {
    return partsOf(this.#options.root, 'log', { model }).filter((part) => part.date === date);
  }

  /** Deletes every finished row of these `unit_key_hash`. @returns how many rows */
  async erase(unitKeyHashes: readonly string[]): Promise<number> {
    await this.convert();
    let erased = 0;
    for (const { path } of partsOf(this.#options.root, 'log')) {
      const job = { kind: 'rewrite', path, withoutPayload: false, withoutUnits: unitKeyHashes } as const;
      const { rowsBefore, rows } = await this.#analytics.run<'rewrite'>(job);
      erased += rowsBefore - rows;
    }
    return erased;
  }

  /** @throws INVALID_ARGUMENT, PERMISSION_DENIED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED */
  query({ sql, span = {} }: Asked): Promise<Answer> {
    const { root, queryRowsMax, queryBytesMax, queryTimeoutMs } = this.#options;
    const limits = { rowsMax: queryRowsMax, bytesMax: queryBytesMax, timeoutMs: queryTimeoutMs };
    return this.#analytics.run<'query'>({ kind: 'query', root, sql, span, ...limits });
  }

  /** @param output a file that does not exist yet, by its absolute path */
  export({ sql, span = {} }: Asked, format: ExportFormat, output: string): Promise<{ readonly rows: number }> {
    const { root, queryTimeoutMs: timeoutMs } = this.#options;
    return this.#analytics.run<'export'>({ kind: 'export', root, sql, span, format, output, timeoutMs });
  }

  /** All rows of a request, also those that are in segments yet. */
  async explain(requestId: string): Promise<readonly Row[]> {
    const { root, segments, queryRowsMax: rowsMax, queryTimeoutMs: timeoutMs } = this.#options;
    const job = { kind: 'explain', root, segments, requestId, rowsMax, timeoutMs } as const;
    return (await this.#analytics.run<'explain'>(job)).rows;
  }

  /** The newest rows, oldest first. */
  async tail(
    rowsMax: number,
    more: { readonly model?: string; readonly afterUs?: number } = {},
  ): Promise<readonly Row[]> {
    const { root, segments, queryRowsMax, queryTimeoutMs: timeoutMs } = this.#options;
    const { model, afterUs = 0 } = more;
    const limits = { rowsMax: Math.min(rowsMax, queryRowsMax), timeoutMs };
    return (await this.#analytics.run<'tail'>({ kind: 'tail', root, segments, model, afterUs, ...limits })).rows;
  }

  /** Rows of one finished file, for sinks. @throws NOT_FOUND when it is no more */
  async read(path: string, after: RowPlace | undefined, rowsMax: number): Promise<readonly Row[]> {
    const { root, queryBytesMax: bytesMax, queryTimeoutMs: timeoutMs } = this.#options;
    return (await this.#analytics.run<'read'>({ kind: 'read', root, path, after, rowsMax, bytesMax, timeoutMs })).rows;
  }

  close(): void {
    this.#analytics.close();
  }
}
