/**
 * A binary classifier against its labels, row by row (monitoring §14.2). A row can be taken back by adding it with weight −1,
 * which is how a corrected label replaces the first one.
 *
 * Must not know windows, or how a row meets its label.
 */
import { type Metric, noMetric } from './label-metrics.js';
import { aucInterval, binnedAuc } from './label-ranking.js';
import { LossTally, meanInterval } from './loss.js';
import { wilsonInterval } from './proportion.js';

const scoreBins = 1000;
const calibrationBins = 10;
const chanceLeast = 1e-15;

export interface BinaryMetrics {
  readonly n: number;
  readonly tp: number;
  readonly fp: number;
  readonly tn: number;
  readonly fn: number;
  readonly accuracy: Metric;
  readonly precision: Metric;
  readonly recall: Metric;
  /** Null without negatives. */
  readonly specificity: Metric;
  /** Without a verdict: it has no simple interval. So has mcc. */
  readonly f1: Metric;
  readonly mcc: Metric;
  readonly brier: Metric;
  readonly log_loss: Metric;
  /** From 1,000 bins of the score. */
  readonly auc: Metric;
  readonly auc_error_max: number | null;
  readonly ece: Metric;
}

export class BinaryTally {
  readonly #threshold: number;
  #tp = 0;
  #fp = 0;
  #tn = 0;
  #fn = 0;
  /** Scores that are no number from 0 to 1. */
  invalid = 0;
  readonly #brier = new LossTally();
  readonly #logLoss = new LossTally();
  readonly #positives = new Float64Array(scoreBins);
  readonly #negatives = new Float64Array(scoreBins);
  readonly #calibration = Array.from({ length: calibrationBins }, () => ({ n: 0, scores: 0, labels: 0 }));

  /** @param threshold of the score, from which a row is predicted positive */
  constructor(threshold = 0.5) {
    this.#threshold = threshold;
  }

  add(score: number, isPositive: boolean, weight = 1): void {
    if (!(score >= 0 && score <= 1)) {
      this.invalid++;
      return;
    }
    const truth = isPositive ? 1 : 0;
    this.#count(score >= this.#threshold, isPositive, weight);
    this.#brier.add((score - truth) ** 2, weight);
    const chance = isPositive ? score : 1 - score;
    this.#logLoss.add(-Math.log(Math.min(1 - chanceLeast, Math.max(chanceLeast, chance))), weight);
    (isPositive ? this.#positives : this.#negatives)[Math.min(Math.floor(scoreBins * score), scoreBins - 1)]! += weight;
    const bin = this.#calibration[Math.min(Math.floor(calibrationBins * score), calibrationBins - 1)]!;
    bin.n += weight;
    bin.scores += weight * score;
    bin.labels += weight * truth;
  }

  #count(isPredicted: boolean, isPositive: boolean, weight: number): void {
    if (isPredicted && isPositive) this.#tp += weight;
    else if (isPredicted) this.#fp += weight;
    else if (isPositive) this.#fn += weight;
    else this.#tn += weight;
  }

  metrics(): BinaryMetrics {
    const [tp, fp, tn, fn] = [this.#tp, this.#fp, this.#tn, this.#fn];
    const n = tp + fp + tn + fn;
    return {
      n,
      tp,
      fp,
      tn,
      fn,
      accuracy: shareMetric(tp + tn, n, null),
      precision: shareMetric(tp, tp + fp, n === 0 ? null : 0),
      recall: shareMetric(tp, tp + fn, n === 0 ? null : 0),
      specificity: shareMetric(tn, tn + fp, null),
      f1: n === 0 ? noMetric : { value: ratio(2 * tp, 2 * tp + fp + fn), interval: null, n },
      mcc: n === 0 ? noMetric : { value: matthews(tp, fp, tn, fn), interval: null, n },
      brier: lossMetric(this.#brier),
      log_loss: lossMetric(this.#logLoss),
      ...this.#auc(tp + fn, fp + tn),
      ece: { value: this.#calibrationError(n), interval: null, n },
    };
  }

  #auc(positives: number, negatives: number): { auc: Metric; auc_error_max: number | null } {
    const { auc, errorMax } = binnedAuc(this.#positives, this.#negatives);
    const interval = auc === null ? null : aucInterval(auc, positives, negatives);
    return { auc: { value: auc, interval, n: positives + negatives }, auc_error_max: errorMax };
  }

  #calibrationError(total: number): number | null {
    if (total === 0) return null;
    return this.#calibration.reduce(
      (sum, { n, scores, labels }) => sum + (n > 0 ? Math.abs(scores - labels) / total : 0),
      0,
    );
  }

  /** Mean score against the share of positives by tenth of the score, for a picture. */
  calibration(): { readonly n: number; readonly mean_score: number | null; readonly positive_share: number | null }[] {
    return this.#calibration.map(({ n, scores, labels }) => ({
      n,
      mean_score: n > 0 ? scores / n : null,
      positive_share: n > 0 ? labels / n : null,
    }));
  }
}

/** @param ofNothing what the share of nothing is */
function shareMetric(hits: number, n: number, ofNothing: number | null): Metric {
  return { value: n === 0 ? ofNothing : hits / n, interval: wilsonInterval({ hits, n }, 0.05), n };
}

export function lossMetric(loss: LossTally): Metric {
  const value = loss.value();
  return { value: value.mean, interval: meanInterval(value), n: value.n };
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

function matthews(tp: number, fp: number, tn: number, fn: number): number {
  const root = Math.sqrt(tp + fp) * Math.sqrt(tp + fn) * Math.sqrt(tn + fp) * Math.sqrt(tn + fn);
  return ratio(tp * tn - fp * fn, root);
}
