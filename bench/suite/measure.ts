/**
 * One cell: its servers take turns, round after round, each loaded alone while the others idle.
 *
 *   round 1: plain sluice fastify …   round 2: sluice fastify … plain   …
 *
 * The order moves on by one each round, so that nobody always follows the same neighbour. A turn during which the host took
 * the cores away is taken again.
 *
 * Must not know how load is made or what the numbers are for.
 */
import type { Load, LoadResult } from './load.js';
import { usageOf } from './process-stat.js';
import { firstUndisturbed } from './theft.js';

/** A server under the load of this cell. */
export interface Runner {
  readonly name: string;
  readonly pid: number | undefined;
  readonly load: Load;
  /** Called around each of its turns, when there is more to read than the load generator sees. */
  readonly before?: () => Promise<void>;
  readonly after?: () => Promise<void>;
}

export interface Sample {
  readonly rps: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** NaN when the server is not on this machine. */
  readonly cpuUs: number;
  readonly rssBytes: number;
  readonly errors: number;
}

export interface Rounds {
  readonly rounds: number;
  readonly seconds: number;
  readonly onProgress: (text: string) => void;
}

/** Time for what a loaded server still does after its last answer. */
const restMs = 150;

/** @returns the samples of each runner, in the order of rounds */
export async function measure(
  runners: readonly Runner[],
  { rounds, seconds, onProgress }: Rounds,
): Promise<Map<string, Sample[]>> {
  const samples = new Map<string, Sample[]>(runners.map(({ name }) => [name, []]));
  for (const { name, load } of runners) {
    onProgress(`warming up ${name}`);
    const { requests } = await load(1);
    if (requests === 0) throw new Error(`${name} answered no request`);
  }
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < runners.length; turn++) {
      const runner = runners[(round + turn) % runners.length]!;
      onProgress(`round ${round + 1}/${rounds} ${runner.name}`);
      samples.get(runner.name)!.push(await firstUndisturbed(() => sampleOf(runner, seconds)));
      await new Promise((resolve) => setTimeout(resolve, restMs));
    }
  }
  return samples;
}

async function sampleOf({ name, pid, load, before, after }: Runner, seconds: number): Promise<Sample> {
  await before?.();
  const start = pid === undefined ? undefined : usageOf(pid);
  const result: LoadResult = await load(seconds);
  const stop = pid === undefined ? undefined : usageOf(pid);
  await after?.();
  if (result.requests === 0) throw new Error(`${name} answered no request`);
  const cpuUs = start === undefined || stop === undefined ? result.cpuUs : stop.cpuUs - start.cpuUs;
  return {
    rps: result.requests / result.seconds,
    p50Us: result.p50Us,
    p99Us: result.p99Us,
    cpuUs: (cpuUs ?? Number.NaN) / result.requests,
    rssBytes: stop?.rssBytes ?? result.rssBytes ?? Number.NaN,
    errors: result.errors,
  };
}
