/**
 * Spans on their way to a collector: OTLP over HTTP, as JSON. The wire format is one plain document and sending is one POST, so
 * this and its two neighbours stand in for an SDK of a dozen packages that would measure every request itself.
 *
 *   add(record) ─▶ [ waiting, bounded ] ─▶ one batch at a time ─▶ POST ─┬ 2xx: gone
 *                        full: dropped                                  ├ 429, 502 to 504, no answer: later, the same batch
 *                                                                       └ anything else: dropped
 *
 * A collector that is slow or gone costs what the bound holds, and nobody waits for it.
 *
 * Must not know what is traced.
 */
import type { Family, Series } from '../core/series.js';
import type { NewId } from './span-ids.js';
import { attribute, type SpanRecord, spansOf } from './spans.js';

/** @returns the status; rejects when there was no answer in time */
export type Post = (body: string) => Promise<number>;

export interface ExporterOptions {
  readonly post: Post;
  readonly newId: NewId;
  /** Requests whose spans wait. */
  readonly queueMax: number;
  /** What the spans are of: `service.name` and the like. */
  readonly resource: Readonly<Record<string, string | number>>;
  /** A batch failed, after others had not. */
  readonly onFault: (problem: string) => void;
}

interface Batch {
  readonly count: number;
  readonly body: string;
}

type DropReason = 'queue_full' | 'refused' | 'closed';

/** Requests in one document: writing it takes 0.9 ms (measured), in which no request is served. Chosen. */
const batchMax = 64;
/** A batch that is not full waits so long for others. Chosen. */
const gatherMs = 1000;
const backOffMinMs = 1000;
const backOffMaxMs = 30_000;
const retriedStatuses: ReadonlySet<number> = new Set([429, 502, 503, 504]);

export class Exporter {
  readonly #options: ExporterOptions;
  readonly #resource: object;
  /** Those of the batch stand first. */
  readonly #waiting: SpanRecord[] = [];
  /** What is being sent, or was not taken: it is sent again as it is, or its spans would have other ids. */
  #batch: Batch | undefined;
  readonly #dropped: Record<DropReason, number> = { queue_full: 0, refused: 0, closed: 0 };
  #sent = 0;
  #sending: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #backOffMs = 0;
  #isClosed = false;

  constructor(options: ExporterOptions) {
    this.#options = options;
    this.#resource = { attributes: Object.entries(options.resource).map(([key, value]) => attribute(key, value)) };
  }

  readonly add = (record: SpanRecord): void => {
    if (this.#isClosed) this.#dropped.closed++;
    else if (this.#waiting.length >= this.#options.queueMax) this.#dropped.queue_full++;
    else {
      this.#waiting.push(record);
      this.#sendLater(gatherMs);
      if (this.#waiting.length === batchMax && this.#backOffMs === 0) this.#sendSoon();
    }
  };

  #sendLater(delayMs: number): void {
    if (this.#timer !== undefined || this.#sending !== undefined) return;
    this.#timer = setTimeout(() => this.#send(), delayMs);
    this.#timer.unref();
  }

  #sendSoon(): void {
    if (this.#sending !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sendLater(0);
  }

  #send(): void {
    this.#timer = undefined;
    const count = Math.min(batchMax, this.#waiting.length);
    if (count === 0) return;
    this.#batch ??= { count, body: this.#documentOf(count) };
    const batch = this.#batch;
    this.#sending = this.#options.post(batch.body).then(
      (status) => this.#answered(batch.count, status),
      (thrown: unknown) => this.#failed(thrown instanceof Error ? thrown.message : String(thrown)),
    );
  }

  #documentOf(count: number): string {
    const { newId } = this.#options;
    const spans = this.#waiting.slice(0, count).flatMap((record) => spansOf(record, newId));
    return JSON.stringify({
      resourceSpans: [{ resource: this.#resource, scopeSpans: [{ scope: { name: 'sluice' }, spans }] }],
    });
  }

  #answered(count: number, status: number): void {
    if (retriedStatuses.has(status)) return this.#failed(`status ${status}`);
    const isTaken = status >= 200 && status < 300;
    this.#waiting.splice(0, count);
    this.#batch = undefined;
    if (isTaken) this.#sent += count;
    else this.#dropped.refused += count;
    if (!isTaken && this.#backOffMs === 0) this.#options.onFault(`status ${status}`);
    this.#sending = undefined;
    // After a refusal nothing tells whether the next batch is welcome: it goes, but not at once.
    this.#backOffMs = isTaken ? 0 : backOffMinMs;
    if (this.#waiting.length > 0) this.#sendLater(isTaken && this.#waiting.length >= batchMax ? 0 : gatherMs);
  }

  #failed(problem: string): void {
    if (this.#backOffMs === 0) this.#options.onFault(problem);
    this.#sending = undefined;
    this.#backOffMs = Math.min(backOffMaxMs, Math.max(backOffMinMs, this.#backOffMs * 2));
    if (!this.#isClosed) this.#sendLater(this.#backOffMs);
  }

  /** Sends what waits, for so long; what is left then is dropped. */
  async close(limitMs: number): Promise<void> {
    clearTimeout(this.#timer);
    this.#isClosed = true;
    const limit = timeLimit(limitMs);
    await Promise.race([this.#drain(), limit.passed]);
    limit.end();
    clearTimeout(this.#timer);
    this.#dropped.closed += this.#waiting.length;
    this.#waiting.length = 0;
  }

  /** Until nothing waits, or a batch fails. */
  async #drain(): Promise<void> {
    await this.#sending;
    while (this.#waiting.length > 0 && this.#backOffMs === 0) {
      clearTimeout(this.#timer);
      this.#send();
      await this.#sending;
    }
  }

  families(): Family[] {
    const counter = (name: string, help: string, series: readonly Series[]): Family => ({
      name,
      help,
      type: 'counter',
      series,
    });
    const dropped = Object.entries(this.#dropped).map(([reason, value]) => ({ labels: { reason }, value }));
    return [
      counter('sluice_trace_requests_total', 'Sampled requests whose spans a collector took.', [
        { labels: {}, value: this.#sent },
      ]),
      counter('sluice_trace_dropped_total', 'Sampled requests whose spans were dropped, by reason.', dropped),
    ];
  }
}

function timeLimit(limitMs: number): { readonly passed: Promise<void>; end(): void } {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  return { passed, end: () => clearTimeout(timer) };
}
