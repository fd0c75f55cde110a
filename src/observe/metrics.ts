/**
 * Events → counters and histograms → a snapshot for the control process.
 *
 *   event ─▶ version, by the identity of its id ─▶ its counts          snapshot ─▶ families of all versions
 *
 * About 0.3 µs a request. Names and the text format are made only when somebody asks. A version that has been closed for a
 * while is left out of snapshots from then on: whoever adds them up keeps what it told last.
 *
 * Must not know who emits, or where a snapshot goes.
 */
import type { GatewayEvent, InferenceEvent, Observe } from '../core/events.js';
import { nameOf, type VersionId } from '../core/model.js';
import { type Family, ratioBuckets, rowsBuckets, type Series, secondsBuckets } from '../core/series.js';
import { emptyStatistics, type VersionStatistics } from '../core/statistics.js';
import { RouteCounts } from './route-counts.js';
import { VersionCounts, type VersionSeries } from './version-counts.js';

/** What is read, not counted. */
export interface Gauges {
  /** Those that are open. */
  readonly versions: readonly {
    readonly id: VersionId;
    readonly depth: number;
    readonly inFlight: number;
    /** Threads that run it, and how many of them do so now. */
    readonly threads?: number;
    readonly busy?: number;
    /** By how much the process grew when it was opened. */
    readonly memoryBytes?: number;
  }[];
  /** Threads of versions that are being opened. */
  readonly startingThreads?: number;
  /** Threads whose run never ended. */
  readonly deadThreads?: number;
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

/** Counts of a closed version are told for so long. Several beats, so that whoever adds up has seen the last of them. */
const closedKeptMs = 600_000;

type Labels = Series['labels'];

class Counts {
  readonly #epochMs: () => number;
  /** By identity of the id, which a version shares with all its events. */
  readonly #byId = new Map<VersionId, VersionCounts>();
  readonly #byName = new Map<string, VersionCounts>();
  readonly #routes = new RouteCounts();
  /** Of what is open: labels of a snapshot that are those of the one before are told only once. */
  readonly #labels = new WeakMap<VersionId, Labels>();

  constructor(epochMs: () => number) {
    this.#epochMs = epochMs;
  }

  observe(event: GatewayEvent): void {
    if (event.kind === 'inference') this.#inference(event);
    // The wall clock is read once a batch, not once a request.
    else if (event.kind === 'batch' && !event.isFailed) this.#of(event.version).countBatch(event, this.#epochMs());
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
    const { version, assignment, trace } = event;
    const counts = version === undefined ? this.#named(event.model, '') : this.#of(version);
    counts.countInference(event);
    if (trace?.isSampled) counts.keepExemplar(event, trace.traceId, this.#epochMs());
    if (assignment !== undefined) this.#routes.count(event.model, assignment);
  }

  #labelsOf(id: VersionId): Labels {
    let labels = this.#labels.get(id);
    if (labels === undefined) {
      labels = { ...id };
      this.#labels.set(id, labels);
    }
    return labels;
  }

  snapshot(gauges: Gauges): { families: Family[]; statistics: VersionStatistics[] } {
    this.#dropClosed(gauges.versions);
    const all = [...this.#byName.values()];
    return {
      families: [
        ...familiesOf(all),
        ...this.#routes.families(),
        ...gaugesOf(gauges.versions, (id) => this.#labelsOf(id)),
        ...workersOf(gauges),
        ...gauges.families,
      ],
      statistics: statisticsOf(all, gauges.versions),
    };
  }

  /** A version is told at least once after it was closed, when its counts cannot change any more, before it is dropped. */
  #dropClosed(open: Gauges['versions']): void {
    const names = new Set(open.map(({ id }) => nameOf(id)));
    const at = this.#epochMs();
    for (const [name, counts] of this.#byName) {
      if (counts.version === '' || names.has(name)) counts.closedAt = undefined;
      else if (counts.closedAt === undefined) counts.closedAt = at;
      else if (at - counts.closedAt >= closedKeptMs) this.#drop(name, counts);
    }
  }

  #drop(name: string, dropped: VersionCounts): void {
    this.#byName.delete(name);
    for (const [id, counts] of this.#byId) if (counts === dropped) this.#byId.delete(id);
  }
}

function familiesOf(all: readonly VersionCounts[]): Family[] {
  const series: VersionSeries = {
    requests: [],
    rejected: [],
    durations: [],
    queue: [],
    inference: [],
    rows: [],
    fill: [],
  };
  for (const counts of all) counts.addSeries(series);
  const counter = (name: string, help: string, of: readonly Series[]): Family => ({
    name,
    help,
    type: 'counter',
    series: of,
  });
  const histogram = (name: string, help: string, buckets: readonly number[], of: readonly Series[]): Family => ({
    name,
    help,
    type: 'histogram',
    buckets,
    series: of,
  });
  const seconds = (name: string, help: string, of: readonly Series[]) => histogram(name, help, secondsBuckets, of);
  return [
    counter('sluice_requests_total', 'Inference requests answered.', series.requests),
    counter('sluice_rejected_total', 'Inference requests turned away, by reason.', series.rejected),
    seconds('sluice_request_duration_seconds', 'From the arrival of a request to its answer.', series.durations),
    seconds('sluice_queue_duration_seconds', 'Time a request waited for its batch.', series.queue),
    seconds('sluice_inference_duration_seconds', 'Time of one run of the model.', series.inference),
    histogram('sluice_batch_size', 'Rows of one run.', rowsBuckets, series.rows),
    histogram('sluice_batch_fill_ratio', 'Rows of one run by rows allowed.', ratioBuckets, series.fill),
  ];
}

/** A version that is open is told although nobody asked it yet: it holds memory. */
function statisticsOf(all: readonly VersionCounts[], open: Gauges['versions']): VersionStatistics[] {
  const counted = new Map(
    all.flatMap((counts) => (counts.version === '' ? [] : [[nameOf(counts), counts.statistics()] as const])),
  );
  for (const { id, memoryBytes } of open) {
    if (memoryBytes === undefined) continue;
    const one = counted.get(nameOf(id)) ?? emptyStatistics(id.model, id.version);
    counted.set(nameOf(id), { ...one, memoryBytes });
  }
  return [...counted.values()];
}

function gaugesOf(versions: Gauges['versions'], labelsOf: (id: VersionId) => Labels): Family[] {
  const gauge = (name: string, help: string, value: (version: Gauges['versions'][number]) => number): Family => ({
    name,
    help,
    type: 'gauge',
    series: versions.map((version): Series => ({ labels: labelsOf(version.id), value: value(version) })),
  });
  return [
    gauge('sluice_queue_depth', 'Requests that wait for a batch.', ({ depth }) => depth),
    gauge('sluice_inflight', 'Requests that wait or run.', ({ inFlight }) => inFlight),
    gauge(
      'sluice_model_memory_bytes',
      'By how much processes grew when they opened a version.',
      ({ memoryBytes = 0 }) => memoryBytes,
    ),
  ];
}

/** Threads of all versions of the process together; what nobody tells is left out. */
function workersOf({ versions, startingThreads, deadThreads = 0 }: Gauges): Family[] {
  if (startingThreads === undefined) return [];
  let threads = 0;
  let busy = 0;
  for (const version of versions) {
    threads += version.threads ?? 0;
    busy += version.busy ?? 0;
  }
  const states = { busy, idle: threads - busy, starting: startingThreads, dead: deadThreads };
  const series = Object.entries(states).map(([state, value]) => ({ labels: { state }, value }));
  return [{ name: 'sluice_workers', help: 'Threads that run models, by state.', type: 'gauge', series }];
}
