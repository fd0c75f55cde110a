/**
 * The guard after a swap: for a minute the new version is compared with the last minute of the old one, and goes back when it
 * fails, crawls, or is blamed for a crash.
 *
 *   families of all processes ─▶ versionTraffic() ─▶ trafficSince() ─▶ guardVerdict()
 *
 * Must not know processes, or how a version is taken back.
 */
import { isServerFault } from '../core/arm-counts.js';
import type { OutcomeCode } from '../core/inference.js';
import type { VersionId } from '../core/model.js';
import type { Family, Series } from '../core/series.js';
import { type BreachNumbers, type BreachRule, breachOf, type Traffic } from './breach.js';

/** How long after a swap it takes a version back. */
export const guardMs = 60_000;

const rule: BreachRule = {
  requestsMin: 50,
  faultShareMin: 0.01,
  faultRatioMin: 3,
  faultChanceMax: 0.01,
  p99RatioMax: 2,
  p99HardMs: null,
};

/** The families that `versionTraffic` reads. */
export const trafficFamilies: readonly string[] = ['sluice_requests_total', 'sluice_request_duration_seconds'];

/** What a version answered since control started, over protocols and variants. */
export function versionTraffic(families: readonly Family[], { model, version }: VersionId): Traffic {
  const seriesOf = (name: string) => {
    const family = families.find((one) => one.name === name);
    const series = (family?.series ?? []).filter((one) => one.labels.model === model && one.labels.version === version);
    return { family, series };
  };
  const requests = seriesOf('sluice_requests_total').series;
  const durations = seriesOf('sluice_request_duration_seconds');
  return {
    requests: sumOf(requests),
    faults: sumOf(requests.filter(({ labels }) => isServerFault(labels.code as OutcomeCode))),
    latency: {
      boundsMs: (durations.family?.buckets ?? []).map((seconds) => seconds * 1000),
      counts: columnSums(durations.series.map(({ counts }) => counts ?? [])),
    },
  };
}

function sumOf(series: readonly Series[]): number {
  return series.reduce((sum, { value }) => sum + value, 0);
}

function columnSums(columns: readonly (readonly number[])[]): number[] {
  const sums: number[] = [];
  for (const column of columns) for (const [i, count] of column.entries()) sums[i] = (sums[i] ?? 0) + count;
  return sums;
}

/** What came after `earlier`. */
export function trafficSince(later: Traffic, earlier: Traffic): Traffic {
  return {
    requests: later.requests - earlier.requests,
    faults: later.faults - earlier.faults,
    latency: {
      boundsMs: later.latency.boundsMs,
      counts: later.latency.counts.map((count, i) => count - (earlier.latency.counts[i] ?? 0)),
    },
  };
}

export interface GuardVerdict {
  readonly isRollback: boolean;
  readonly reasons: readonly ('crashed' | 'hung' | 'errors' | 'p99')[];
  readonly numbers: BreachNumbers;
}

export interface GuardLook {
  readonly sinceSwapMs: number;
  /** The last minute of the old version. */
  readonly before: Traffic;
  /** The new version since the swap. */
  readonly after: Traffic;
  readonly blamed: 'crashed' | 'hung' | null;
}

export function guardVerdict({ sinceSwapMs, before, after, blamed }: GuardLook): GuardVerdict {
  const breach = breachOf(after, before, rule);
  const reasons = blamed === null ? breach.reasons : [blamed, ...breach.reasons];
  return { isRollback: reasons.length > 0 && sinceSwapMs <= guardMs, reasons, numbers: breach.numbers };
}
