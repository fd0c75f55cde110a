/**
 * How good a classifier probably is, told without labels: confidence-based performance estimation (monitoring §14.4).
 *
 * If scores are calibrated, a row predicted positive with probability ĉ is right with chance ĉ, and the sums of those chances
 * are the expected confusion matrix. It sees that inputs have moved to where the model is unsure; it does **not** see that the
 * relation between inputs and labels has changed, and every answer says so.
 *
 * Source: the CBPE of NannyML.
 *
 * Must not know where scores come from.
 */
import { IsotonicMap } from './isotonic.js';
import { clearPart, type Level, type Look } from './persistence.js';
import type { Calibration } from './profile-document.js';

const assumption =
  'estimated without labels: it sees a change of the inputs, not a change of the relation between inputs and labels';

export interface CbpeOptions {
  /** Scores from which the prediction is positive. */
  readonly threshold?: number;
  /** Without one scores are taken as probabilities. */
  readonly calibration?: Calibration;
}

export interface CbpeEstimate {
  readonly n: number;
  /** The rest is null without rows. */
  readonly accuracy: number | null;
  readonly precision: number | null;
  readonly recall: number | null;
  readonly f1: number | null;
  /** Null also when no row can be positive, or none negative. */
  readonly auc: number | null;
  readonly insufficientData?: true;
}

/** Expected counts of right and wrong predictions; they merge by addition. */
export interface ExpectedCounts {
  readonly tp: number;
  readonly fp: number;
  readonly fn: number;
  readonly tn: number;
}

export class CbpeTally {
  readonly #map: IsotonicMap;
  readonly #threshold: number;
  #tp = 0;
  #fp = 0;
  #fn = 0;
  #tn = 0;

  constructor({ threshold = 0.5, calibration = { x: [], y: [] } }: CbpeOptions = {}) {
    this.#map = new IsotonicMap(calibration);
    this.#threshold = threshold;
  }

  /** What is not a finite number is no score and counts nowhere. */
  add(score: number): void {
    if (!Number.isFinite(score)) return;
    const chance = this.#map.of(score);
    if (score >= this.#threshold) {
      this.#tp += chance;
      this.#fp += 1 - chance;
    } else {
      this.#fn += chance;
      this.#tn += 1 - chance;
    }
  }

  counts(): ExpectedCounts {
    return { tp: this.#tp, fp: this.#fp, fn: this.#fn, tn: this.#tn };
  }
}

export function addExpected(a: ExpectedCounts, b: ExpectedCounts): ExpectedCounts {
  return { tp: a.tp + b.tp, fp: a.fp + b.fp, fn: a.fn + b.fn, tn: a.tn + b.tn };
}

/** What can be said from sums alone. */
export function estimateOf({ tp, fp, fn, tn }: ExpectedCounts): Omit<CbpeEstimate, 'auc' | 'n'> {
  const n = tp + fp + fn + tn;
  if (n === 0) return { accuracy: null, precision: null, recall: null, f1: null, insufficientData: true };
  return {
    accuracy: (tp + tn) / n,
    precision: ratio(tp, tp + fp),
    recall: ratio(tp, tp + fn),
    f1: ratio(tp, tp + 0.5 * (fp + fn)),
  };
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

/** Of a list of scores of the positive class. */
export function cbpe(probabilities: ArrayLike<number>, options: CbpeOptions = {}): CbpeEstimate {
  const scores = Float64Array.from(probabilities).filter(Number.isFinite);
  const tally = new CbpeTally(options);
  for (const score of scores) tally.add(score);
  const map = new IsotonicMap(options.calibration ?? { x: [], y: [] });
  const chances = scores.map((score) => map.of(score));
  return { n: scores.length, ...estimateOf(tally.counts()), auc: expectedAuc(chances) };
}

/** Trapezoids under the expected curve, chances descending; rows of equal chance lie on a straight line. */
function expectedAuc(chances: Float64Array): number | null {
  const descending = chances.toSorted().reverse();
  let [tp, fp, area] = [0, 0, 0];
  for (const chance of descending) {
    const [tpNext, fpNext] = [tp + chance, fp + 1 - chance];
    area += ((fpNext - fp) * (tp + tpNext)) / 2;
    [tp, fp] = [tpNext, fpNext];
  }
  return tp > 0 && fp > 0 ? area / (tp * fp) : null;
}

/** Several classes: mean of the calibrated probability of the predicted one. */
export function cbpeAccuracy(predictedProbabilities: ArrayLike<number>, calibration?: Calibration): number | null {
  const scores = Float64Array.from(predictedProbabilities).filter(Number.isFinite);
  const map = new IsotonicMap(calibration ?? { x: [], y: [] });
  return scores.length === 0 ? null : scores.reduce((sum, score) => sum + map.of(score), 0) / scores.length;
}

const rowsMin = 500;

export interface EstimateLook extends Look {
  /** mean − 3σ of the reference chunks. */
  readonly bound: number;
}

/**
 * One window for `afterWindow`: a hit when the estimate is below mean − 3σ (population) of the reference's chunks.
 * @returns null when there are too few rows, or no chunks to compare with
 */
export function estimateLook(estimate: number | null, n: number, chunks: readonly number[]): EstimateLook | null {
  if (estimate === null || n < rowsMin || chunks.length < 2) return null;
  const mean = chunks.reduce((sum, value) => sum + value, 0) / chunks.length;
  const sigma = Math.sqrt(chunks.reduce((sum, value) => sum + (value - mean) ** 2, 0) / chunks.length);
  const drop = mean - estimate;
  return { bound: mean - 3 * sigma, isHit: estimate < mean - 3 * sigma, isClear: drop <= clearPart * 3 * sigma };
}

export interface EstimateDocument {
  /** Rows. */
  readonly n: number;
  readonly accuracy: number | null;
  readonly precision: number | null;
  readonly recall: number | null;
  readonly f1: number | null;
  /** Below it a window is a hit; null without enough rows or chunks. */
  readonly accuracy_bound: number | null;
  readonly fired: boolean;
  readonly assumption: string;
}

/** The estimate of a window in the words of the JSON API. */
export function estimateDocument(
  counts: ExpectedCounts,
  chunks: readonly number[],
  { isFired }: Pick<Level, 'isFired'>,
): EstimateDocument {
  const { accuracy, precision, recall, f1 } = estimateOf(counts);
  const n = Math.round(counts.tp + counts.fp + counts.fn + counts.tn);
  const accuracyBound = estimateLook(accuracy, n, chunks)?.bound ?? null;
  return { n, accuracy, precision, recall, f1, accuracy_bound: accuracyBound, fired: isFired, assumption };
}
