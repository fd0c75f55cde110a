/**
 * How far two histograms are apart (monitoring §11). Reference first, current second; null when a side is empty.
 *
 * A distance says how large a difference is, never whether it is more than chance: that is what tests.ts is for. All are 0
 * for equal shares; all but `psi` and what follows from it are at most 1. Whole numbers or weights; bins empty on both
 * sides change nothing except in `psiNullMean`, which counts every bin that was given.
 *
 * Must not know what the bins stand for, or what is decided.
 */
import { type Counts, type Histograms, histogramsOf, samplingFactor } from './bins.js';
import { Sum } from './sum.js';

/** ε: stands for a share of 0, which has no logarithm. Chosen, as the specification does. */
export const leastShare = 1e-4;

/**
 * Population stability index, in nats: Σ (q′ − p′)·ln(q′/p′) over bins that are not empty on both sides. A share of 0 is
 * replaced by 1e-4; nothing is renormalised. Symmetric, ≥ 0.
 *
 * Source: the symmetrised Kullback–Leibler divergence (Jeffreys 1946), as used in credit scoring.
 */
export function psi(reference: Counts, current: Counts): number | null {
  const both = histogramsOf(reference, current);
  return both === null ? null : psiOf(both);
}

function psiOf(both: Histograms): number {
  const sum = new Sum();
  for (let i = 0; i < both.bins; i++) {
    const [a, b] = [both.reference[i]!, both.current[i]!];
    if (a === 0 && b === 0) continue;
    const p = a === 0 ? leastShare : a / both.referenceTotal;
    const q = b === 0 ? leastShare : b / both.currentTotal;
    sum.add((q - p) * Math.log(q / p));
  }
  return sum.value;
}

/**
 * What `psi` is on average when nothing has drifted: (k − 1)·(1/N + 1/M), in nats.
 *
 * Source: psi·NM/(N + M) is about χ² with k − 1 degrees of freedom (Yurdakul, Naranjo 2020), whose mean that is.
 */
export function psiNullMean(reference: Counts, current: Counts): number | null {
  const both = histogramsOf(reference, current);
  return both === null ? null : psiNullMeanOf(both);
}

function psiNullMeanOf(both: Histograms): number {
  return (both.bins - 1) * samplingFactor(both);
}

/** psi − psiNullMean: the part of psi that chance does not explain. Negative when there is less than chance; not clamped. */
export function psiCorrected(reference: Counts, current: Counts): number | null {
  const both = histogramsOf(reference, current);
  return both === null ? null : psiOf(both) - psiNullMeanOf(both);
}

/**
 * Jensen–Shannon divergence in nats: ½Σp·ln(p/m) + ½Σq·ln(q/m), m = (p + q)/2; no ε. In [0, ln 2]; symmetric.
 *
 * With δ = (p − q)/(p + q) a bin adds m/2·(ln(1 − δ²) + 2δ·artanh δ), which is never negative. As written above, parts of
 * either sign cancel, and the root of what is left beside 0 has half of the digits.
 */
export function jensenShannonNats(reference: Counts, current: Counts): number | null {
  const both = histogramsOf(reference, current);
  if (both === null) return null;
  const sum = new Sum();
  for (let i = 0; i < both.bins; i++) {
    const [p, q] = [both.reference[i]! / both.referenceTotal, both.current[i]! / both.currentTotal];
    if (p === q) continue;
    const middle = (p + q) / 2;
    const delta = (p - q) / (p + q);
    const isAlone = Math.abs(delta) === 1;
    sum.add(middle * (isAlone ? Math.LN2 : Math.log1p(-delta * delta) / 2 + delta * Math.atanh(delta)));
  }
  return sum.value;
}

/**
 * Jensen–Shannon **distance** in bits, `js_distance_bits`: the square root of the divergence to base 2. A metric, in [0, 1].
 *
 * Source: Lin 1991; Endres, Schindelin 2003. Equals scipy's `distance.jensenshannon(p, q, base=2)`.
 */
export function jensenShannon(reference: Counts, current: Counts): number | null {
  const nats = jensenShannonNats(reference, current);
  return nats === null ? null : Math.sqrt(nats / Math.LN2);
}

/** Hellinger distance √(Σ(√p − √q)²)/√2: no unit, a metric, in [0, 1]; 1 when no bin is shared. Source: Hellinger 1909. */
export function hellinger(reference: Counts, current: Counts): number | null {
  const both = histogramsOf(reference, current);
  if (both === null) return null;
  const sum = new Sum();
  for (let i = 0; i < both.bins; i++) {
    const apart = Math.sqrt(both.reference[i]! / both.referenceTotal) - Math.sqrt(both.current[i]! / both.currentTotal);
    sum.add(apart * apart);
  }
  return Math.sqrt(sum.value / 2);
}

/** Greatest difference of a share, max |p − q|: no unit, in [0, 1]. Source: the Chebyshev distance of the shares. */
export function lInfinity(reference: Counts, current: Counts): number | null {
  const both = histogramsOf(reference, current);
  if (both === null) return null;
  let greatest = 0;
  for (let i = 0; i < both.bins; i++) {
    greatest = Math.max(
      greatest,
      Math.abs(both.reference[i]! / both.referenceTotal - both.current[i]! / both.currentTotal),
    );
  }
  return greatest;
}

/** Total variation ½Σ|p − q|: the share of rows that would have to change their bin; in [0, 1]. */
export function totalVariation(reference: Counts, current: Counts): number | null {
  const both = histogramsOf(reference, current);
  if (both === null) return null;
  const sum = new Sum();
  for (let i = 0; i < both.bins; i++) {
    sum.add(Math.abs(both.reference[i]! / both.referenceTotal - both.current[i]! / both.currentTotal));
  }
  return sum.value / 2;
}

/**
 * Kolmogorov–Smirnov distance as far as bins show it: max over bins, in their order, of |cumulative p − cumulative q|. No
 * unit, in [0, 1], never above the D of the values themselves. Only for ordered bins.
 */
export function binnedKs(reference: Counts, current: Counts): number | null {
  const both = histogramsOf(reference, current);
  if (both === null) return null;
  let [a, b, greatest] = [0, 0, 0];
  for (let i = 0; i < both.bins; i++) {
    a += both.reference[i]!;
    b += both.current[i]!;
    greatest = Math.max(greatest, Math.abs(a / both.referenceTotal - b / both.currentTotal));
  }
  return greatest;
}
