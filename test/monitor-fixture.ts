/**
 * What the tests of the monitor room share: seeded chance, arms of a canary, and counts.
 */
import { armLatencyBoundsMs, latencyBucketOf } from '../src/core/arm-counts.js';
import type { Traffic } from '../src/monitor/breach.js';
import type { CanaryArm } from '../src/monitor/canary.js';
import { type Moments, momentsOfCounts, momentsOfKeys } from '../src/monitor/moments.js';

/** mulberry32: uniform in [0, 1), the same for the same seed. */
export function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Of keys with these sums and counts of observations. */
export function keyMoments(sums: readonly number[], counts: readonly number[]): Moments {
  const rows = sums.length;
  const columns = {
    sums: Float64Array.from(sums),
    counts: Float64Array.from(counts),
    groupOf: new Uint8Array(rows),
    rows,
  };
  return momentsOfKeys(columns, 0);
}

/** Durations in the buckets of an arm. */
export function timesOf(durationsMs: readonly number[]): Traffic['latency'] {
  const counts = new Array<number>(armLatencyBoundsMs.length + 1).fill(0);
  for (const ms of durationsMs) counts[latencyBucketOf(ms)]!++;
  return { boundsMs: armLatencyBoundsMs, counts };
}

/** Requests of which some failed, all of them as slow. */
export function traffic(requests: number, faults: number, ms = 1): Traffic {
  return { requests, faults, latency: timesOf(new Array<number>(requests).fill(ms)) };
}

export interface ArmFacts {
  readonly keys: number;
  /** Shares of keys. */
  readonly errors?: number;
  readonly slow?: number;
  readonly labels?: Moments;
  readonly interval?: Traffic;
  readonly predictions?: readonly number[];
}

/** An arm whose every key made one request. */
export function arm({ keys, errors = 0, slow = 0.05, labels, interval, predictions = [] }: ArmFacts): CanaryArm {
  const metrics: Record<string, Moments> = {
    error_rate: momentsOfCounts(Math.round(errors * keys), keys),
    slow_share: momentsOfCounts(Math.round(slow * keys), keys),
  };
  if (labels !== undefined) metrics.accuracy = labels;
  return { keys, interval: interval ?? traffic(100, 0), metrics, predictions };
}
