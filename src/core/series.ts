/**
 * Counts of a process as plain values, which merge by addition: what a gateway process sends up and control makes one text of.
 *
 * A family is one metric name; a series is one set of labels within it. Histograms carry the count of each bucket by itself
 * (not cumulative, the last one is +Inf), because such counts add like counters do.
 *
 * Must not know the text format, or who counts.
 */
import { GatewayError } from './errors.js';

/** A traced request, as an example of what a bucket counts. */
export interface Exemplar {
  readonly traceId: string;
  readonly value: number;
  /** Milliseconds since the epoch. */
  readonly epochMs: number;
}

/** By bucket, the last one each. */
export type Exemplars = readonly (Exemplar | undefined)[];

export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  /** Of a histogram: how many observations. */
  readonly value: number;
  /** Observations in each bucket alone, one more than `buckets`: the last is everything above. */
  readonly counts?: readonly number[];
  readonly sum?: number;
  readonly exemplars?: Exemplars | undefined;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Upper bounds, ascending, without +Inf. */
  readonly buckets?: readonly number[];
  /** How gauges of several processes become one; a fact such as a version is the same in each and must not add up. */
  readonly merge?: 'sum' | 'max';
  readonly series: readonly Series[];
}

/** Upper bounds in seconds of every latency histogram. */
export const secondsBuckets: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

export const rowsBuckets: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/** How full batches are: rows by rows allowed. */
export const ratioBuckets: readonly number[] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

/** The identity of a series within its family; the order of the labels does not matter. */
export function seriesKey(labels: Readonly<Record<string, string>>): string {
  const names = Object.keys(labels).sort();
  return JSON.stringify(names.map((name) => [name, labels[name]]));
}

/**
 * Both as one: series with the same labels are added, everything else is kept. Order is that of `a`, then what is new in `b`.
 * @throws INTERNAL when two families of one name differ in type or buckets
 */
export function mergeFamilies(a: readonly Family[], b: readonly Family[]): Family[] {
  const merged = new Map(a.map((family) => [family.name, family]));
  for (const family of b) {
    const known = merged.get(family.name);
    merged.set(family.name, known === undefined ? family : { ...known, series: mergeSeries(known, family) });
  }
  return [...merged.values()];
}

function mergeSeries(a: Family, b: Family): Series[] {
  if (a.type !== b.type || String(a.buckets) !== String(b.buckets)) {
    throw new GatewayError('INTERNAL', `metric '${a.name}' has two types or two sets of buckets`);
  }
  const merged = new Map(a.series.map((series) => [seriesKey(series.labels), series]));
  for (const series of b.series) {
    const key = seriesKey(series.labels);
    const known = merged.get(key);
    merged.set(key, known === undefined ? series : addSeries(known, series, a.merge ?? 'sum'));
  }
  return [...merged.values()];
}

/** Two series with the same meaning as one, under the labels of `a`. */
export function addSeries(a: Series, b: Series, merge: 'sum' | 'max'): Series {
  const value = merge === 'max' ? Math.max(a.value, b.value) : a.value + b.value;
  if (a.counts === undefined || b.counts === undefined) return { labels: a.labels, value };
  const counts = a.counts.map((count, index) => count + (b.counts![index] ?? 0));
  const added = { labels: a.labels, value, counts, sum: (a.sum ?? 0) + (b.sum ?? 0) };
  const exemplars = newestOf(a.exemplars, b.exemplars);
  return exemplars === undefined ? added : { ...added, exemplars };
}

function newestOf(a: Exemplars | undefined, b: Exemplars | undefined): Exemplars | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Array.from({ length: Math.max(a.length, b.length) }, (_, bucket) => {
    const [one, other] = [a[bucket], b[bucket]];
    return one === undefined || (other !== undefined && other.epochMs > one.epochMs) ? other : one;
  });
}
