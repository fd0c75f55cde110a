/**
 * Mean and spread of a stream of numbers as plain values that merge: the merge of two parts is what one would have counted
 * over both (monitoring §10.5). What is not a finite number is counted beside it and enters nothing else, so that one infinity
 * does not end a mean for good.
 *
 * Must not know what is measured.
 */

export interface Moments {
  /** Finite values. */
  readonly n: number;
  readonly mean: number;
  /** Sum of the squared distances from the mean. */
  readonly m2: number;
  /** Infinity when there are none. */
  readonly min: number;
  /** −Infinity when there are none. */
  readonly max: number;
  readonly infinite: number;
  /** NaN: the measure did not exist. */
  readonly missing: number;
}

export const noMoments: Moments = { n: 0, mean: 0, m2: 0, min: Infinity, max: -Infinity, infinite: 0, missing: 0 };

export function mergeMoments(a: Moments, b: Moments): Moments {
  const infinite = a.infinite + b.infinite;
  const missing = a.missing + b.missing;
  if (b.n === 0) return { ...a, infinite, missing };
  if (a.n === 0) return { ...b, infinite, missing };
  const n = a.n + b.n;
  const delta = b.mean - a.mean;
  return {
    n,
    mean: a.mean + (delta * b.n) / n,
    m2: a.m2 + b.m2 + (delta * delta * a.n * b.n) / n,
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
    infinite,
    missing,
  };
}

/** Welford's update: one value at a time, without the cancellation that sums of squares suffer. */
export class RunningMoments {
  #n = 0;
  #mean = 0;
  #m2 = 0;
  #min = Infinity;
  #max = -Infinity;
  #infinite = 0;
  #missing = 0;

  add(value: number): void {
    if (!Number.isFinite(value)) {
      if (Number.isNaN(value)) this.#missing++;
      else this.#infinite++;
      return;
    }
    this.#n++;
    const delta = value - this.#mean;
    this.#mean += delta / this.#n;
    this.#m2 += delta * (value - this.#mean);
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  value(): Moments {
    return {
      n: this.#n,
      mean: this.#mean,
      m2: this.#m2,
      min: this.#min,
      max: this.#max,
      infinite: this.#infinite,
      missing: this.#missing,
    };
  }
}
