/**
 * When a number may be printed: three windows in a row that agree.
 *
 * Throughput and median latency of the last three windows each have to lie within ±10 % of their mean. Until they do,
 * another window is measured, ten at most; then the answer is "unstable", because a mean of windows that differ describes
 * none of them. (The rule and its numbers are those of perf_analyzer.)
 *
 * Must not know how windows are measured.
 */

export interface WindowFigures {
  readonly rps: number;
  readonly latencyUs: number;
}

export const steadyWindows = 3;
export const windowsMax = 10;
const tolerance = 0.1;

export type Verdict = 'go on' | 'steady' | 'unstable';

/**
 * @param chance what arrivals by chance alone may add to the difference in throughput, as a share: two standard deviations
 * of a Poisson count are 2 ÷ √requests
 */
export function verdictOf(windows: readonly WindowFigures[], chance = 0): Verdict {
  const last = windows.slice(-steadyWindows);
  const rps = last.map((window) => window.rps);
  const latencies = last.map(({ latencyUs }) => latencyUs);
  const isSteady = last.length === steadyWindows && agree(rps, tolerance + chance) && agree(latencies, tolerance);
  if (isSteady) return 'steady';
  return windows.length >= windowsMax ? 'unstable' : 'go on';
}

/**
 * The verdict when all that is asked is whether a promise about latency is kept: three windows in a row keep it, at the
 * same throughput. How far below the limit each one stays may differ. Three that break it end the row; unless they agree as
 * any others would have to, it has no number.
 */
export function promiseVerdict(windows: readonly WindowFigures[], limitUs: number, chance = 0): Verdict {
  const last = windows.slice(-steadyWindows);
  if (last.length === steadyWindows) {
    const rps = last.map((window) => window.rps);
    if (last.every(({ latencyUs }) => latencyUs <= limitUs) && agree(rps, tolerance + chance)) return 'steady';
    if (last.every(({ latencyUs }) => latencyUs > limitUs)) {
      return verdictOf(last, chance) === 'steady' ? 'steady' : 'unstable';
    }
  }
  return windows.length >= windowsMax ? 'unstable' : 'go on';
}

function agree(values: readonly number[], within: number): boolean {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  // A window without a single success agrees with nothing, not even with two others like it.
  return values.every((value) => value > 0 && Math.abs(value - mean) <= within * mean);
}
