/**
 * Welch's test: whether two means differ, from their moments alone.
 *
 * Must not know what was measured.
 */
import type { Moments } from './moments.js';
import type { Interval } from './proportion.js';
import { studentQuantile, studentTwoSided } from './special.js';

export interface Welch {
  readonly t: number;
  readonly df: number;
  readonly pTwoSided: number;
  readonly interval: Interval;
}

/** @returns null when nothing varies or an arm has fewer than two units */
export function welch(a: Moments, b: Moments, alpha: number): Welch | null {
  const [ofA, ofB] = [a.variance / a.n, b.variance / b.n];
  const square = ofA + ofB;
  if (a.n < 2 || b.n < 2 || square === 0) return null;
  const d = b.mean - a.mean;
  const error = Math.sqrt(square);
  const df = (square * square) / ((ofA * ofA) / (a.n - 1) + (ofB * ofB) / (b.n - 1));
  const half = studentQuantile(1 - alpha / 2, df) * error;
  const t = d / error;
  return { t, df, pTwoSided: studentTwoSided(t, df), interval: { low: d - half, high: d + half } };
}
