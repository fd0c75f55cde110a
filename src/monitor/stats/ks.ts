/**
 * The two-sample test of Kolmogorov and Smirnov (monitoring §11), with both of its usual p-values. Reference first, current
 * second.
 *
 * Both p-values are asymptotic; other tools give the exact one for small samples. At a million rows it calls a shift of
 * 0.01 σ significant, so it is shown and does not vote.
 *
 * Must not know what was measured, or what is decided.
 */
import { insufficient, type TestResult } from './result.js';
import { sortedFinite, type Values, walkSteps } from './sample.js';

export interface KolmogorovSmirnov extends TestResult {
  /** nm/(n + m). */
  readonly effectiveN: number | null;
  /** Q(√effectiveN·D): Kolmogorov 1933. */
  readonly pKolmogorov: number | null;
  /** Q((√effectiveN + 0.12 + 0.11/√effectiveN)·D): Stephens 1970; nearer to the exact one for small samples. */
  readonly pStephens: number | null;
}

const none: KolmogorovSmirnov = { ...insufficient, effectiveN: null, pKolmogorov: null, pStephens: null };

/**
 * `statistic` is D = max over observed x of |F_ref(x) − F_cur(x)|, steps right-continuous, taken after all ties at x; no
 * unit, in [0, 1]. `p` is `pKolmogorov`. Values that are not finite are left out; null numbers when a side has no others.
 *
 * D equals scipy's `stats.ks_2samp`; Q equals `special.kolmogorov`.
 */
export function ksTwoSample(reference: Values, current: Values): KolmogorovSmirnov {
  const [x, y] = [sortedFinite(reference), sortedFinite(current)];
  const [n, m] = [x.length, y.length];
  if (n === 0 || m === 0) return none;
  let statistic = 0;
  walkSteps(x, y, (_, i, j) => {
    statistic = Math.max(statistic, Math.abs(i / n - j / m));
  });
  const effectiveN = (n * m) / (n + m);
  const root = Math.sqrt(effectiveN);
  const pKolmogorov = kolmogorovTail(root * statistic);
  const pStephens = kolmogorovTail((root + 0.12 + 0.11 / root) * statistic);
  return { statistic, df: null, p: pKolmogorov, effectiveN, pKolmogorov, pStephens };
}

/** From here on the alternating series needs fewer terms than the other one. */
const turn = 1.18;

/** Q(t) = P(K > t) of Kolmogorov's distribution: each series to the last digit, where it converges fast. */
function kolmogorovTail(t: number): number {
  if (t <= 0) return 1;
  return t < turn ? 1 - nearZero(t) : farOut(t);
}

/** (√(2π)/t)·Σ over odd j of e^(−j²π²/(8t²)). */
function nearZero(t: number): number {
  let sum = 0;
  for (let j = 1; j <= 9; j += 2) sum += Math.exp(-(j * j * Math.PI * Math.PI) / (8 * t * t));
  return (Math.sqrt(2 * Math.PI) / t) * sum;
}

/** 2Σ (−1)^(j−1)·e^(−2j²t²). */
function farOut(t: number): number {
  let sum = 0;
  for (let j = 1; j <= 6; j++) sum += (j % 2 === 1 ? 2 : -2) * Math.exp(-2 * j * j * t * t);
  return sum;
}
