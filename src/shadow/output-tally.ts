/**
 * What one shadow has found of one output: running counts of items.
 *
 * Must not know requests or how items are compared.
 */
import { RunningMoments } from '../core/moments.js';
import {
  differenceBins,
  differenceEdge,
  type LabelCount,
  labelsMax,
  type MeasureName,
  measureNames,
  type OutputReport,
  otherLabel,
} from '../core/shadow-report.js';
import type { ItemResult, Label } from './pair.js';

/** A bin's index is the number of inner edges that are not above the difference. */
const innerEdges = Float64Array.from({ length: differenceBins - 1 }, (_, index) => differenceEdge(index + 1));

/** The bin of a difference; an infinite one is in the last. */
export function binOf(difference: number): number {
  let [low, high] = [0, innerEdges.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (innerEdges[middle]! <= difference) low = middle + 1;
    else high = middle;
  }
  return low;
}

class Labels {
  readonly #counts = new Map<Label, { primary: number; shadow: number }>();

  add(label: Label, side: 'primary' | 'shadow'): void {
    let counts = this.#counts.get(label);
    if (counts === undefined) {
      const key = this.#counts.size < labelsMax ? label : otherLabel;
      counts = this.#counts.get(key) ?? { primary: 0, shadow: 0 };
      this.#counts.set(key, counts);
    }
    counts[side]++;
  }

  list(): LabelCount[] {
    return Array.from(this.#counts, ([label, counts]) => ({ label: String(label), ...counts }));
  }
}

export class OutputTally {
  readonly #output: string;
  readonly #labels = new Labels();
  readonly #moments = measureNames.map(() => new RunningMoments());
  readonly #histogram = new Float64Array(differenceBins);
  #items = 0;
  #agreed = 0;
  #matched = 0;
  #argmaxItems = 0;
  #argmaxAgreed = 0;
  #labelled = 0;
  #labelAgreed = 0;
  shapeMismatches = 0;
  tooLarge = 0;

  constructor(output: string) {
    this.#output = output;
  }

  add(item: ItemResult): void {
    this.#items++;
    if (item.isAgreed) this.#agreed++;
    if (item.isMatched) this.#matched++;
    if (item.isArgmaxAgreed !== undefined) {
      this.#argmaxItems++;
      if (item.isArgmaxAgreed) this.#argmaxAgreed++;
    }
    const { primaryLabel, shadowLabel, measures } = item;
    if (primaryLabel !== undefined && shadowLabel !== undefined) {
      this.#labelled++;
      if (primaryLabel === shadowLabel) this.#labelAgreed++;
      this.#labels.add(primaryLabel, 'primary');
      this.#labels.add(shadowLabel, 'shadow');
    }
    for (let at = 0; at < measures.length; at++) this.#moments[at]!.add(measures[at]!);
    const difference = measures[0]!;
    if (!Number.isNaN(difference)) this.#histogram[binOf(difference)]!++;
  }

  report(): OutputReport {
    const measures = measureNames.map((name, at) => [name, this.#moments[at]!.value()] as const);
    return {
      output: this.#output,
      items: this.#items,
      agreed: this.#agreed,
      matched: this.#matched,
      argmaxAgreed: this.#argmaxAgreed,
      argmaxItems: this.#argmaxItems,
      labelled: this.#labelled,
      labelAgreed: this.#labelAgreed,
      labels: this.#labels.list(),
      shapeMismatches: this.shapeMismatches,
      tooLarge: this.tooLarge,
      measures: Object.fromEntries(measures) as Record<MeasureName, ReturnType<RunningMoments['value']>>,
      histogram: Array.from(this.#histogram),
    };
  }
}
