/**
 * Sample ratio mismatch: whether the arms have the sizes that their weights promise. It is the first gate: where keys got
 * lost on one side, every other number compares different people.
 *
 * Must not know how keys are assigned.
 */
import { chiSquareTail, lnGamma } from './special.js';

export interface ArmSize {
  readonly weight: number;
  /** Distinct keys by assigned variant. */
  readonly keys: number;
}

export interface RatioLook {
  readonly chi2: number | null;
  readonly df: number;
  /** Of a single look. */
  readonly p: number;
  /** Whether a single look would call it a mismatch. */
  readonly isMismatch: boolean;
  readonly logBayesFactor: number;
  /** Valid at every look: the running minimum with those before. */
  readonly pSequential: number;
}

/** Below it the arms are not what was promised: chosen, as the specification does. */
export const mismatchBelow = 0.001;
const expectedKeysMin = 8;
/** Pseudo-keys of the Dirichlet mixture. */
const mixtureKeys = 10_000;

/** @param before the smallest p of earlier looks at this phase, 1 at first */
export function sampleRatio(arms: readonly ArmSize[], before: number): RatioLook {
  const weighted = arms.filter(({ weight }) => weight > 0);
  const df = Math.max(0, weighted.length - 1);
  const isStray = arms.some(({ weight, keys }) => weight === 0 && keys > 0);
  if (isStray) return { chi2: null, df, p: 0, isMismatch: true, logBayesFactor: Infinity, pSequential: 0 };
  const weights = weighted.reduce((sum, { weight }) => sum + weight, 0);
  const keys = weighted.reduce((sum, arm) => sum + arm.keys, 0);
  if (df === 0 || keys === 0) {
    return { chi2: null, df, p: 1, isMismatch: false, logBayesFactor: 0, pSequential: before };
  }
  let chi2 = 0;
  let smallest = Infinity;
  let logBayesFactor = lnGamma(mixtureKeys) - lnGamma(keys + mixtureKeys);
  for (const arm of weighted) {
    const share = arm.weight / weights;
    const expected = keys * share;
    const alpha = mixtureKeys * share;
    chi2 += (arm.keys - expected) ** 2 / expected;
    smallest = Math.min(smallest, expected);
    logBayesFactor += lnGamma(alpha + arm.keys) - lnGamma(alpha) - arm.keys * Math.log(share);
  }
  const p = chiSquareTail(chi2, df);
  const pSequential = Math.min(before, Math.exp(-logBayesFactor));
  return { chi2, df, p, isMismatch: p < mismatchBelow && smallest >= expectedKeysMin, logBayesFactor, pSequential };
}

/** Whether the looks so far withhold the results of the phase. */
export function isRatioMismatch({ pSequential }: RatioLook): boolean {
  return isMismatch(pSequential);
}

/** The same of the smallest p so far alone. */
export function isMismatch(pSequential: number): boolean {
  return pSequential < mismatchBelow;
}
