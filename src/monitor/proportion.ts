/**
 * Shares: one, and the difference of two (§6 of the specification of monitoring).
 *
 * `a` is the control, `b` the treatment, d = b − a. A value that is not defined is null.
 *
 * Must not know what was counted.
 */
import type { Moments } from './moments.js';
import { binomialTail, normalQuantile, normalTail } from './special.js';

/** `hits` of `n`. */
export interface Share {
  readonly hits: number;
  readonly n: number;
}

/** The counts of a mean that is a plain share. Where keys have several observations they are not independent, and no share is plain. */
export function plainShareOf({ mean, n, observations }: Moments): Share | null {
  return n > 0 && n === observations ? { hits: Math.round(mean * n), n } : null;
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface PooledZ {
  readonly z: number;
  readonly pTwoSided: number;
}

/** Two-proportion z test with the pooled standard error. */
export function pooledZ(a: Share, b: Share): PooledZ | null {
  if (a.n === 0 || b.n === 0) return null;
  const p = (a.hits + b.hits) / (a.n + b.n);
  const error = Math.sqrt(p * (1 - p) * (1 / a.n + 1 / b.n));
  const z = error === 0 ? 0 : (b.hits / b.n - a.hits / a.n) / error;
  return { z, pTwoSided: Math.min(1, 2 * normalTail(Math.abs(z))) };
}

function unpooledError(a: Share, b: Share): number {
  const [p, q] = [a.hits / a.n, b.hits / b.n];
  return Math.sqrt((p * (1 - p)) / a.n + (q * (1 - q)) / b.n);
}

/** Of the difference. */
export function waldInterval(a: Share, b: Share, alpha: number): Interval | null {
  if (a.n === 0 || b.n === 0) return null;
  const d = b.hits / b.n - a.hits / a.n;
  const half = normalQuantile(1 - alpha / 2) * unpooledError(a, b);
  return { low: d - half, high: d + half };
}

/** Of one share. */
export function wilsonInterval({ hits, n }: Share, alpha: number): Interval | null {
  if (n === 0) return null;
  const q = normalQuantile(1 - alpha / 2);
  const p = hits / n;
  const scale = 1 + (q * q) / n;
  const centre = (p + (q * q) / (2 * n)) / scale;
  const half = (q / scale) * Math.sqrt((p * (1 - p)) / n + (q * q) / (4 * n * n));
  return { low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}

/** Of the difference, from the Wilson intervals of both. */
export function newcombeInterval(a: Share, b: Share, alpha: number): Interval | null {
  const [ofA, ofB] = [wilsonInterval(a, alpha), wilsonInterval(b, alpha)];
  if (ofA === null || ofB === null) return null;
  const [p, q] = [a.hits / a.n, b.hits / b.n];
  return {
    low: q - p - Math.hypot(q - ofB.low, ofA.high - p),
    high: q - p + Math.hypot(ofB.high - q, p - ofA.low),
  };
}

/** Units that each arm needs to tell p₁ from p₂. */
export function sampleSizePerArm(p1: number, p2: number, alpha: number, power: number): number | null {
  if (p1 === p2) return null;
  const mean = (p1 + p2) / 2;
  const under0 = normalQuantile(1 - alpha / 2) * Math.sqrt(2 * mean * (1 - mean));
  const under1 = normalQuantile(power) * Math.sqrt(p1 * (1 - p1) + p2 * (1 - p2));
  return Math.ceil((under0 + under1) ** 2 / (p1 - p2) ** 2);
}

export interface NonInferiority {
  readonly pOneSided: number;
  readonly lowerOneSided: number;
  readonly isNonInferior: boolean;
}

/** Whether `b` is not worse than `a` by more than the margin, higher being better. Where lower is, exchange the arms. */
export function nonInferiority(a: Share, b: Share, margin: number, alpha: number): NonInferiority | null {
  if (a.n === 0 || b.n === 0) return null;
  const error = unpooledError(a, b);
  if (error === 0) return null;
  const d = b.hits / b.n - a.hits / a.n;
  const pOneSided = normalTail((d + margin) / error);
  const lowerOneSided = d - normalQuantile(1 - alpha) * error;
  return { pOneSided, lowerOneSided, isNonInferior: pOneSided < alpha };
}

/** McNemar's exact test: the two counts of pairs in which only one side was right. */
export function mcNemar(onlyA: number, onlyB: number): number {
  const n = onlyA + onlyB;
  if (n === 0) return 1;
  // P(Bin(n, ½) ≤ k) = P(Bin(n, ½) ≥ n − k).
  return Math.min(1, 2 * binomialTail(n - Math.min(onlyA, onlyB), n, 0.5));
}
