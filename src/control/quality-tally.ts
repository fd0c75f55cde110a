/**
 * PART OF THE ROOT: labelled predictions of one stretch, counted by what the version's answers stand for.
 *
 * Must not know stretches.
 */
import type { LabelRecord } from '../labels/label-record.js';
import { classOf, isPositive, type Meaning } from '../labels/meaning.js';
import { BinaryTally } from '../monitor/label-binary.js';
import { ClassTally } from '../monitor/label-classes.js';
import type { Metric } from '../monitor/label-metrics.js';
import { NumberTally } from '../monitor/label-numbers.js';

type Told = Pick<LabelRecord, 'prediction'> & { readonly told: Pick<LabelRecord['told'], 'label' | 'weight'> };

export interface QualityTally {
  /** @param sign −1 takes it back */
  add(record: Told, sign: 1 | -1): void;
  metrics(): Readonly<Record<string, Metric>>;
  /** Mean score against the share of positives, by tenth of the score. */
  readonly calibration?: () => ReturnType<BinaryTally['calibration']>;
}

export function tallyFor(meaning: Meaning): QualityTally {
  switch (meaning.task) {
    case 'binary':
      return binary(meaning);
    case 'classes':
      return classes();
    case 'numbers':
      return numbers();
  }
}

function binary({ threshold }: Meaning): QualityTally {
  const tally = new BinaryTally(threshold);
  return {
    add: ({ prediction, told }, sign) => {
      const truth = isPositive(prediction.meaning, told.label);
      if (truth !== undefined) tally.add(prediction.score ?? NaN, truth, sign * told.weight);
    },
    metrics: () => {
      const { accuracy, precision, recall, specificity, f1, mcc, auc, log_loss, brier, ece } = tally.metrics();
      return { accuracy, precision, recall, specificity, f1, mcc, auc, log_loss, brier, ece };
    },
    calibration: () => tally.calibration(),
  };
}

function classes(): QualityTally {
  const tally = new ClassTally();
  return {
    add: ({ prediction, told }, sign) => {
      const { predicted, meaning } = prediction;
      if (predicted === undefined) return;
      tally.add(classOf(meaning, predicted), classOf(meaning, told.label), sign * told.weight);
    },
    metrics: () => {
      const { n, accuracy, f1_macro, f1_weighted } = tally.metrics();
      const plain = (value: number | null): Metric => ({ value, interval: null, n });
      return { accuracy, f1_macro: plain(f1_macro), f1_weighted: plain(f1_weighted) };
    },
  };
}

function numbers(): QualityTally {
  const tally = new NumberTally();
  return {
    add: ({ prediction: { predicted, score }, told }, sign) => {
      const value = score ?? (predicted === undefined ? NaN : Number(predicted));
      tally.add(value, Number(told.label), sign * told.weight);
    },
    metrics: () => {
      const { mae, rmse, mse, r2, bias } = tally.metrics();
      return { mae, rmse, mse, r2, bias };
    },
  };
}

/** The metric by which a version is called worse, and which way it goes. */
export function headlineOf({ task }: Meaning): { readonly metric: string; readonly lowerIsBetter: boolean } {
  return task === 'numbers' ? { metric: 'mae', lowerIsBetter: true } : { metric: 'accuracy', lowerIsBetter: false };
}
