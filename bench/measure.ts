/**
 * One row measured: load is started, warmed up, and watched window by window until the figures agree.
 *
 *   start ─ warm-up ─ window · window · window ─ agree? ─▶ steady
 *                          └──── another ◀── no ┘   ten ─▶ unstable
 *            server gone, interrupted ─▶ partial, with what there was
 *
 * Must not know protocols or reports.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Histogram } from './histogram.js';
import type { Load } from './load.js';
import { Meter, mergeWindows, type Window } from './meter.js';
import { type Measured, type ServerFigures, windowFigures } from './row.js';
import { type Snapshot, serverFigures } from './server-side.js';
import { promiseVerdict, steadyWindows, type Verdict, verdictOf } from './stability.js';

export interface MeasureOptions {
  readonly start: (meter: Meter) => Load;
  readonly snapshot: () => Promise<Snapshot>;
  readonly warmupMs: number;
  /** Of a steady row: three windows. */
  readonly durationMs: number;
  readonly timeoutMs: number;
  /** The percentile of which windows have to agree, beside throughput. */
  readonly percent: number;
  /** Of the promise, when only that is asked. */
  readonly limitUs: number | undefined;
  /** Requests come by chance, so that windows differ even when the server does not. */
  readonly isPoisson: boolean;
  readonly now: () => number;
  /** Ctrl-C. */
  readonly signal: AbortSignal;
  readonly progress: (progress: Progress) => void;
}

export interface Progress {
  readonly stage: string;
  readonly rps: number;
  readonly latencyUs: number;
}

/** As perf_analyzer: fewer say little about latency. */
const windowRequestsMin = 50;
/** How often a window may be prolonged to get there. */
const prolongMax = 3;
const lookMs = 50;
/** Without an answer and with this many requests or connections lost for this long, the server is gone. */
const goneMs = 2000;
const lostMin = 3;

export async function measure(options: MeasureOptions): Promise<Measured> {
  const { now, percent } = options;
  const meter = new Meter(now());
  const load = options.start(meter);
  const windows: Window[] = [];
  let stop = await passTime(meter, options.warmupMs, 'warm-up', options);
  let before: Snapshot | undefined;
  let heardBefore = 0;
  if (stop === '') {
    before = await options.snapshot().catch(() => undefined);
    heardBefore = meter.heard;
    meter.turn(now());
  }
  const windowMs = options.durationMs / steadyWindows;
  let verdict: Measured['verdict'] | 'go on' = stop === '' ? 'go on' : 'partial';
  while (verdict === 'go on') {
    const stage = `window ${windows.length + 1}`;
    stop = await passTime(meter, windowMs, stage, options);
    for (let times = 1; stop === '' && meter.answers < windowRequestsMin && times < prolongMax; times++) {
      stop = await passTime(meter, windowMs, stage, options);
    }
    windows.push(meter.turn(now()));
    verdict = stop === '' ? judge(windows, options) : 'partial';
    // Three windows of errors only say what ten would say.
    if (windows.length === steadyWindows && windows.every(({ answers }) => answers === 0)) verdict = 'unstable';
  }
  const heard = meter.heard - heardBefore;
  const after = before === undefined || isGone(stop) ? undefined : options.snapshot().catch(() => undefined);
  await load.stop();
  const late = meter.turn(now());
  const last = windows.pop();
  if (last !== undefined) windows.push({ ...mergeWindows([last, late]), durationMs: last.durationMs });
  // Ended while it warmed up: of that only the errors are worth telling.
  else windows.push({ ...late, answers: 0, latency: new Histogram() });
  return { windows, verdict, reason: stop, percent, server: await compare(before, after, heard) };
}

function judge(windows: readonly Window[], { percent, isPoisson, limitUs }: MeasureOptions): Verdict {
  const fewest = Math.min(...windows.slice(-steadyWindows).map(({ answers }) => answers));
  const figures = windows.map((window) => windowFigures(window, percent));
  const chance = isPoisson && fewest > 0 ? 2 / Math.sqrt(fewest) : 0;
  return limitUs === undefined ? verdictOf(figures, chance) : promiseVerdict(figures, limitUs, chance);
}

const unknown: ServerFigures = {
  queueUs: undefined,
  computeUs: undefined,
  batchRows: undefined,
  cpuUs: undefined,
  rssBytes: undefined,
};

async function compare(
  before: Snapshot | undefined,
  after: Promise<Snapshot | undefined> | undefined,
  heard: number,
): Promise<ServerFigures> {
  const later = await after;
  return before === undefined || later === undefined ? unknown : serverFigures(before, later, heard);
}

const interrupted = 'interrupted';

function isGone(stop: string): boolean {
  return stop !== '' && stop !== interrupted;
}

/** @returns why to stop before the time was over; '' = it is over */
async function passTime(meter: Meter, durationMs: number, stage: string, options: MeasureOptions): Promise<string> {
  const { now, signal, percent } = options;
  const endAt = now() + durationMs;
  const startAnswers = meter.answers;
  const startAt = now();
  for (let at = startAt; at < endAt; at = now()) {
    if (signal.aborted) return interrupted;
    const silentMs = at - meter.heardAt;
    const gone = meter.lost >= lostMin ? silentMs > goneMs : meter.lost > 0 && silentMs > options.timeoutMs;
    if (gone) return `the server stopped answering; nothing came for ${(silentMs / 1000).toFixed(1)} s`;
    const elapsedMs = at - startAt;
    const rps = elapsedMs === 0 ? 0 : ((meter.answers - startAnswers) * 1000) / elapsedMs;
    options.progress({ stage, rps, latencyUs: meter.latency.percentileUs(percent) });
    await sleep(Math.min(lookMs, endAt - at));
  }
  return signal.aborted ? interrupted : '';
}
