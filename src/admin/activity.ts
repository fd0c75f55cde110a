/**
 * What the console draws, out of the families of all processes: totals since the start, of which two looks make a rate.
 *
 * The whole text of metrics would be ten times as much to send and a parser to write.
 *
 * Must not know who asks or how often.
 */
import { isServerFault } from '../core/arm-counts.js';
import type { OutcomeCode } from '../core/inference.js';
import { type Family, type Series, secondsBuckets } from '../core/series.js';

export interface HistogramTotal {
  /** In each bucket alone; one more than bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

export interface VersionActivity {
  readonly model: string;
  /** Empty for requests that were refused before a version was found. */
  readonly version: string;
  readonly requests: number;
  /** Those that ended in a fault of the server. */
  readonly faults: number;
  readonly latency: HistogramTotal;
  readonly queue_depth: number;
  readonly inflight: number;
  readonly batches: number;
  /** Of all batches, each between 0 and 1. */
  readonly fill_sum: number;
}

export interface Activity {
  /** Milliseconds of a clock that never goes back. */
  readonly at_ms: number;
  /** Upper bounds of every histogram here, in seconds. */
  readonly bounds_s: readonly number[];
  readonly versions: readonly VersionActivity[];
  readonly assignments: readonly { readonly route: string; readonly variant: string; readonly requests: number }[];
  readonly event_loop_lag: HistogramTotal;
  readonly workers: Readonly<Record<string, number>>;
  readonly processes: Readonly<Record<string, number>>;
}

/** @param families added up over all processes */
export function activityOf(families: readonly Family[], atMs: number): Activity {
  const byName = new Map(families.map(({ name, series }) => [name, series]));
  const series = (name: string): readonly Series[] => byName.get(`sluice_${name}`) ?? [];
  const totals = new Totals();
  for (const { labels, value } of series('requests_total')) {
    const total = totals.of(labels);
    total.requests += value;
    if (isServerFault(labels.code as OutcomeCode)) total.faults += value;
  }
  for (const one of series('request_duration_seconds')) totals.of(one.labels).latency.add(one);
  for (const { labels, value } of series('queue_depth')) totals.of(labels).queue_depth += value;
  for (const { labels, value } of series('inflight')) totals.of(labels).inflight += value;
  for (const { labels, value, sum = 0 } of series('batch_fill_ratio')) {
    const total = totals.of(labels);
    total.batches += value;
    total.fill_sum += sum;
  }
  const lag = new HistogramSum();
  // Of the threads that serve: another that is late has nobody waiting.
  for (const one of series('event_loop_lag_seconds')) if (one.labels.thread === 'main') lag.add(one);
  return {
    at_ms: atMs,
    bounds_s: secondsBuckets,
    versions: totals.all(),
    assignments: assignmentsOf(series('assignments_total')),
    event_loop_lag: lag,
    workers: byState(series('workers')),
    processes: byState(series('processes')),
  };
}

class HistogramSum implements HistogramTotal {
  readonly counts: number[] = new Array(secondsBuckets.length + 1).fill(0);
  sum = 0;

  add({ counts = [], sum = 0 }: Series): void {
    counts.forEach((count, bucket) => {
      this.counts[bucket]! += count;
    });
    this.sum += sum;
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type Total = Writable<Omit<VersionActivity, 'latency'>> & { readonly latency: HistogramSum };

/** One for each version that any series names. */
class Totals {
  readonly #byName = new Map<string, Total>();

  of({ model = '', version = '' }: Series['labels']): Total {
    const name = `${model}\n${version}`;
    let total = this.#byName.get(name);
    if (total === undefined) {
      const latency = new HistogramSum();
      total = { model, version, requests: 0, faults: 0, latency, queue_depth: 0, inflight: 0, batches: 0, fill_sum: 0 };
      this.#byName.set(name, total);
    }
    return total;
  }

  all(): VersionActivity[] {
    return [...this.#byName.values()];
  }
}

/** Over all reasons. */
function assignmentsOf(all: readonly Series[]): Activity['assignments'] {
  const sums = new Map<string, { route: string; variant: string; requests: number }>();
  for (const { labels, value } of all) {
    const { route = '', variant = '' } = labels;
    const sum = sums.get(`${route}\n${variant}`) ?? { route, variant, requests: 0 };
    sum.requests += value;
    sums.set(`${route}\n${variant}`, sum);
  }
  return [...sums.values()];
}

function byState(all: readonly Series[]): Record<string, number> {
  return Object.fromEntries(all.map(({ labels, value }) => [labels.state ?? '', value]));
}
