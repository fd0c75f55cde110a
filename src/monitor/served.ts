/**
 * What one version served, read from the families of the processes: requests with their faults and latency, and the runs of its
 * model by themselves, which nothing but the model and the machine makes longer.
 *
 *   families of all processes ─▶ servedBy() ─▶ servedSince() ─▶ guardVerdict()
 *
 * Must not know processes, or what is concluded.
 */
import { isServerFault } from '../core/arm-counts.js';
import type { OutcomeCode } from '../core/inference.js';
import type { VersionId } from '../core/model.js';
import type { Family, Series } from '../core/series.js';
import { noTraffic, type Traffic } from './breach.js';
import type { LatencyCounts } from './latency.js';

export interface RunTimes extends LatencyCounts {
  readonly sumMs: number;
}

export interface Served extends Traffic {
  readonly runs: RunTimes;
}

export const nothingServed: Served = { ...noTraffic, runs: { ...noTraffic.latency, sumMs: 0 } };

/** The families that `servedBy` reads. */
export const servedFamilies: readonly string[] = [
  'sluice_requests_total',
  'sluice_request_duration_seconds',
  'sluice_inference_duration_seconds',
];

/** Since control started, over protocols and variants. */
export function servedBy(families: readonly Family[], { model, version }: VersionId): Served {
  const ofVersion = (name: string) => {
    const family = families.find((one) => one.name === name);
    const series = (family?.series ?? []).filter((one) => one.labels.model === model && one.labels.version === version);
    return { family, series };
  };
  const { series: requests } = ofVersion('sluice_requests_total');
  return {
    requests: total(requests.map(({ value }) => value)),
    faults: total(requests.filter(({ labels }) => isServerFault(labels.code as OutcomeCode)).map(({ value }) => value)),
    latency: timesOf(ofVersion('sluice_request_duration_seconds')),
    runs: timesOf(ofVersion('sluice_inference_duration_seconds')),
  };
}

interface Timed {
  readonly family: Family | undefined;
  readonly series: readonly Series[];
}

function timesOf({ family, series }: Timed): RunTimes {
  return {
    boundsMs: (family?.buckets ?? []).map((seconds) => seconds * 1000),
    counts: series.reduce<number[]>((sums, { counts = [] }) => addedCounts(sums, counts), []),
    sumMs: total(series.map(({ sum = 0 }) => sum)) * 1000,
  };
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** What came after `earlier`. A version that was closed and opened again begins at nothing: then all there is came after. */
export function servedSince(later: Served, earlier: Served): Served {
  if (later.requests < earlier.requests) return later;
  return {
    requests: later.requests - earlier.requests,
    faults: later.faults - earlier.faults,
    latency: timesSince(later.latency, earlier.latency),
    runs: { ...timesSince(later.runs, earlier.runs), sumMs: later.runs.sumMs - earlier.runs.sumMs },
  };
}

function timesSince(later: LatencyCounts, earlier: LatencyCounts): LatencyCounts {
  return { boundsMs: later.boundsMs, counts: later.counts.map((count, i) => count - (earlier.counts[i] ?? 0)) };
}

/** Of two processes. */
export function servedTogether(a: Served, b: Served): Served {
  return {
    requests: a.requests + b.requests,
    faults: a.faults + b.faults,
    latency: timesTogether(a.latency, b.latency),
    runs: { ...timesTogether(a.runs, b.runs), sumMs: a.runs.sumMs + b.runs.sumMs },
  };
}

function timesTogether(a: LatencyCounts, b: LatencyCounts): LatencyCounts {
  const { boundsMs } = a.boundsMs.length > 0 ? a : b;
  return { boundsMs, counts: addedCounts(a.counts, b.counts) };
}

function addedCounts(a: readonly number[], b: readonly number[]): number[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => (a[i] ?? 0) + (b[i] ?? 0));
}
