/**
 * A classifier of several classes against its labels (monitoring §14.2): the confusion matrix and what follows from it.
 *
 * Must not know scores.
 */
import type { Metric } from './label-metrics.js';
import { wilsonInterval } from './proportion.js';

/** Classes that are told apart; what comes later counts as `otherClass`. */
export const classesMax = 200;
export const otherClass = '…';

export interface ClassMetrics {
  readonly n: number;
  /** Union of true and predicted ones, in code-unit order. */
  readonly labels: readonly string[];
  /** Rows = truth, columns = prediction. */
  readonly confusion: readonly (readonly number[])[];
  readonly accuracy: Metric;
  readonly f1: readonly number[];
  /** Null without rows. */
  readonly f1_macro: number | null;
  readonly f1_weighted: number | null;
  readonly f1_micro: number | null;
}

export class ClassTally {
  readonly #cells = new Map<string, Map<string, number>>();
  readonly #known = new Set<string>();

  /** @param weight negative to take a row back */
  add(predicted: string, truth: string, weight = 1): void {
    const [column, row] = [this.#named(predicted), this.#named(truth)];
    const cells = this.#cells.get(row) ?? new Map<string, number>();
    this.#cells.set(row, cells);
    cells.set(column, (cells.get(column) ?? 0) + weight);
  }

  #named(label: string): string {
    if (this.#known.has(label)) return label;
    if (this.#known.size >= classesMax) return otherClass;
    this.#known.add(label);
    return label;
  }

  metrics(): ClassMetrics {
    const labels = this.#labels();
    const confusion = labels.map((row) => labels.map((column) => this.#cells.get(row)?.get(column) ?? 0));
    const truths = confusion.map(sumOf);
    const predictions = labels.map((_, column) => sumOf(confusion.map((row) => row[column]!)));
    const n = sumOf(truths);
    const hits = sumOf(labels.map((_, i) => confusion[i]![i]!));
    const f1 = labels.map((_, i) => (2 * confusion[i]![i]!) / (truths[i]! + predictions[i]!));
    const accuracy = n === 0 ? null : hits / n;
    return {
      n,
      labels,
      confusion,
      accuracy: { value: accuracy, interval: wilsonInterval({ hits, n }, 0.05), n },
      f1,
      f1_macro: n === 0 ? null : sumOf(f1) / f1.length,
      f1_weighted: n === 0 ? null : sumOf(f1.map((value, i) => value * truths[i]!)) / n,
      f1_micro: accuracy,
    };
  }

  /** Those with a row; one that was only ever taken back has none. */
  #labels(): string[] {
    const labels = new Set<string>();
    for (const [row, cells] of this.#cells) {
      for (const [column, count] of cells) if (count !== 0) labels.add(row).add(column);
    }
    return [...labels].sort();
  }
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
