/**
 * What the host of a virtual machine takes of its cores (`steal` in proc(5)). Work during which it took more than a little says
 * nothing of a server and is done again: a ratio of two servers does not help when only one of them was robbed.
 *
 * Must not know what is measured.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Of the time of all cores, or of the one looked at. */
const stolenShareMax = 0.01;
export const triesForRound = 4;

export interface Rounds<T> {
  /** In the order of time. */
  readonly all: readonly T[];
  /** Those that were not disturbed. */
  readonly kept: readonly T[];
}

/** What was taken of the cores so far, in ms; of this core alone when one is named. */
export type Meter = (core?: number) => number;

export interface RoundsOptions {
  readonly rounds: number;
  readonly onProgress: (text: string) => void;
  /** Only this core matters. */
  readonly core?: number;
  readonly stolenMs?: Meter;
}

/** As many undisturbed rounds as asked for, or what there was of them when too many were disturbed. */
export async function undisturbed<T>(
  { rounds, onProgress, core, stolenMs = hostMeter }: RoundsOptions,
  round: (number: number) => Promise<T>,
): Promise<Rounds<T>> {
  const [all, kept]: [T[], T[]] = [[], []];
  while (kept.length < rounds && all.length < triesForRound * rounds) {
    onProgress(`round ${kept.length + 1}/${rounds}, ${all.length - kept.length} disturbed`);
    const { result, isRobbed } = await robbed(() => round(all.length), stolenMs, core);
    all.push(result);
    if (!isRobbed) kept.push(result);
  }
  return { all, kept };
}

/** The first result that was not disturbed, or else the last. */
export async function firstUndisturbed<T>(work: () => Promise<T>, stolenMs: Meter = hostMeter): Promise<T> {
  for (let tries = 1; ; tries++) {
    const { result, isRobbed } = await robbed(work, stolenMs);
    if (!isRobbed || tries === triesForRound) return result;
  }
}

async function robbed<T>(
  work: () => Promise<T>,
  stolenMs: Meter,
  core?: number,
): Promise<{ result: T; isRobbed: boolean }> {
  const [startedAt, before] = [performance.now(), stolenMs(core)];
  const result = await work();
  const coresMs = (performance.now() - startedAt) * (core === undefined ? availableParallelism() : 1);
  return { result, isRobbed: stolenMs(core) - before > stolenShareMax * coresMs };
}

/** So far; 0 where the system does not tell. */
function hostMeter(core?: number): number {
  const line = new RegExp(`^cpu${core ?? ''} +(.*)$`, 'm').exec(statText())?.[1];
  // Hundredths of a second, the eighth after the name.
  return Number(line?.split(' ')[7] ?? 0) * 10;
}

function statText(): string {
  try {
    return readFileSync('/proc/stat', 'utf8');
  } catch {
    return '';
  }
}

/** For what is told of them. */
export function leftText({ all, kept }: Rounds<unknown>): string {
  const left = all.length - kept.length;
  return `${kept.length} rounds${left === 0 ? '' : `, ${left} disturbed by the host left out`}`;
}
