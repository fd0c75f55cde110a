/**
 * The speed that the gateway must show, as ratios to another server of the same cell in the same run, and what is aimed at.
 *
 * Must not know how anything is measured.
 */
import type { CellResult, Metric } from './results.js';
import type { Spread } from './statistics.js';

export interface SpeedPromise {
  readonly cell: string;
  readonly metric: Metric;
  readonly of: string;
  readonly bound: 'at least' | 'at most';
  readonly must: number;
  readonly aim?: number;
}

export const promises: readonly SpeedPromise[] = [
  { cell: 'small-json-64', metric: 'rps', of: 'plain', bound: 'at least', must: 3.8, aim: 4.5 },
  { cell: 'small-json-64', metric: 'p99Us', of: 'plain', bound: 'at most', must: 0.35 },
  { cell: 'small-json-64', metric: 'cpuUs', of: 'plain', bound: 'at most', must: 0.35 },
  { cell: 'small-json-64', metric: 'rps', of: 'floor-echo', bound: 'at least', must: 0, aim: 0.9 },
  { cell: 'small-json-8', metric: 'rps', of: 'plain', bound: 'at least', must: 2.5, aim: 3 },
  { cell: 'small-json-1', metric: 'p50Us', of: 'plain', bound: 'at most', must: 0.9, aim: 0.78 },
  { cell: 'mid-json-64', metric: 'rps', of: 'plain', bound: 'at least', must: 2.5, aim: 3 },
  { cell: 'mid-binary-64', metric: 'rps', of: 'plain', bound: 'at least', must: 3.3, aim: 4.5 },
  { cell: 'small-grpc-64', metric: 'rps', of: 'plain', bound: 'at least', must: 1.4, aim: 1.7 },
  { cell: 'mid-grpc-64', metric: 'rps', of: 'plain', bound: 'at least', must: 2.5, aim: 3 },
  { cell: 'small-stream-64', metric: 'rps', of: 'plain', bound: 'at least', must: 2.5, aim: 4 },
  { cell: 'large-binary-8', metric: 'rps', of: 'floor-raw', bound: 'at least', must: 0.95, aim: 1 },
  { cell: 'large-binary-8', metric: 'rps', of: 'floor-ort', bound: 'at least', must: 0.95, aim: 1 },
];

export interface Judged {
  readonly promise: SpeedPromise;
  readonly found: Spread;
  readonly verdict: 'met, aim reached' | 'met' | 'NOT MET' | 'aim not reached';
}

/** Promises whose cell was measured, with what was found. */
export function judge(cells: readonly CellResult[]): Judged[] {
  return promises.flatMap((promise) => {
    const row = cells.find(({ name }) => name === promise.cell)?.rows.find(({ server }) => server === 'sluice');
    const found = row?.ratios[promise.of]?.[promise.metric];
    return found === undefined ? [] : [{ promise, found, verdict: verdictOf(promise, found.median) }];
  });
}

function verdictOf({ bound, must, aim }: SpeedPromise, median: number): Judged['verdict'] {
  const reaches = (limit: number) => (bound === 'at least' ? median >= limit : median <= limit);
  if (!reaches(must)) return 'NOT MET';
  if (aim === undefined) return 'met';
  // Nothing but an aim was set where the bound is 0.
  if (!reaches(aim)) return must === 0 ? 'aim not reached' : 'met';
  return 'met, aim reached';
}
