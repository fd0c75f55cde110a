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
import { calibrationOf, IsotonicMap } from './isotonic.js';
import type { Moments } from './moments.js';
import { afterWindow, clearPart, type Level, type Look } from './persistence.js';
import type { Calibration } from './profile-document.js';

const assumption =
  'estimated without labels, from scores as the profile calibrates them: it sees a change of the inputs, not a change of the relation between inputs and labels';

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

/** How sure a single score is, and which class it speaks for. */
export class Chances {
  readonly #map: IsotonicMap;
  readonly #threshold: number;

  constructor({ threshold = 0.5, calibration = { x: [], y: [] } }: CbpeOptions = {}) {
    this.#map = new IsotonicMap(calibration);
    this.#threshold = threshold;
  }

  /** The calibrated probability: that the row is positive, or, of the predicted one of several classes, that it is right. */
  of(score: number): number {
    return this.#map.of(score);
  }

  isPositive(score: number): boolean {
    return score >= this.#threshold;
  }
}

export class CbpeTally {
  readonly #chances: Chances;
  #tp = 0;
  #fp = 0;
  #fn = 0;
  #tn = 0;

  constructor(options: CbpeOptions = {}) {
    this.#chances = new Chances(options);
  }

  /** What is not a finite number is no score and counts nowhere. */
  add(score: number): void {
    if (!Number.isFinite(score)) return;
    const chance = this.#chances.of(score);
    if (this.#chances.isPositive(score)) {
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
  const map = new Chances(options);
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
  const map = new Chances(calibration && { calibration });
  return scores.length === 0 ? null : scores.reduce((sum, score) => sum + map.of(score), 0) / scores.length;
}

export interface Labelled {
  readonly scores: readonly number[];
  /** Whether the row is positive, or, of several classes, whether the predicted one is right. */
  readonly truths: readonly boolean[];
}

/** Parts of the reference by whose estimates a later one is called low. */
const chunkCount = 10;

/**
 * What a profile says for estimates: the curve of labelled rows, best of rows that the model was not trained on, and the
 * estimate of accuracy in ten equal parts of them, in their order.
 */
export function calibrated(
  { scores, truths }: Labelled,
  { threshold, isBinary }: { readonly threshold: number; readonly isBinary: boolean },
): { readonly calibration: Calibration; readonly chunks: readonly number[] } {
  const calibration = calibrationOf(scores, truths.map(Number));
  const chunks = Array.from({ length: chunkCount }, (_, i) => {
    const bound = (part: number) => Math.floor((part * scores.length) / chunkCount);
    const part = scores.slice(bound(i), bound(i + 1));
    return isBinary ? cbpe(part, { threshold, calibration }).accuracy : cbpeAccuracy(part, calibration);
  });
  return { calibration, chunks: chunks.filter((estimate) => estimate !== null) };
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

/** What has fired after one more window; one that cannot be judged changes nothing. */
export function estimateLevel(before: Level, counts: ExpectedCounts, chunks: readonly number[]): Level {
  const look = estimateLook(estimateOf(counts).accuracy, rowsIn(counts), chunks);
  return look === null ? before : afterWindow(before, look);
}

/** As a metric of an arm, each row a unit: a chance varies at most as much as what it is the chance of. */
export function estimateMoments(counts: ExpectedCounts): Moments {
  const n = rowsIn(counts);
  const mean = estimateOf(counts).accuracy ?? 0;
  return { mean, variance: mean * (1 - mean), n, observations: n };
}

function rowsIn({ tp, fp, fn, tn }: ExpectedCounts): number {
  return Math.round(tp + fp + fn + tn);
}

export interface EstimateDocument {
  readonly method: 'cbpe';
  /** Rows with a score. */
  readonly n: number;
  readonly accuracy: number | null;
  /** These three of two classes only. */
  readonly precision: number | null;
  readonly recall: number | null;
  readonly f1: number | null;
  /** Below it a window is a hit; null with fewer than 500 rows, and where the profile has no chunks. */
  readonly accuracy_bound: number | null;
  readonly fired: boolean;
  readonly assumption: string;
}

/** The estimate of a window in the words of the JSON API. */
export function estimateDocument(
  counts: ExpectedCounts,
  chunks: readonly number[],
  { isFired, isBinary }: Pick<Level, 'isFired'> & { readonly isBinary: boolean },
): EstimateDocument {
  const { accuracy, precision, recall, f1 } = estimateOf(counts);
  const n = rowsIn(counts);
  const ofTwo = isBinary ? { precision, recall, f1 } : { precision: null, recall: null, f1: null };
  const accuracyBound = estimateLook(accuracy, n, chunks)?.bound ?? null;
  return { method: 'cbpe', n, accuracy, ...ofTwo, accuracy_bound: accuracyBound, fired: isFired, assumption };
}
