/**
 * How far two answers are apart: the measures of monitoring §9.2, as pure functions of p, the primary's numbers, and q, the
 * shadow's.
 *
 * All work on Float64Array ranges `[from, to)`, so that one compiled loop serves every datatype (numbers.ts converts). NaN
 * says that a measure does not exist. Where p and q are not finite: NaN beside NaN and an infinity beside itself are no
 * difference, anything else beside them is an infinite one.
 *
 * Must not know tensors, requests or who keeps the results.
 */

export interface Tolerance {
  readonly absolute: number;
  readonly relative: number;
}

/** |p − q| ≤ absolute + relative · |p|, NaN = NaN, infinities only when equal. */
export function isNear(p: number, q: number, { absolute, relative }: Tolerance): boolean {
  if (p === q) return true;
  if (Number.isNaN(p)) return Number.isNaN(q);
  return Number.isFinite(p) && Math.abs(p - q) <= absolute + relative * Math.abs(p);
}

export function areNear(p: Float64Array, q: Float64Array, range: Range, tolerance: Tolerance): boolean {
  for (let i = range.from; i < range.to; i++) if (!isNear(p[i]!, q[i]!, tolerance)) return false;
  return true;
}

export interface Range {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** Offset of the first maximum within the range; NaN is never one. −1 when there is nothing else. */
export function argmax(values: Float64Array, { from, to }: Range): number {
  let best = -1;
  for (let i = from; i < to; i++) {
    const value = values[i]!;
    if (best === -1 ? !Number.isNaN(value) : value > values[best]!) best = i;
  }
  return best === -1 ? -1 : best - from;
}

function difference(p: number, q: number): number {
  if (p === q) return 0;
  const apart = Math.abs(p - q);
  if (!Number.isNaN(apart)) return apart;
  return Number.isNaN(p) && Number.isNaN(q) ? 0 : Infinity;
}

export interface Differences {
  readonly max: number;
  readonly mean: number;
  readonly rmse: number;
}

const none: Differences = { max: Number.NaN, mean: Number.NaN, rmse: Number.NaN };

/** Greatest, mean and root-mean-square |p − q|. */
export function differences(p: Float64Array, q: Float64Array, { from, to }: Range): Differences {
  if (to === from) return none;
  let max = 0;
  let sum = 0;
  let squares = 0;
  for (let i = from; i < to; i++) {
    const apart = difference(p[i]!, q[i]!);
    if (apart > max) max = apart;
    sum += apart;
    squares += apart * apart;
  }
  return { max, mean: sum / (to - from), rmse: Math.sqrt(squares / (to - from)) };
}

/** Σpq / (√Σp² · √Σq²); NaN when a norm is 0. */
export function cosine(p: Float64Array, q: Float64Array, { from, to }: Range): number {
  let dot = 0;
  let pp = 0;
  let qq = 0;
  for (let i = from; i < to; i++) {
    const a = p[i]!;
    const b = q[i]!;
    dot += a * b;
    pp += a * a;
    qq += b * b;
  }
  return pp === 0 || qq === 0 ? Number.NaN : dot / (Math.sqrt(pp) * Math.sqrt(qq));
}

/** Σ p·ln(p/q) over p > 0, in nats: Infinity when q is 0 there. */
export function klNats(p: Float64Array, q: Float64Array, { from, to }: Range): number {
  let sum = 0;
  for (let i = from; i < to; i++) {
    const a = p[i]!;
    const b = q[i]!;
    if (!(a >= 0 && b >= 0)) return Number.NaN;
    if (a === 0) continue;
    const ratio = a / b;
    // A quotient by the smallest doubles overflows where its logarithm does not.
    sum += a * (ratio === Infinity && b > 0 ? Math.log(a) - Math.log(b) : Math.log(ratio));
  }
  return sum;
}

/** The square root of the Jensen–Shannon divergence in bits; a metric. NaN when something is negative or not finite. */
export function jsDistanceBits(p: Float64Array, q: Float64Array, { from, to }: Range): number {
  let sum = 0;
  for (let i = from; i < to; i++) {
    const a = p[i]!;
    const b = q[i]!;
    if (!(a >= 0 && b >= 0)) return Number.NaN;
    if (a === b) continue;
    const middle = (a + b) / 2;
    if (a > 0) sum += 0.5 * a * Math.log(a / middle);
    if (b > 0) sum += 0.5 * b * Math.log(b / middle);
  }
  return Math.sqrt(Math.max(0, sum) / Math.LN2);
}

/** Shared indices among the k highest of each, by k; ties go to the lower index. Fewer than k elements: all of them count. */
export function topkOverlap(p: Float64Array, q: Float64Array, range: Range, k: number): number {
  const kept = Math.min(k, range.to - range.from);
  if (kept === 0) return Number.NaN;
  const [mine, theirs] = [topk(p, range, kept), topk(q, range, kept)];
  let shared = 0;
  for (const index of mine) if (theirs.includes(index)) shared++;
  return shared / kept;
}

/** Indices of the k highest, highest first, NaN last. k is small, so an insertion into a sorted list is the quickest. */
function topk(values: Float64Array, { from, to }: Range, k: number): number[] {
  const best: number[] = [];
  for (let i = from; i < to; i++) {
    const value = ordered(values[i]!);
    if (best.length === k && value <= ordered(values[best[k - 1]!]!)) continue;
    let at = best.length < k ? best.length : k - 1;
    for (; at > 0 && value > ordered(values[best[at - 1]!]!); at--) best[at] = best[at - 1]!;
    best[at] = i;
  }
  return best;
}

function ordered(value: number): number {
  return Number.isNaN(value) ? -Infinity : value;
}
