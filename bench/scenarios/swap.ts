/** A new version of a model takes the place of the old one under constant load, over and over: nobody should notice. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { dense } from '../../test/fixtures.js';
import { usageOf } from '../suite/process-stat.js';
import { leftText, type Rounds, triesForRound, undisturbed } from '../suite/theft.js';
import { probeGoneMs, rowBody, type Scenario, type Verdict } from './frame.js';
import { type Answer, openLoop } from './open-loop.js';
import type { Swapped, Swapping } from './swapper.js';

const settled = 10;
const growthMax = 1.1;
const slowdownMax = 1.25;
const rate = 500;
const swapsPerSecond = 1;
const slownessMax = 10;
const quantiles = [0.5, 0.9, 0.99, 0.999];

export const swap: Scenario = {
  name: 'swap',
  promise: `100 swaps under a constant load of ${rate} req/s: no request fails, p99 ≤ ${slowdownMax} of that without swaps, memory after the last ≤ ${growthMax} of that after swap ${settled}`,
  async run(stage) {
    const [count, swapsOfEach] = stage.isQuick ? [4, 5] : [20, 5];
    const models = stage.repository({ small: dense() });
    const gateway = await stage.gateway({ models, processes: 2, flags: ['--models-poll-ms', '0'] });
    const load = (seconds: number, isOver?: () => boolean) =>
      openLoop({
        origin: gateway.http,
        body: rowBody('small', 30),
        rate,
        seconds,
        inFlightMax: 256,
        ...(isOver === undefined ? {} : { isOver }),
      });
    const swaps = count * swapsOfEach;
    const seconds = swapsOfEach / swapsPerSecond;
    const swapper = await Swapper.start({
      swaps: swaps * triesForRound,
      swapsPerSecond,
      models,
      admin: gateway.admin,
      pid: gateway.pid,
    });
    stage.after(() => swapper.end());
    await load(2);
    const onProgress = (text: string) => stage.onProgress(`${swapsOfEach} swaps a round, ${text}`);
    const rounds = await undisturbed({ rounds: count, onProgress }, async (number): Promise<Round> => {
      const isBefore = number % 2 === 0;
      const before = isBefore ? await load(seconds) : [];
      const swapping = swapper.swap(swapsOfEach);
      // On a slow machine a swap takes longer than its second; the load goes on as long as there are any.
      const [during, swapped] = await Promise.all([load(seconds * slownessMax, () => swapper.isIdle), swapping]);
      return { without: isBefore ? before : await load(seconds), during, swapped };
    });
    await sleep(probeGoneMs);
    return verdictOf(rounds, count, usageOf(gateway.pid).rssBytes);
  },
};

/** As long without swaps as with them, one right after the other: what the machine does meanwhile is to hit both alike. */
interface Round {
  readonly without: readonly Answer[];
  readonly during: readonly Answer[];
  readonly swapped: readonly Swapped[];
}

/** A round that was disturbed tells nothing of times, but a request that failed in it has failed. @param rssBytes when the last swap had settled */
function verdictOf(found: Rounds<Round>, count: number, rssBytes: number): Verdict {
  const rounds = found.kept;
  if (rounds.length === 0) return { isMet: false, found: leftText(found) };
  const without = rounds.flatMap((round) => round.without);
  const during = rounds.flatMap((round) => round.during);
  const answers = found.all.flatMap((round) => [...round.without, ...round.during]);
  const swapped = found.all.flatMap((round) => round.swapped);
  const failed = failedOf(answers);
  const [p99, p99Without] = [quantileMs(during, 0.99), quantileMs(without, 0.99)];
  const slowdown = middleOf(rounds.map((round) => quantileMs(round.during, 0.99) / quantileMs(round.without, 0.99)));
  const settledBytes = swapped[settled - 1]!.rssBytes;
  const growth = rssBytes / settledBytes;
  const tookMs = middleOf(swapped.map((one) => one.tookMs));
  return {
    isMet: failed === 0 && slowdown <= slowdownMax && growth <= growthMax && rounds.length === count,
    found: `${swapped.length} swaps at ${rate} req/s: ${failed} of ${answers.length} failed; p99 in the median (${leftText(found)}) × ${slowdown.toFixed(2)} of that without, of all together ${p99.toFixed(1)} ms and ${p99Without.toFixed(1)} ms without; memory × ${growth.toFixed(2)} of ${Math.round(settledBytes / 1e6)} MB; a swap takes ${Math.round(tookMs)} ms`,
    table: {
      head: ['', 'requests', 'failed', ...quantiles.map((q) => `p${q * 100} ms`), 'slowest ms', 'a swap ms', 'RSS MB'],
      lines: [
        ...rounds.flatMap((round, number) => [
          lineOf(`round ${number + 1} without`, round.without),
          lineOf(`round ${number + 1} with swaps`, round.during, round.swapped),
        ]),
        lineOf('all without swaps', without),
        lineOf('all with swaps', during, swapped, rssBytes),
      ],
    },
  };
}

function lineOf(
  what: string,
  answers: readonly Answer[],
  swapped: readonly Swapped[] = [],
  rssBytes = swapped.at(-1)?.rssBytes,
): string[] {
  const times = [...quantiles, 1].map((q) => (answers.length === 0 ? '–' : quantileMs(answers, q).toFixed(2)));
  const swapMs = swapped.length === 0 ? '–' : middleOf(swapped.map(({ tookMs }) => tookMs)).toFixed(0);
  const more = [swapMs, rssBytes === undefined ? '–' : (rssBytes / 1e6).toFixed(0)];
  return [what, String(answers.length), String(failedOf(answers)), ...times, ...more];
}

function failedOf(answers: readonly Answer[]): number {
  return answers.filter(({ status }) => status !== 200).length;
}

function quantileMs(answers: readonly Answer[], q: number): number {
  const times = answers.map(({ ms }) => ms).sort((a, b) => a - b);
  return times[Math.min(times.length - 1, Math.floor(times.length * q))] ?? Number.NaN;
}

function middleOf(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}

/** The thread that swaps. */
class Swapper {
  isIdle = true;
  readonly #thread: Worker;

  constructor(thread: Worker) {
    this.#thread = thread;
  }

  static async start(swapping: Swapping): Promise<Swapper> {
    const thread = new Worker(new URL('./swapper.js', import.meta.url), { workerData: swapping });
    await once(thread, 'message');
    return new Swapper(thread);
  }

  /** @throws when a version does not take the place of the one before */
  async swap(count: number): Promise<Swapped[]> {
    this.isIdle = false;
    try {
      this.#thread.postMessage(count);
      const [swapped] = await once(this.#thread, 'message');
      return swapped;
    } finally {
      this.isIdle = true;
    }
  }

  async end(): Promise<void> {
    await this.#thread.terminate();
  }
}
