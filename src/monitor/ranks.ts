/**
 * Comparisons by rank, for values whose mean says little: Mann–Whitney and the Hodges–Lehmann shift.
 *
 * Must not know what was measured.
 */
import { normalTail } from './special.js';

export interface MannWhitney {
  readonly u: number;
  readonly z: number;
  readonly p: number;
  /** Chance that a current value is above a reference one, ties counting half. */
  readonly cles: number;
}

/** Normal approximation with tie correction and continuity correction. */
export function mannWhitney(current: readonly number[], reference: readonly number[]): MannWhitney | null {
  const [n, m] = [current.length, reference.length];
  if (n === 0 || m === 0) return null;
  const { rankSum, ties } = ranksOf(current, reference);
  const all = n + m;
  const u = rankSum - (n * (n + 1)) / 2;
  const sigma = Math.sqrt(((n * m) / 12) * (all + 1 - ties / (all * (all - 1))));
  const z = sigma === 0 ? 0 : (Math.max(u, n * m - u) - (n * m) / 2 - 0.5) / sigma;
  const p = sigma === 0 ? 1 : Math.min(1, 2 * normalTail(z));
  return { u, z, p, cles: u / (n * m) };
}

/** Sum of the mid-ranks of `current` among both, and Σ(t³ − t) over groups of ties. */
function ranksOf(current: readonly number[], reference: readonly number[]): { rankSum: number; ties: number } {
  const values = [...current, ...reference];
  const order = values.map((_, index) => index).sort((a, b) => values[a]! - values[b]!);
  let rankSum = 0;
  let ties = 0;
  for (let from = 0; from < order.length; ) {
    let to = from + 1;
    while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
    const size = to - from;
    ties += size ** 3 - size;
    const midRank = (from + to + 1) / 2;
    for (let i = from; i < to; i++) if (order[i]! < current.length) rankSum += midRank;
    from = to;
  }
  return { rankSum, ties };
}

/** Differences that are looked at; beyond this a shift is not computed. */
const pairsMax = 4_000_000;

/** Median of all differences current − reference. */
export function hodgesLehmann(current: readonly number[], reference: readonly number[]): number | null {
  const pairs = current.length * reference.length;
  if (pairs === 0 || pairs > pairsMax) return null;
  const differences = new Float64Array(pairs);
  let at = 0;
  for (const x of current) for (const y of reference) differences[at++] = x - y;
  differences.sort();
  const middle = differences[pairs >> 1]!;
  return pairs % 2 === 1 ? middle : (differences[(pairs >> 1) - 1]! + middle) / 2;
}
