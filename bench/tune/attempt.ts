/**
 * One candidate on trial: a gateway is started with it, and asked for the highest rate at which the promise is kept.
 *
 * Must not know which candidates there are.
 */
import { Exit } from '../../src/cli/exit.js';
import { type Run, type RunContext, runBench } from '../bench.js';
import { bytesText, latencyText, rateText } from '../figures.js';
import { isGrpc, parseOptions, type TypedOptions } from '../options.js';
import type { Row } from '../row.js';
import { type Candidate, textOf } from './candidate.js';
import { openGateway, type Site } from './gateways.js';
import type { Trial } from './search.js';

/** A tenth is as exact as a p99 of a few seconds is. */
const precision = 0.1;
const probesMax = 10;
/** One stall of the machine must not decide. */
const tries = 2;

export interface AttemptOptions {
  readonly site: Site;
  /** What `sluice bench` is told, but for the address. */
  readonly typed: TypedOptions;
  readonly now: () => number;
  readonly signal: AbortSignal;
  readonly onProgress: RunContext['progress'];
  /** The configuration that is in force is tried as it is, without a word about it. */
  readonly start: Candidate;
}

/** @throws Exit when the start cannot be tried: then nothing can */
export async function attempt(
  candidate: Candidate,
  floorRate: number | undefined,
  options: AttemptOptions,
): Promise<Trial> {
  const isStart = candidate === options.start;
  try {
    return trialOf(candidate, floorRate, await runOnce(candidate, floorRate, options));
  } catch (error) {
    // A setting with which the gateway does not come up, for want of memory perhaps, is a setting that is not good.
    if (!(error instanceof Exit) || isStart) throw error;
    return { candidate, rate: undefined, floorRate, note: error.message };
  }
}

async function runOnce(candidate: Candidate, floorRate: number | undefined, options: AttemptOptions): Promise<Run> {
  const { site, typed, now, signal, onProgress, start } = options;
  const gateway = await openGateway(site, candidate === start ? undefined : candidate);
  try {
    const address = isGrpc(parseOptions(undefined, typed).protocol) ? `http://${gateway.grpc}` : gateway.http;
    const asked = parseOptions(address, { ...typed, admin: gateway.admin });
    const fromFloor = floorRate === undefined ? {} : { startRate: floorRate, rateMin: floorRate };
    const search = { precision, probesMax, tries, ...fromFloor };
    const run = await runBench(asked, {
      now,
      startedAt: 0,
      signal,
      progress: onProgress,
      rowDone: () => {},
      search,
    });
    if (run.cutShort !== '' && !signal.aborted) throw new Exit(1, `${textOf(candidate)}: ${run.cutShort}`);
    return run;
  } finally {
    await gateway.stop();
  }
}

function trialOf(
  candidate: Candidate,
  floorRate: number | undefined,
  { bestRate, rows, options, cutShort }: Run,
): Trial {
  if (bestRate === undefined && cutShort !== '')
    return { candidate, rate: undefined, floorRate: undefined, note: cutShort };
  const best = rows.findLast(({ meetsSlo, load }) => meetsSlo === true && load === bestRate);
  const shown = best ?? rows[0];
  return { candidate, rate: bestRate, floorRate, note: shown === undefined ? '' : noteOf(shown, options.slo!.percent) };
}

/** Without figures, what the last windows were like: the promise was about them. */
function noteOf({ figures, server, load, windows }: Row, percent: number): string {
  if (figures === undefined) {
    const last = windows.slice(-3).map(({ rps, latencyUs }) => `${latencyText(latencyUs)} at ${rateText(rps)}/s`);
    return `asked for ${rateText(load)}/s, p${percent} was ${last.join(', ')}`;
  }
  const { batchRows, cpuUs, rssBytes } = server;
  const parts = [`p50 ${latencyText(figures.p50Us)}`, `p99 ${latencyText(figures.p99Us)}`];
  if (batchRows !== undefined) parts.push(`mean batch ${batchRows.toFixed(1)}`);
  if (cpuUs !== undefined) parts.push(`${latencyText(cpuUs)} processor a request`);
  if (rssBytes !== undefined) parts.push(bytesText(rssBytes));
  return parts.join(', ');
}
