/**
 * A regression against its labels, row by row (monitoring §14.2). A row can be taken back by weight −1.
 *
 * Must not know windows.
 */
import { lossMetric } from './label-binary.js';
import type { Metric } from './label-metrics.js';
import { LossTally } from './loss.js';

export interface NumberMetrics {
  readonly n: number;
  readonly mae: Metric;
  readonly mse: Metric;
  readonly rmse: Metric;
  /** Null when the labels are constant. */
  readonly r2: Metric;
  /** Mean of predicted − true. */
  readonly bias: Metric;
}

export class NumberTally {
  readonly #absolute = new LossTally();
  readonly #squared = new LossTally();
  readonly #signed = new LossTally();
  /** Labels less the first one, so that their squares do not cancel. */
  readonly #labels = new LossTally();
  #first: number | undefined;
  /** Rows in which the prediction or the label is no finite number. */
  invalid = 0;

  add(predicted: number, truth: number, weight = 1): void {
    const error = predicted - truth;
    if (!Number.isFinite(error)) {
      this.invalid++;
      return;
    }
    this.#first ??= truth;
    this.#absolute.add(Math.abs(error), weight);
    this.#squared.add(error * error, weight);
    this.#signed.add(error, weight);
    this.#labels.add(truth - this.#first, weight);
  }

  metrics(): NumberMetrics {
    const [mse, labels] = [lossMetric(this.#squared), this.#labels.value()];
    const spread = (labels.variance ?? 0) * (labels.n - 1);
    const r2 = mse.value === null || spread === 0 ? null : 1 - (mse.value * mse.n) / spread;
    return {
      n: mse.n,
      mae: lossMetric(this.#absolute),
      mse,
      rmse: rootOf(mse),
      r2: { value: r2, interval: null, n: mse.n },
      bias: lossMetric(this.#signed),
    };
  }
}

function rootOf({ value, interval, n }: Metric): Metric {
  const root = (square: number) => Math.sqrt(Math.max(0, square));
  return {
    value: value === null ? null : root(value),
    interval: interval && { low: root(interval.low), high: root(interval.high) },
    n,
  };
}

/** Exact, so it takes the rows: a window of labels has 500. */
export function medianAbsoluteError(predicted: ArrayLike<number>, truth: ArrayLike<number>): number | null {
  const errors = Float64Array.from(predicted, (value, row) => Math.abs(value - truth[row]!))
    .filter(Number.isFinite)
    .sort();
  const middle = errors.length >> 1;
  if (errors.length === 0) return null;
  return errors.length % 2 === 1 ? errors[middle]! : (errors[middle - 1]! + errors[middle]!) / 2;
}
