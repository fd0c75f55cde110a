/**
 * Events → counters and histograms → a snapshot for the control process.
 *
 * Counting is on the path of every request, so the numbers live in fixed arrays of the version they belong to, found by the
 * identity of its id: about 0.3 µs a request. Labels, names and the text format are made only when somebody asks.
 *
 * Must not know who emits, or where a snapshot goes.
 */
import type { RejectReason } from '../core/errors.js';
import type { BatchEvent, GatewayEvent, InferenceEvent, Observe } from '../core/events.js';
import type { Protocol } from '../core/inference.js';
import { nameOf, type VersionId } from '../core/model.js';
import { type Family, ratioBuckets, rowsBuckets, type Series, secondsBuckets } from '../core/series.js';
import { emptyStatistics, type VersionStatistics } from '../core/statistics.js';
import { DurationTotal, Tally } from './tally.js';

/** What is read, not counted. */
export interface Gauges {
  readonly versions: readonly { readonly id: VersionId; readonly depth: number; readonly inFlight: number }[];
  readonly families: readonly Family[];
}

export interface Metrics {
  readonly observe: Observe;
  snapshot(gauges: Gauges): { readonly families: Family[]; readonly statistics: VersionStatistics[] };
}

/** @param epochMs wall clock, for the statistics' time of the last inference */
export function createMetrics(epochMs: () => number): Metrics {
  const counts = new Counts(epochMs);
  return { observe: (event) => counts.observe(event), snapshot: (gauges) => counts.snapshot(gauges) };
}

interface Requests {
  readonly protocol: Protocol;
  readonly code: string;
  count: number;
}

/** Everything counted for one version, or for one name that is not a model. */
class VersionCounts {
  readonly model: string;
  readonly version: string;
  readonly requests: Requests[] = [];
  readonly rejected = new Map<RejectReason, number>();
  readonly http = new Tally(secondsBuckets);
  readonly grpc = new Tally(secondsBuckets);
  readonly queue = new Tally(secondsBuckets);
  readonly inference = new Tally(secondsBuckets);
  readonly rows = new Tally(rowsBuckets);
  readonly fill = new Tally(ratioBuckets);
  readonly success = new DurationTotal();
  readonly fail = new DurationTotal();
  readonly queued = new DurationTotal();
  readonly input = new DurationTotal();
  readonly infer = new DurationTotal();
  readonly output = new DurationTotal();
  readonly batches = new Map<number, { input: DurationTotal; infer: DurationTotal; output: DurationTotal }>();
  lastInference = 0;
  inferenceCount = 0;
  executionCount = 0;

  constructor(model: string, version: string) {
    this.model = model;
    this.version = version;
  }

  countRequest(protocol: Protocol, code: string): void {
    for (const requests of this.requests) {
      if (requests.code === code && requests.protocol === protocol) {
        requests.count++;
        return;
      }
    }
    this.requests.push({ protocol, code, count: 1 });
  }
}

class Counts {
  readonly #epochMs: () => number;
  /** By identity of the id, which a version shares with all its events. */
  readonly #byId = new Map<VersionId, VersionCounts>();
  readonly #byName = new Map<string, VersionCounts>();

  constructor(epochMs: () => number) {
    this.#epochMs = epochMs;
  }

  observe(event: GatewayEvent): void {
    if (event.kind === 'inference') this.#inference(event);
    else if (event.kind === 'batch') this.#batch(event);
  }

  #of(id: VersionId): VersionCounts {
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    const counts = this.#named(id.model, id.version);
    this.#byId.set(id, counts);
    return counts;
  }

  /** A version that was opened again goes on counting where it stopped. */
  #named(model: string, version: string): VersionCounts {
    const name = nameOf({ model, version });
    let counts = this.#byName.get(name);
    if (counts === undefined) {
      counts = new VersionCounts(model, version);
      this.#byName.set(name, counts);
    }
    return counts;
  }

  #inference(event: InferenceEvent): void {
    const { version, protocol, durationMs, timing } = event;
    const counts = version === undefined ? this.#named(event.model, '') : this.#of(version);
    counts.countRequest(protocol, event.code);
    if (event.reason !== undefined) counts.rejected.set(event.reason, (counts.rejected.get(event.reason) ?? 0) + 1);
    counts[protocol].add(durationMs / 1000);
    if (timing === undefined) {
      counts.fail.add(durationMs);
      return;
    }
    counts.queue.add(timing.queueMs / 1000);
    counts.success.add(durationMs);
    counts.queued.add(timing.queueMs);
    counts.input.add(timing.inputMs);
    counts.infer.add(timing.inferMs);
    counts.output.add(timing.outputMs);
    counts.inferenceCount += event.rows === 0 ? 1 : event.rows;
  }

  #batch(event: BatchEvent): void {
    if (event.isFailed) return;
    const counts = this.#of(event.version);
    counts.executionCount++;
    counts.inference.add(event.inferMs / 1000);
    counts.rows.add(event.rows);
    if (event.rowsMax > 0) counts.fill.add(Math.min(1, event.rows / event.rowsMax));
    let batch = counts.batches.get(event.rows);
    if (batch === undefined) {
      batch = { input: new DurationTotal(), infer: new DurationTotal(), output: new DurationTotal() };
      counts.batches.set(event.rows, batch);
    }
    batch.input.add(event.inputMs);
    batch.infer.add(event.inferMs);
    batch.output.add(event.outputMs);
    // The wall clock is read once a batch, not once a request.
    counts.lastInference = this.#epochMs();
  }

  snapshot(gauges: Gauges): { families: Family[]; statistics: VersionStatistics[] } {
    const all = [...this.#byName.values()];
    return {
      families: [...familiesOf(all), ...gaugesOf(gauges.versions), ...gauges.families],
      statistics: all.filter(({ version }) => version !== '').map(statisticsOf),
    };
  }
}

type LabelsOf = (counts: VersionCounts) => Readonly<Record<string, string>>;

const byVersion: LabelsOf = ({ model, version }) => ({ model, version });

function familiesOf(all: readonly VersionCounts[]): Family[] {
  const requests = all.flatMap((counts) =>
    counts.requests.map(({ protocol, code, count }) => ({
      labels: { ...byVersion(counts), variant: '', protocol, code },
      value: count,
    })),
  );
  const rejected = all.flatMap(({ model, rejected: reasons }) =>
    Array.from(reasons, ([reason, value]) => ({ labels: { model, reason }, value })),
  );
  const durations = all.flatMap((counts) =>
    (['http', 'grpc'] as const).flatMap((protocol) =>
      counts[protocol].count === 0 ? [] : [counts[protocol].series({ ...byVersion(counts), variant: '', protocol })],
    ),
  );
  const histogram = (
    name: string,
    help: string,
    buckets: readonly number[],
    tally: (counts: VersionCounts) => Tally,
  ): Family => ({
    name,
    help,
    type: 'histogram',
    buckets,
    series: all.flatMap((counts) => (tally(counts).count === 0 ? [] : [tally(counts).series(byVersion(counts))])),
  });
  return [
    { name: 'sluice_requests_total', help: 'Inference requests answered.', type: 'counter', series: requests },
    {
      name: 'sluice_rejected_total',
      help: 'Inference requests turned away, by reason.',
      type: 'counter',
      series: rejected,
    },
    {
      name: 'sluice_request_duration_seconds',
      help: 'From the arrival of a request to its answer.',
      type: 'histogram',
      buckets: secondsBuckets,
      series: durations,
    },
    histogram(
      'sluice_queue_duration_seconds',
      'Time a request waited for its batch.',
      secondsBuckets,
      ({ queue }) => queue,
    ),
    histogram(
      'sluice_inference_duration_seconds',
      'Time of one run of the model.',
      secondsBuckets,
      ({ inference }) => inference,
    ),
    histogram('sluice_batch_size', 'Rows of one run.', rowsBuckets, ({ rows }) => rows),
    histogram('sluice_batch_fill_ratio', 'Rows of one run by rows allowed.', ratioBuckets, ({ fill }) => fill),
  ];
}

function gaugesOf(versions: Gauges['versions']): Family[] {
  const gauge = (name: string, help: string, value: (version: Gauges['versions'][number]) => number): Family => ({
    name,
    help,
    type: 'gauge',
    series: versions.map((version): Series => ({ labels: { ...version.id }, value: value(version) })),
  });
  return [
    gauge('sluice_queue_depth', 'Requests that wait for a batch.', ({ depth }) => depth),
    gauge('sluice_inflight', 'Requests that wait or run.', ({ inFlight }) => inFlight),
  ];
}

function statisticsOf(counts: VersionCounts): VersionStatistics {
  const batches = Array.from(counts.batches, ([rows, { input, infer, output }]) => ({
    rows,
    computeInput: input.sum(),
    computeInfer: infer.sum(),
    computeOutput: output.sum(),
  }));
  return {
    ...emptyStatistics(counts.model, counts.version),
    lastInference: counts.lastInference,
    inferenceCount: counts.inferenceCount,
    executionCount: counts.executionCount,
    success: counts.success.sum(),
    fail: counts.fail.sum(),
    queue: counts.queued.sum(),
    computeInput: counts.input.sum(),
    computeInfer: counts.infer.sum(),
    computeOutput: counts.output.sum(),
    batches: batches.sort((a, b) => a.rows - b.rows),
  };
}
