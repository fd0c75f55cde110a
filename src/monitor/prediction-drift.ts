/**
 * Whether two arms predict alike: the population stability index of what they answered, less what it is by chance.
 *
 * It sees a version that answers 200 with nonsense before a single label has come.
 *
 * Must not know which predictions the bins stand for.
 */
import type { GuardrailVerdict } from './always-valid.js';

/** In place of a share of 0. */
const leastShare = 1e-4;

export interface PredictionDrift {
  readonly psi: number;
  readonly psiCorrected: number;
  readonly championN: number;
  readonly candidateN: number;
}

/** @param champion, candidate counts in the same bins; @returns null when a side is empty */
export function predictionDrift(champion: readonly number[], candidate: readonly number[]): PredictionDrift | null {
  const [n, m] = [total(champion), total(candidate)];
  if (n === 0 || m === 0) return null;
  const bins = Math.max(champion.length, candidate.length);
  let psi = 0;
  for (let i = 0; i < bins; i++) {
    const [p, q] = [(champion[i] ?? 0) / n, (candidate[i] ?? 0) / m];
    if (p === 0 && q === 0) continue;
    const [p1, q1] = [p || leastShare, q || leastShare];
    psi += (q1 - p1) * Math.log(q1 / p1);
  }
  const byChance = (bins - 1) * (1 / n + 1 / m);
  return { psi, psiCorrected: psi - byChance, championN: n, candidateN: m };
}

/** Bins that either side uses: what no prediction ever falls into says nothing of how alike two samples are by chance. */
export function usedBins(a: readonly number[], b: readonly number[]): [number[], number[]] {
  const bins = Array.from({ length: Math.max(a.length, b.length) }, (_, i) => [a[i] ?? 0, b[i] ?? 0] as const);
  const used = bins.filter(([left, right]) => left > 0 || right > 0);
  return [used.map(([left]) => left), used.map(([, right]) => right)];
}

function total(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

const failFrom = 0.25;
const passUpTo = 0.1;
const observationsMin = 500;

export function driftVerdict(drift: PredictionDrift | null): GuardrailVerdict {
  if (drift === null || Math.min(drift.championN, drift.candidateN) < observationsMin) return 'continue';
  if (drift.psiCorrected >= failFrom) return 'fail';
  return drift.psiCorrected <= passUpTo ? 'pass' : 'continue';
}
