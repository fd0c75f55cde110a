/**
 * What a histogram knows of a quantile: bounds, not values. A claim that one arm is slower is made only as far as the bounds
 * prove it.
 *
 * Must not know what was timed.
 */
import { binomialTail } from './special.js';

export interface LatencyCounts {
  /** Upper bounds, ascending, without infinity. */
  readonly boundsMs: readonly number[];
  /** In each bucket alone, one more than bounds; empty = nothing counted. */
  readonly counts: readonly number[];
}

export function timed({ counts }: LatencyCounts): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** The least bound that the quantile does not exceed; Infinity when it is above all of them, undefined without counts. */
export function quantileBoundMs(latency: LatencyCounts, q: number): number | undefined {
  const wanted = q * timed(latency);
  if (wanted === 0) return undefined;
  let seen = 0;
  for (const [index, bound] of latency.boundsMs.entries()) {
    seen += latency.counts[index] ?? 0;
    if (seen >= wanted) return bound;
  }
  return Infinity;
}

/** The quantile by a straight line within its bucket: for display. Null without counts or above all bounds. */
export function quantileMs(latency: LatencyCounts, q: number): number | null {
  const wanted = q * timed(latency);
  if (wanted === 0) return null;
  let seen = 0;
  let low = 0;
  for (const [index, bound] of latency.boundsMs.entries()) {
    const count = latency.counts[index] ?? 0;
    if (count > 0 && seen + count >= wanted) return low + ((bound - low) * (wanted - seen)) / count;
    seen += count;
    low = bound;
  }
  return null;
}

/** Requests that certainly took longer. */
export function countAbove({ boundsMs, counts }: LatencyCounts, limitMs: number): number {
  let above = 0;
  for (let index = 1; index < counts.length; index++) if (boundsMs[index - 1]! >= limitMs) above += counts[index]!;
  return above;
}

/** Chance at which so many slow requests are no longer taken for chance: 4 of 50, 20 of 1,000. */
const chanceMax = 0.01;

/**
 * Whether the 99th percentile is above a limit: more than one request in a hundred took longer, and not by chance. Of 50
 * requests the p99 is the slowest one, which proves nothing.
 */
export function isP99Above(latency: LatencyCounts, limitMs: number): boolean {
  const above = countAbove(latency, limitMs);
  return above > 0 && binomialTail(above, timed(latency), 0.01) <= chanceMax;
}
