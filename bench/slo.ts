/**
 * A promise about latency, and the search for the highest rate at which it is kept.
 *
 *   start ─ kept? ─ double until it is broken ─┐
 *         └ broken? ─ halve until it is kept ──┴─▶ bisect the gap ─▶ highest rate that was measured and kept it
 *
 * The answer is always a rate that was measured, never one in between.
 *
 * Must not know how a rate is measured.
 */
import { Exit } from '../src/cli/exit.js';

export interface Slo {
  readonly percent: number;
  readonly limitUs: number;
}

/**
 * `p99=5ms`, `p99.9=800us`, `p50=0.2s`.
 * @throws Exit 2
 */
export function parseSlo(text: string): Slo {
  const [, percent, limit, unit] = /^p(\d{1,2}(?:\.\d{1,3})?)=(\d+(?:\.\d+)?)(us|µs|ms|s)$/.exec(text.trim()) ?? [];
  const slo = {
    percent: Number(percent),
    limitUs: Number(limit) * (unit === 's' ? 1_000_000 : unit === 'ms' ? 1000 : 1),
  };
  if (unit === undefined || !(slo.percent > 0) || !(slo.limitUs > 0)) {
    throw new Exit(2, `--slo: expected a percentile and a limit like p99=5ms, got ${text}`);
  }
  return slo;
}

/** Whether a promise was kept at a rate. */
export type Probe = (rate: number) => Promise<boolean>;

export interface SearchOptions {
  readonly startRate: number;
  /** Where a rate that kept it and one that broke it are close enough, as a share of the lower. */
  readonly precision: number;
  readonly probesMax: number;
  readonly rateMin: number;
  readonly rateMax: number;
  /** The search ends here, with what was found. */
  readonly isOver?: () => boolean;
}

/** @returns the highest rate that kept the promise; undefined when none did */
export async function searchRate(probe: Probe, options: SearchOptions): Promise<number | undefined> {
  const { rateMin, rateMax } = options;
  let kept: number | undefined;
  let broken: number | undefined;
  let rate = Math.round(Math.min(rateMax, Math.max(rateMin, options.startRate)));
  for (let probes = 0; probes < options.probesMax; probes++) {
    if (options.isOver?.()) break;
    if (await probe(rate)) kept = rate;
    else broken = rate;
    const next = nextRate(kept, broken, options);
    if (next === undefined) break;
    rate = next;
  }
  return kept;
}

/** Undefined = nothing left to find out. */
export function nextRate(
  kept: number | undefined,
  broken: number | undefined,
  { precision, rateMin, rateMax }: SearchOptions,
): number | undefined {
  if (broken === undefined) return kept! >= rateMax ? undefined : Math.min(rateMax, kept! * 2);
  if (kept === undefined) return broken <= rateMin ? undefined : Math.max(rateMin, Math.floor(broken / 2));
  if (broken - kept <= Math.max(1, kept * precision)) return undefined;
  return Math.round((kept + broken) / 2);
}
