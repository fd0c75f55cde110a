/**
 * PART OF THE ROOT: one labelled prediction as an observation of a metric, for experiments and canaries.
 *
 * Must not know who compares them.
 */
import type { Joined } from '../labels/label-record.js';
import { classOf, isPositive } from '../labels/meaning.js';

const chanceLeast = 1e-15;

/** @returns undefined for a metric that a single label says nothing of */
export function observationOf(metric: string, prediction: Joined, label: string): number | undefined {
  const value = metric === 'accuracy' ? accuracyOf(prediction, label) : lossOf(metric, prediction, label);
  return value !== undefined && Number.isFinite(value) ? value : undefined;
}

function accuracyOf({ predicted, score, meaning }: Joined, label: string): number | undefined {
  if (meaning.task === 'numbers') return undefined;
  if (meaning.task === 'binary' && score !== undefined) {
    const truth = isPositive(meaning, label);
    return truth === undefined ? undefined : Number(score >= meaning.threshold === truth);
  }
  return predicted === undefined ? undefined : Number(classOf(meaning, predicted) === classOf(meaning, label));
}

function lossOf(metric: string, { predicted, score, meaning }: Joined, label: string): number | undefined {
  const value = score ?? Number(predicted ?? NaN);
  if (meaning.task === 'numbers') {
    if (metric === 'mae') return Math.abs(value - Number(label));
    return metric === 'mse' ? (value - Number(label)) ** 2 : undefined;
  }
  const truth = isPositive(meaning, label);
  if (meaning.task !== 'binary' || score === undefined || truth === undefined) return undefined;
  if (metric === 'brier') return (score - Number(truth)) ** 2;
  const chance = truth ? score : 1 - score;
  return metric === 'log_loss' ? -Math.log(Math.min(1 - chanceLeast, Math.max(chanceLeast, chance))) : undefined;
}
