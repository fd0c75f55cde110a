/**
 * One row of the report: what was asked of the server, and what it did.
 *
 * A row whose windows never agreed, or during which the server went away, has no figures that could be read as a
 * measurement: `figures` is undefined and `status` says why.
 *
 * Must not know how rows are measured or drawn.
 */
import type { Arrivals } from './chance.js';
import { mergeWindows, rpsOf, type Window } from './meter.js';
import type { Mode, Protocol } from './options.js';
import { steadyWindows, type WindowFigures } from './stability.js';

/**
 * `steady`: three windows agreed. `unstable`: ten did not. `partial`: ended early, the figures are of what there was.
 * `failed`: not one success.
 */
export type RowStatus = 'steady' | 'unstable' | 'partial' | 'failed';

export interface Figures {
  readonly rps: number;
  readonly meanUs: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
  readonly requests: number;
  /** Latency by percentile, ascending, for a curve. */
  readonly distribution: readonly (readonly [percent: number, us: number])[];
}

/** What the server says of itself; undefined where it does not. */
export interface ServerFigures {
  readonly queueUs: number | undefined;
  readonly computeUs: number | undefined;
  readonly batchRows: number | undefined;
  readonly cpuUs: number | undefined;
  readonly rssBytes: number | undefined;
}

export interface Row {
  readonly protocol: Protocol;
  readonly mode: Mode;
  readonly arrivals: Arrivals | undefined;
  /** Connections of a closed loop, requests per second of an open one. */
  readonly load: number;
  readonly status: RowStatus;
  /** Why not steady; '' when it is. */
  readonly reason: string;
  readonly figures: Figures | undefined;
  readonly errors: Readonly<Record<string, number>>;
  readonly errorCount: number;
  /** Latency of answers that were errors. */
  readonly refusalP99Us: number | undefined;
  /** How late the generator itself was, by an open loop. */
  readonly sendLagP99Us: number | undefined;
  readonly windows: readonly WindowFigures[];
  readonly server: ServerFigures;
  /** At the percentile of the promise; undefined without figures. */
  readonly sloLatencyUs: number | undefined;
  /** Whether the promise was kept, when one was searched for. */
  readonly meetsSlo?: boolean;
}

export interface RowHead {
  readonly protocol: Protocol;
  readonly mode: Mode;
  readonly arrivals: Arrivals | undefined;
  readonly load: number;
}

export interface Measured {
  readonly windows: readonly Window[];
  readonly verdict: 'steady' | 'unstable' | 'partial';
  readonly reason: string;
  /** Which percentile has to be the same in all windows. */
  readonly percent: number;
  readonly server: ServerFigures;
}

export function rowOf(head: RowHead, measured: Measured): Row {
  const { windows, verdict, percent } = measured;
  const counted = mergeWindows(verdict === 'steady' ? windows.slice(-steadyWindows) : windows);
  const hasSuccess = counted.latency.count > 0;
  const errors = Object.fromEntries([...counted.errors].sort(([, a], [, b]) => b - a));
  const status: RowStatus = hasSuccess ? verdict : 'failed';
  return {
    ...head,
    status,
    reason: status === 'steady' ? '' : reasonOf(status, measured),
    figures: status === 'steady' || status === 'partial' ? figuresOf(counted) : undefined,
    errors,
    errorCount: Object.values(errors).reduce((sum, count) => sum + count, 0),
    refusalP99Us: counted.refusal.count === 0 ? undefined : counted.refusal.percentileUs(99),
    sendLagP99Us: counted.lag.count === 0 ? undefined : counted.lag.percentileUs(99),
    windows: windows.map((window) => windowFigures(window, percent)),
    server: measured.server,
    sloLatencyUs: status === 'steady' ? counted.latency.percentileUs(percent) : undefined,
  };
}

function reasonOf(status: RowStatus, { reason, windows }: Measured): string {
  if (reason !== '') return reason;
  if (status === 'failed') return 'not one request succeeded';
  return `${windows.length} windows of which no three in a row agree within 10 %`;
}

export function windowFigures(window: Window, percent: number): WindowFigures {
  return { rps: rpsOf(window), latencyUs: window.latency.percentileUs(percent) };
}

const curvePercents = [
  1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.7, 99.9, 99.95, 99.99, 99.999,
];

function figuresOf(window: Window): Figures {
  const { latency } = window;
  // A percentile that no more than one request decides is that request, not a percentile.
  const known = curvePercents.filter((percent) => latency.count * (1 - percent / 100) >= 1);
  return {
    rps: rpsOf(window),
    meanUs: latency.meanUs(),
    p50Us: latency.percentileUs(50),
    p90Us: latency.percentileUs(90),
    p99Us: latency.percentileUs(99),
    p999Us: latency.percentileUs(99.9),
    maxUs: latency.maxUs,
    requests: latency.count,
    distribution: known.map((percent) => [percent, latency.percentileUs(percent)] as const),
  };
}
