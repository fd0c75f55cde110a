/**
 * The guard after a swap: for a minute the new version is compared with the last minute of the old one, and goes back when it
 * fails, crawls, or is blamed for a crash.
 *
 * Requests are slower as well where another program takes the cores, so a p99 alone proves nothing against a version. It crawls
 * when its p99 is above the limit and its model takes longer by itself: in the mean, and in its quickest quarter of runs, which
 * a busy machine leaves alone while a run is shorter than a slice of time (0.26 ms stayed 0.26 beside two busy loops on two
 * cores, 0.32 beside six). And all of this in two windows one after the other, for what stalls a machine mostly passes. So
 * a version of which only rare requests are slow stays; its p99 is for alerts and canaries to judge.
 *
 * Must not know processes, or how a version is taken back.
 */
import { type BreachNumbers, type BreachRule, breachOf } from './breach.js';
import { countAbove, quantileBoundMs, timed } from './latency.js';
import { nothingServed, type RunTimes, type Served, servedSince } from './served.js';

/** How long after a swap it takes a version back. */
export const guardMs = 60_000;

const rule: BreachRule = {
  requestsMin: 50,
  faultShareMin: 0.01,
  faultRatioMin: 3,
  faultChanceMax: 0.01,
  p99RatioMax: 2,
  p99HardMs: null,
};

/** Of the model by itself. */
const runRule = { runsMin: 10, quickShare: 0.25, meanRatioMax: 2 };

/** A window is as long and has as many requests and runs as can be judged. */
const windowMs = 10_000;
const slowWindowsMin = 2;

/** Windows so far: what the rule carries from one look to the next. */
export interface GuardWindows {
  /** Windows up to the last whole one that were slow, one after the other. */
  readonly slow: number;
  /** When the present one began, since the swap, and what was served until then. */
  readonly beganMs: number;
  readonly began: Served;
}

export function firstWindow(sinceSwapMs: number): GuardWindows {
  return { slow: 0, beganMs: sinceSwapMs, began: nothingServed };
}

interface GuardNumbers extends BreachNumbers {
  readonly run_mean_ms: number | null;
  readonly reference_run_mean_ms: number | null;
}

export interface GuardVerdict {
  readonly isRollback: boolean;
  readonly reasons: readonly ('crashed' | 'hung' | 'errors' | 'p99')[];
  readonly numbers: GuardNumbers;
  /** For the next look. */
  readonly windows: GuardWindows;
}

export interface GuardLook {
  readonly sinceSwapMs: number;
  /** The last minute of the old version. */
  readonly before: Served;
  /** The new version since the swap. */
  readonly after: Served;
  readonly windows: GuardWindows;
  readonly blamed: 'crashed' | 'hung' | null;
}

export function guardVerdict(look: GuardLook): GuardVerdict {
  const { sinceSwapMs, before, after, blamed } = look;
  const windows = windowsAt(look);
  const breach = breachOf(after, before, rule);
  const reasons: GuardVerdict['reasons'][number][] = [];
  if (blamed !== null) reasons.push(blamed);
  if (breach.reasons.includes('errors')) reasons.push('errors');
  if (windows.slow >= slowWindowsMin) reasons.push('p99');
  const isRollback = reasons.length > 0 && sinceSwapMs <= guardMs;
  const runs = { run_mean_ms: meanOf(after.runs), reference_run_mean_ms: meanOf(before.runs) };
  return { isRollback, reasons, numbers: { ...breach.numbers, ...runs }, windows };
}

function windowsAt({ sinceSwapMs, before, after, windows }: GuardLook): GuardWindows {
  const { slow, beganMs, began } = windows;
  const served = servedSince(after, began);
  const isWhole =
    sinceSwapMs - beganMs >= windowMs && served.requests >= rule.requestsMin && timed(served.runs) >= runRule.runsMin;
  if (!isWhole) return windows;
  return { slow: isSlow(served, before) ? slow + 1 : 0, beganMs: sinceSwapMs, began: after };
}

function isSlow(served: Served, before: Served): boolean {
  return breachOf(served, before, rule).reasons.includes('p99') && areRunsSlower(served.runs, before.runs);
}

/** As far as the bounds of buckets prove it. */
function areRunsSlower(runs: RunTimes, before: RunTimes): boolean {
  const { runsMin, quickShare, meanRatioMax } = runRule;
  const quickMs = timed(before) < runsMin ? undefined : quantileBoundMs(before, quickShare);
  if (quickMs === undefined || meanOf(runs)! < meanRatioMax * meanOf(before)!) return false;
  return countAbove(runs, quickMs) >= (1 - quickShare) * timed(runs);
}

function meanOf(runs: RunTimes): number | null {
  const count = timed(runs);
  return count === 0 ? null : runs.sumMs / count;
}
