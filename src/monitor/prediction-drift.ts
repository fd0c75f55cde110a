/**
 * Whether two arms predict alike: the population stability index of what they answered, less what it is by chance.
 *
 * It sees a version that answers 200 with nonsense before a single label has come.
 *
 * Must not know which predictions the bins stand for.
 */
import type { GuardrailVerdict } from './always-valid.js';
import { psi, psiCorrected } from './stats/distances.js';

export interface PredictionDrift {
  readonly psi: number;
  readonly psiCorrected: number;
  readonly championN: number;
  readonly candidateN: number;
}

/** @param champion, candidate counts in the same bins; @returns null when a side is empty */
export function predictionDrift(champion: readonly number[], candidate: readonly number[]): PredictionDrift | null {
  const raw = psi(champion, candidate);
  const corrected = psiCorrected(champion, candidate);
  if (raw === null || corrected === null) return null;
  return { psi: raw, psiCorrected: corrected, championN: total(champion), candidateN: total(candidate) };
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
