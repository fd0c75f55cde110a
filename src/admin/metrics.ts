/**
 * The counts of all processes as one Prometheus text.
 *
 *   gateway process ─ snapshot, whole since its start ─▶ put(incarnation) ─┐
 *   gateway process ─ ended ───────────────────────────▶ end(incarnation) ─┼─▶ merge ─▶ cap ─▶ text()
 *   control ─ its own families ────────────────────────────────────────────┘
 *
 * A process that ends leaves its counters and histograms in a retained sum, so that a counter never goes down while control
 * lives; its gauges go with it. The number of series is bounded: a series that was shown stays shown, and what comes when
 * there is no more room is added up under `_other`, one series for each family.
 *
 * Must not know who asks.
 */
import { Registry } from 'prom-client';
import { addSeries, type Family, mergeFamilies, type Series, seriesKey } from '../core/series.js';

const endedMax = 1000;
const seriesMaxUsual = 5000;

export interface MetricsRoom {
  /** The latest counts of a process; an incarnation is one life of one process. What comes after its end is ignored. */
  put(incarnation: string, families: readonly Family[]): void;
  end(incarnation: string): void;
  /** A version that is gone for good: its retained series are dropped. */
  forget(model: string, version: string): void;
  /** @param own families of control itself */
  text(own: readonly Family[]): Promise<string>;
  readonly contentType: string;
}

export function createMetricsRoom(options: { readonly seriesMax?: number } = {}): MetricsRoom {
  const living = new Map<string, readonly Family[]>();
  const ended = new Set<string>();
  const cap = new SeriesCap(options.seriesMax ?? seriesMaxUsual);
  let retained: readonly Family[] = [];

  return {
    contentType: Registry.PROMETHEUS_CONTENT_TYPE,
    put(incarnation, families) {
      if (!ended.has(incarnation)) living.set(incarnation, families);
    },
    end(incarnation) {
      const last = living.get(incarnation) ?? [];
      living.delete(incarnation);
      retained = mergeFamilies(
        retained,
        last.filter((family) => family.type !== 'gauge'),
      );
      ended.add(incarnation);
      if (ended.size > endedMax) ended.delete(ended.values().next().value!);
    },
    forget(model, version) {
      const isOther = ({ labels }: Series) => labels.model !== model || labels.version !== version;
      for (const family of retained) {
        for (const series of family.series) if (!isOther(series)) cap.forget(family.name, series);
      }
      retained = retained.map((family) => ({ ...family, series: family.series.filter(isOther) }));
    },
    async text(own) {
      const merged = [retained, ...living.values()].reduce(mergeFamilies, own);
      const shown = merged.map((family) => ({ ...family, series: cap.apply(family) }));
      return render([...shown, seriesFamily(shown)]);
    },
  };
}

/** Which series may be shown. Once shown is always shown, or a counter would move from its own series to `_other` and back. */
class SeriesCap {
  readonly #shown = new Set<string>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  apply(family: Family): Series[] {
    const kept: Series[] = [];
    let other: Series | undefined;
    for (const series of family.series) {
      if (this.#admit(`${family.name} ${seriesKey(series.labels)}`)) kept.push(series);
      else other = other === undefined ? otherOf(series) : addSeries(other, series, family.merge ?? 'sum');
    }
    return other === undefined ? kept : [...kept, other];
  }

  forget(family: string, series: Series): void {
    this.#shown.delete(`${family} ${seriesKey(series.labels)}`);
  }

  #admit(key: string): boolean {
    if (this.#shown.has(key)) return true;
    if (this.#shown.size >= this.#max) return false;
    this.#shown.add(key);
    return true;
  }
}

function otherOf(series: Series): Series {
  const labels = Object.fromEntries(Object.keys(series.labels).map((name) => [name, '_other']));
  return { ...series, labels };
}

function seriesFamily(shown: readonly Family[]): Family {
  return {
    name: 'sluice_metrics_series',
    help: 'Series of each metric family.',
    type: 'gauge',
    series: shown.map(({ name, series }) => ({ labels: { family: name }, value: series.length })),
  };
}

/** One line of the text, as prom-client takes it. */
interface Line {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** prom-client asks a metric for its values when it writes the text; ours have them already. */
function render(families: readonly Family[]): Promise<string> {
  const registry = new Registry();
  for (const { name, help, type, buckets, series } of families) {
    const values = series.flatMap((one) =>
      type === 'histogram'
        ? histogramLines(name, buckets ?? [], one)
        : [{ metricName: name, labels: one.labels, value: one.value }],
    );
    const metric = { name, get: async () => ({ name, help, type, values, aggregator: 'sum' }) };
    registry.registerMetric(metric as never);
  }
  return registry.metrics();
}

function histogramLines(name: string, buckets: readonly number[], series: Series): Line[] {
  const { labels, value, counts = [], sum = 0 } = series;
  let below = 0;
  const lines = buckets.map((le, index): Line => {
    below += counts[index] ?? 0;
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below };
  });
  return [
    ...lines,
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value },
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value },
  ];
}
