/**
 * How well scores order positives before negatives, exactly and online (monitoring §14.2).
 *
 * Must not know thresholds.
 */
import type { Interval } from './proportion.js';
import { normalQuantile } from './special.js';

/** 1 = positive, 0 = negative. */
export type Labels = ArrayLike<number>;

/** Area under the ROC curve from mid-ranks; null with one class. */
export function rocAuc(scores: ArrayLike<number>, labels: Labels): number | null {
  const order = ascending(scores);
  let [rankSum, positives] = [0, 0];
  for (let from = 0; from < order.length; ) {
    const to = endOfTie(order, scores, from);
    for (let i = from; i < to; i++) {
      if (labels[order[i]!] === 0) continue;
      positives++;
      rankSum += (from + to + 1) / 2;
    }
    from = to;
  }
  const negatives = order.length - positives;
  if (positives === 0 || negatives === 0) return null;
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/** Σ over distinct scores, descending, of (recall_j − recall_{j−1})·precision_j; null with one class. */
export function averagePrecision(scores: ArrayLike<number>, labels: Labels): number | null {
  const order = ascending(scores).reverse();
  const positives = order.reduce((sum, row) => sum + (labels[row] === 0 ? 0 : 1), 0);
  if (positives === 0 || positives === order.length) return null;
  let [found, area] = [0, 0];
  for (let from = 0; from < order.length; ) {
    const to = endOfTie(order, scores, from);
    let here = 0;
    for (let i = from; i < to; i++) if (labels[order[i]!] !== 0) here++;
    found += here;
    area += (here / positives) * (found / to);
    from = to;
  }
  return area;
}

function ascending(scores: ArrayLike<number>): number[] {
  return Array.from({ length: scores.length }, (_, row) => row).sort((a, b) => scores[a]! - scores[b]!);
}

function endOfTie(order: readonly number[], scores: ArrayLike<number>, from: number): number {
  let to = from + 1;
  while (to < order.length && scores[order[to]!] === scores[order[from]!]) to++;
  return to;
}

/** Positives and negatives by bin of the score, in which the AUC is known up to `errorMax`. */
export interface BinnedAuc {
  readonly auc: number | null;
  /** ½Σ pos_b·neg_b / (P·N): how far it can be from the exact one. */
  readonly errorMax: number | null;
}

export function binnedAuc(positives: ArrayLike<number>, negatives: ArrayLike<number>): BinnedAuc {
  let [below, pairs, ties, p] = [0, 0, 0, 0];
  for (let bin = 0; bin < positives.length; bin++) {
    pairs += positives[bin]! * (below + 0.5 * negatives[bin]!);
    ties += positives[bin]! * negatives[bin]!;
    below += negatives[bin]!;
    p += positives[bin]!;
  }
  if (p <= 0 || below <= 0) return { auc: null, errorMax: null };
  return { auc: pairs / (p * below), errorMax: (0.5 * ties) / (p * below) };
}

/** Standard error of an AUC of `p` positives and `n` negatives. Source: Hanley, McNeil 1982. */
export function aucError(auc: number, p: number, n: number): number {
  const [q1, q2] = [auc / (2 - auc), (2 * auc * auc) / (1 + auc)];
  const square = (auc * (1 - auc) + (p - 1) * (q1 - auc * auc) + (n - 1) * (q2 - auc * auc)) / (p * n);
  return Math.sqrt(Math.max(0, square));
}

export function aucInterval(auc: number, p: number, n: number, alpha = 0.05): Interval {
  const half = normalQuantile(1 - alpha / 2) * aucError(auc, p, n);
  return { low: Math.max(0, auc - half), high: Math.min(1, auc + half) };
}
