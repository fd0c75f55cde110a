/**
 * Where the bins of a numeric feature end (monitoring §10.3).
 *
 *   x < lo │ [lo, e₁]  (e₁, e₂]  …  (e_m, hi] │ x > hi          m + 3 counts, bins closed on the right
 *
 * An edge is a value that was observed, by integer arithmetic on positions: no interpolation, so every language finds the same
 * edges and no inner bin of the reference is empty.
 *
 * Must not know features, or what is done with the counts.
 */

export interface NumericRange {
  /** Least reference value; null when there was none, and then every value is beyond the end. */
  readonly lo: number | null;
  readonly hi: number | null;
  /** Interior edges, strictly ascending. */
  readonly edges: readonly number[];
}

/**
 * @param sorted finite values, ascending
 * @param bins inner bins at most
 */
export function rangeOf(sorted: ArrayLike<number>, bins: number): NumericRange {
  const n = sorted.length;
  if (n === 0) return { lo: null, hi: null, edges: [] };
  const [lo, hi] = [sorted[0]!, sorted[n - 1]!];
  const edges: number[] = [];
  for (let i = 1; i < bins; i++) {
    const position = Math.floor((n * i + bins - 1) / bins) - 1;
    if (position < 0) continue;
    const edge = sorted[position]!;
    if (edge < hi && edge !== edges.at(-1)) edges.push(edge);
  }
  return { lo, hi, edges };
}

/** How many counts there are, under- and overflow included. */
export function binsIn({ edges }: NumericRange): number {
  return edges.length + 3;
}

/** Index of the bin of `x`, 0 = underflow; −1 for what is not a finite number and belongs to no bin. */
export function binIndex({ lo, hi, edges }: NumericRange, x: number): number {
  if (!Number.isFinite(x)) return -1;
  if (lo === null || hi === null || x > hi) return edges.length + 2;
  if (x < lo) return 0;
  return 1 + edgesBelow(edges, x);
}

/** Edges strictly below `x`. */
function edgesBelow(edges: readonly number[], x: number): number {
  let from = 0;
  let to = edges.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (edges[middle]! < x) from = middle + 1;
    else to = middle;
  }
  return from;
}

/**
 * The counts that distances and tests take: underflow joins the first inner bin and overflow the last. A constant reference
 * has one inner bin only, and there all three stay, or leaving the constant could not be seen.
 */
export function foldedCounts(counts: ArrayLike<number>): number[] {
  const last = counts.length - 1;
  const folded: number[] = [];
  if (last <= 2) {
    for (let bin = 0; bin <= last; bin++) folded.push(counts[bin]!);
    return folded;
  }
  for (let bin = 1; bin < last; bin++) folded.push(counts[bin]!);
  folded[0]! += counts[0]!;
  folded[last - 2]! += counts[last]!;
  return folded;
}
