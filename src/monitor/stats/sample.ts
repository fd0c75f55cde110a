/**
 * The values of a sample in order, and a walk over two of them together: what tests and distances of values are made of.
 *
 * Null, NaN and infinities are not observations (monitoring §10.1): they are left out here and counted elsewhere.
 *
 * Must not know what is measured.
 */

export type Values = ArrayLike<number | null>;

/** The finite values, ascending. */
export function sortedFinite(values: Values): Float64Array {
  const kept = new Float64Array(values.length);
  let n = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (typeof value === 'number' && Number.isFinite(value)) kept[n++] = value;
  }
  return kept.subarray(0, n).sort();
}

/**
 * Both distribution functions as steps, right-continuous: told once at every distinct x, after all ties there.
 *
 * @param onStep x, and how many values of each side are ≤ x
 */
export function walkSteps(
  reference: Float64Array,
  current: Float64Array,
  onStep: (x: number, referenceBelow: number, currentBelow: number) => void,
): void {
  let [i, j] = [0, 0];
  while (i < reference.length || j < current.length) {
    const x = Math.min(reference[i] ?? Infinity, current[j] ?? Infinity);
    while (i < reference.length && reference[i]! <= x) i++;
    while (j < current.length && current[j]! <= x) j++;
    onStep(x, i, j);
  }
}
