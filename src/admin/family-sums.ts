/**
 * Families of several processes added up, series by series, in place.
 *
 *   add(families of one process) ─┐
 *   add(families of another) ─────┴▶ families(), each series with its label text
 *
 * Must not know processes, or which series are shown.
 */
import { GatewayError } from '../core/errors.js';
import { addSeries, type Family, type Series } from '../core/series.js';
import type { LabelTexts } from './label-texts.js';
import type { TextFamily, TextSeries } from './metrics-text.js';

interface Sum {
  readonly family: Family;
  readonly series: Map<string, TextSeries>;
}

export class FamilySums {
  readonly #sums = new Map<string, Sum>();
  readonly #texts: LabelTexts;

  constructor(texts: LabelTexts) {
    this.#texts = texts;
  }

  /**
   * @param isLeftOut series that do not count
   * @throws INTERNAL when two families of one name differ in type or buckets
   */
  add(families: readonly Family[], isLeftOut?: (series: Series) => boolean): void {
    for (const family of families) {
      const sum = this.#sumOf(family);
      for (const series of family.series) if (!isLeftOut?.(series)) this.#addSeries(sum, series);
    }
  }

  #sumOf(family: Family): Sum {
    let sum = this.#sums.get(family.name);
    if (sum === undefined) {
      sum = { family, series: new Map() };
      this.#sums.set(family.name, sum);
    } else if (sum.family.type !== family.type || String(sum.family.buckets) !== String(family.buckets))
      throw new GatewayError('INTERNAL', `metric '${family.name}' has two types or two sets of buckets`);
    return sum;
  }

  #addSeries({ family, series: all }: Sum, series: Series): void {
    const text = this.#texts.of(series.labels);
    const known = all.get(text);
    const { labels, value, counts, sum, exemplars } =
      known === undefined ? series : addSeries(known, series, family.merge ?? 'sum');
    all.set(text, { labels, value, counts, sum, exemplars, text });
  }

  families(): TextFamily[] {
    return Array.from(this.#sums.values(), ({ family, series }) => ({ ...family, series: [...series.values()] }));
  }
}
