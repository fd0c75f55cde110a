/**
 * The earth mover's distance of two samples (monitoring §11): how far, on average, values would have to be moved to make one
 * sample the other. Reference first, current second; null when a side has no finite value.
 *
 * Must not know what was measured, or what is decided.
 */
import { sortedFinite, type Values, walkSteps } from './sample.js';
import { Sum } from './sum.js';

/** A reference that hardly varies must not turn a tiny distance into a huge one: chosen, as the specification does. */
const spreadMin = 0.001;

/**
 * First Wasserstein distance ∫|F_ref(x) − F_cur(x)|dx, in the unit of the values; ≥ 0, symmetric, a metric.
 *
 * Source: Kantorovich 1942, Vasershtein 1969. Equals scipy's `stats.wasserstein_distance`.
 */
export function wasserstein(reference: Values, current: Values): number | null {
  return between(sortedFinite(reference), sortedFinite(current));
}

/** The same without a unit: divided by the population σ of the reference, or by 0.001 where that is smaller. */
export function wassersteinNormed(reference: Values, current: Values): number | null {
  const x = sortedFinite(reference);
  const distance = between(x, sortedFinite(current));
  return distance === null ? null : distance / Math.max(populationSigma(x), spreadMin);
}

function between(x: Float64Array, y: Float64Array): number | null {
  const [n, m] = [x.length, y.length];
  if (n === 0 || m === 0) return null;
  const sum = new Sum();
  let before = 0;
  let height = 0;
  walkSteps(x, y, (at, i, j) => {
    if (height > 0) sum.add(height * (at - before));
    before = at;
    height = Math.abs(i / n - j / m);
  });
  return sum.value;
}

/** Two passes, so that a large mean does not cancel. */
function populationSigma(values: Float64Array): number {
  const total = new Sum();
  for (const value of values) total.add(value);
  const mean = total.value / values.length;
  const squares = new Sum();
  for (const value of values) squares.add((value - mean) ** 2);
  return Math.sqrt(squares.value / values.length);
}
