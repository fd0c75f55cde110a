/**
 * What every formula takes of one arm and one metric: mean, variance of one unit, and how many units.
 *
 * The unit is the key, not the request: requests of one person resemble each other, and counting them as independent makes
 * noise look like evidence. A metric with several observations for each key is a ratio of two sums, and its variance comes
 * from the delta method.
 *
 * Must not know where the counts come from.
 */

/** One arm, one metric. */
export interface Moments {
  readonly mean: number;
  /** Of one unit. */
  readonly variance: number;
  /** Units: keys, or observations where each stands for itself. */
  readonly n: number;
  /** Requests, or labels. */
  readonly observations: number;
}

export const noMoments: Moments = { mean: 0, variance: 0, n: 0, observations: 0 };

/** Of a plain proportion, each observation its own unit. */
export function momentsOfCounts(hits: number, n: number): Moments {
  if (n === 0) return noMoments;
  const p = hits / n;
  return { mean: p, variance: p * (1 - p), n, observations: n };
}

/** Keys by row: how many observations each has, their sum, and the group it belongs to. */
export interface KeyColumns {
  readonly counts: Float64Array;
  readonly sums: Float64Array;
  readonly groupOf: Uint8Array;
  readonly rows: number;
}

/**
 * Of a ratio R = Σs / Σn over the keys of one group. The residuals s − R·n have the mean 0, so their sum of squares is
 * σ_ss − 2R·σ_sn + R²·σ_nn without the cancellation of those three. A key without observations is no unit.
 */
export function momentsOfKeys({ counts, sums, groupOf, rows }: KeyColumns, group: number): Moments {
  let n = 0;
  let sum = 0;
  let observations = 0;
  for (let row = 0; row < rows; row++) {
    const count = counts[row]!;
    if (groupOf[row] !== group || count === 0) continue;
    n++;
    sum += sums[row]!;
    observations += count;
  }
  if (n === 0) return noMoments;
  const mean = sum / observations;
  let squares = 0;
  for (let row = 0; row < rows; row++) {
    const count = counts[row]!;
    if (groupOf[row] !== group || count === 0) continue;
    const residual = sums[row]! - mean * count;
    squares += residual * residual;
  }
  const countMean = observations / n;
  const variance = n < 2 ? 0 : squares / (n - 1) / (countMean * countMean);
  return { mean, variance, n, observations };
}
