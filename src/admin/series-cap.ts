/**
 * Which series are shown: so many and no more, so that a caller who finds new labels cannot fill the memory of whoever scrapes.
 *
 * A series that was shown stays shown, or a counter would move from its own series to `_other` and back. What comes when
 * there is no more room is added up there, one series for each family, and counted.
 *
 * Must not know where series come from.
 */
import { addSeries, type Series } from '../core/series.js';
import { labelText } from './label-texts.js';
import type { TextFamily, TextSeries } from './metrics-text.js';

export class SeriesCap {
  /** Label texts by family. */
  readonly #shown = new Map<string, Set<string>>();
  /** How often a series of a family found no room. */
  readonly #overflows = new Map<string, number>();
  readonly #max: number;
  #size = 0;

  constructor(max: number) {
    this.#max = max;
  }

  apply(families: readonly TextFamily[]): TextFamily[] {
    this.#forget(families);
    return families.map((family) => ({ ...family, series: this.#kept(family) }));
  }

  /** A series that is not there any more makes room for another. */
  #forget(families: readonly TextFamily[]): void {
    const present = new Map(families.map(({ name, series }) => [name, series]));
    for (const [name, texts] of this.#shown) {
      const series = present.get(name) ?? [];
      if (series.length >= texts.size && series.every(({ text }) => texts.has(text))) continue;
      const there = new Set(series.map(({ text }) => text));
      for (const text of texts) if (!there.has(text)) this.#size -= texts.delete(text) ? 1 : 0;
    }
  }

  #kept(family: TextFamily): TextSeries[] {
    const texts = this.#shown.get(family.name) ?? new Set();
    this.#shown.set(family.name, texts);
    const kept: TextSeries[] = [];
    let other: Series | undefined;
    let overflows = 0;
    for (const series of family.series) {
      if (texts.has(series.text)) kept.push(series);
      else if (this.#size < this.#max) {
        this.#size++;
        texts.add(series.text);
        kept.push(series);
      } else {
        overflows++;
        other = other === undefined ? otherOf(series) : addSeries(other, series, family.merge ?? 'sum');
      }
    }
    if (other === undefined) return kept;
    this.#overflows.set(family.name, (this.#overflows.get(family.name) ?? 0) + overflows);
    return [...kept, { ...other, text: labelText(other.labels, Object.keys(other.labels)) }];
  }

  /** What it did, as families. */
  families(shown: readonly TextFamily[]): TextFamily[] {
    const seriesOf = (family: string, value: number): TextSeries => ({
      labels: { family },
      value,
      text: labelText({ family }, ['family']),
    });
    return [
      {
        name: 'sluice_metrics_series',
        help: 'Series of each metric family.',
        type: 'gauge',
        series: shown.map(({ name, series }) => seriesOf(name, series.length)),
      },
      {
        name: 'sluice_metrics_overflow_total',
        help: 'Series that found no room and were added up under _other, counted each time that the text was made.',
        type: 'counter',
        series: Array.from(this.#overflows, ([family, count]) => seriesOf(family, count)),
      },
    ];
  }
}

function otherOf(series: Series): Series {
  const labels = Object.fromEntries(Object.keys(series.labels).map((name) => [name, '_other']));
  return { ...series, labels };
}
