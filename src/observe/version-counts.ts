/**
 * Everything counted for one version, or for one name that is not a model.
 *
 * Counting is on the path of every request, so numbers lie in arrays and fields of their own, and whoever asks most often is
 * found first. Labels are made once: all series of a version share one object, which then travels once in a snapshot.
 *
 * Must not know which versions there are, or who asks.
 */
import type { RejectReason } from '../core/errors.js';
import type { BatchEvent, InferenceEvent } from '../core/events.js';
import type { Protocol } from '../core/inference.js';
import { type Exemplar, ratioBuckets, rowsBuckets, type Series, secondsBuckets } from '../core/series.js';
import { emptyStatistics, type VersionStatistics } from '../core/statistics.js';
import { Tally } from '../core/tally.js';
import { DurationTotal } from './duration-total.js';

type Labels = Readonly<Record<string, string>>;

interface Counted {
  readonly labels: Labels;
  value: number;
}

/** Requests that came by one protocol and were sent here as one variant. */
interface Arrivals {
  readonly variant: string;
  readonly protocol: Protocol;
  readonly labels: Labels;
  readonly durations: Tally;
  /** Of `durations`, by bucket; undefined as long as nobody is traced. */
  exemplars: (Exemplar | undefined)[] | undefined;
  readonly byCode: (Counted & { readonly code: string })[];
}

interface RunsOfSize {
  readonly input: DurationTotal;
  readonly infer: DurationTotal;
  readonly output: DurationTotal;
}

/** Where the series of a version go, by family. */
export interface VersionSeries {
  readonly requests: Series[];
  readonly rejected: Series[];
  readonly durations: Series[];
  readonly queue: Series[];
  readonly inference: Series[];
  readonly rows: Series[];
  readonly fill: Series[];
}

export class VersionCounts {
  readonly model: string;
  readonly version: string;
  /** Since when it has not been open; undefined while it is. */
  closedAt: number | undefined;
  readonly #labels: Labels;
  readonly #arrivals: Arrivals[] = [];
  readonly #rejected = new Map<RejectReason, Counted>();
  readonly #queue = new Tally(secondsBuckets);
  readonly #inference = new Tally(secondsBuckets);
  readonly #rows = new Tally(rowsBuckets);
  readonly #fill = new Tally(ratioBuckets);
  readonly #success = new DurationTotal();
  readonly #fail = new DurationTotal();
  readonly #queued = new DurationTotal();
  readonly #input = new DurationTotal();
  readonly #infer = new DurationTotal();
  readonly #output = new DurationTotal();
  readonly #cacheHit = new DurationTotal();
  readonly #cacheMiss = new DurationTotal();
  readonly #runsBySize = new Map<number, RunsOfSize>();
  #lastInference = 0;
  #inferenceCount = 0;
  #executionCount = 0;

  constructor(model: string, version: string) {
    this.model = model;
    this.version = version;
    this.#labels = { model, version };
  }

  countInference(event: InferenceEvent): void {
    const { durationMs, timing, reason } = event;
    const arrivals = this.#arrivalsOf(event.protocol, event.assignment?.variant ?? '');
    this.#codeOf(arrivals, event.code).value++;
    arrivals.durations.add(durationMs / 1000);
    if (reason !== undefined) this.#rejectedFor(reason).value++;
    if (timing === undefined) {
      this.#fail.add(durationMs);
      return;
    }
    this.#queue.add(timing.queueMs / 1000);
    this.#success.add(durationMs);
    this.#queued.add(timing.queueMs);
    this.#input.add(timing.inputMs);
    this.#infer.add(timing.inferMs);
    this.#output.add(timing.outputMs);
    this.#inferenceCount += event.rows === 0 ? 1 : event.rows;
    if (event.cache === 'hit') this.#cacheHit.add(durationMs);
    else if (event.cache === 'miss') this.#cacheMiss.add(durationMs);
  }

  /** Keeps a traced request as the example of its bucket. */
  keepExemplar({ protocol, assignment, durationMs }: InferenceEvent, traceId: string, epochMs: number): void {
    const arrivals = this.#arrivalsOf(protocol, assignment?.variant ?? '');
    const value = durationMs / 1000;
    const bucket = secondsBuckets.findIndex((bound) => value <= bound);
    arrivals.exemplars ??= new Array(secondsBuckets.length + 1).fill(undefined);
    arrivals.exemplars[bucket === -1 ? secondsBuckets.length : bucket] = { traceId, value, epochMs };
  }

  countBatch({ rows, rowsMax, inputMs, inferMs, outputMs }: BatchEvent, epochMs: number): void {
    this.#executionCount++;
    this.#inference.add(inferMs / 1000);
    this.#rows.add(rows);
    if (rowsMax > 0) this.#fill.add(Math.min(1, rows / rowsMax));
    let runs = this.#runsBySize.get(rows);
    if (runs === undefined) {
      runs = { input: new DurationTotal(), infer: new DurationTotal(), output: new DurationTotal() };
      this.#runsBySize.set(rows, runs);
    }
    runs.input.add(inputMs);
    runs.infer.add(inferMs);
    runs.output.add(outputMs);
    this.#lastInference = epochMs;
  }

  #arrivalsOf(protocol: Protocol, variant: string): Arrivals {
    for (const arrivals of this.#arrivals)
      if (arrivals.protocol === protocol && arrivals.variant === variant) return arrivals;
    const labels = { ...this.#labels, variant, protocol };
    const durations = new Tally(secondsBuckets);
    const arrivals = { variant, protocol, labels, durations, exemplars: undefined, byCode: [] };
    this.#arrivals.push(arrivals);
    return arrivals;
  }

  #codeOf({ byCode, labels }: Arrivals, code: string): Counted {
    for (const counted of byCode) if (counted.code === code) return counted;
    const counted = { code, labels: { ...labels, code }, value: 0 };
    byCode.push(counted);
    return counted;
  }

  #rejectedFor(reason: RejectReason): Counted {
    let counted = this.#rejected.get(reason);
    if (counted === undefined) {
      counted = { labels: { model: this.model, reason }, value: 0 };
      this.#rejected.set(reason, counted);
    }
    return counted;
  }

  addSeries(to: VersionSeries): void {
    for (const { labels, durations, exemplars, byCode } of this.#arrivals) {
      const series = durations.series(labels);
      to.durations.push(exemplars === undefined ? series : { ...series, exemplars: exemplars.slice() });
      for (const counted of byCode) to.requests.push({ labels: counted.labels, value: counted.value });
    }
    for (const { labels, value } of this.#rejected.values()) to.rejected.push({ labels, value });
    if (this.#queue.count > 0) to.queue.push(this.#queue.series(this.#labels));
    if (this.#inference.count > 0) to.inference.push(this.#inference.series(this.#labels));
    if (this.#rows.count > 0) to.rows.push(this.#rows.series(this.#labels));
    if (this.#fill.count > 0) to.fill.push(this.#fill.series(this.#labels));
  }

  statistics(): VersionStatistics {
    const batches = Array.from(this.#runsBySize, ([rows, { input, infer, output }]) => ({
      rows,
      computeInput: input.sum(),
      computeInfer: infer.sum(),
      computeOutput: output.sum(),
    }));
    return {
      ...emptyStatistics(this.model, this.version),
      lastInference: this.#lastInference,
      inferenceCount: this.#inferenceCount,
      executionCount: this.#executionCount,
      success: this.#success.sum(),
      fail: this.#fail.sum(),
      queue: this.#queued.sum(),
      computeInput: this.#input.sum(),
      computeInfer: this.#infer.sum(),
      computeOutput: this.#output.sum(),
      cacheHit: this.#cacheHit.sum(),
      cacheMiss: this.#cacheMiss.sum(),
      batches: batches.sort((a, b) => a.rows - b.rows),
    };
  }
}
