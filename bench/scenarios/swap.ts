/** A new version of a model takes the place of the old one under constant load, over and over: nobody should notice. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { dense } from '../../test/fixtures.js';
import { usageOf } from '../suite/process-stat.js';
import { rowBody, type Scenario, type Verdict } from './frame.js';
import { type Answer, openLoop } from './open-loop.js';
import type { Swapped, Swapping } from './swapper.js';

const settled = 10;
const growthMax = 1.1;
const slowdownMax = 1.25;
const rate = 500;
const swapsPerSecond = 1;
const slownessMax = 10;
/** Parts of the table. */
const parts = 4;
const quantiles = [0.5, 0.9, 0.99, 0.999];

export const swap: Scenario = {
  name: 'swap',
  promise: `100 swaps under constant load: no request fails, p99 ≤ ${slowdownMax} of that without swaps, memory after the last ≤ ${growthMax} of that after swap ${settled}`,
  async run(stage) {
    const swaps = stage.isQuick ? 2 * settled : 100;
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
    await load(2);
    const seconds = swaps / swapsPerSecond;
    const swapper = await Swapper.start({ swaps, swapsPerSecond, models, admin: gateway.admin, pid: gateway.pid });
    const before = await load(seconds / 2);
    // On a slow machine a swap takes longer than its second; the load goes on as long as there are any.
    const swapping = swapper.run((number) => stage.onProgress(`swap ${number}/${swaps}`));
    const [during, swapped] = await Promise.all([load(seconds * slownessMax, () => swapper.isOver), swapping]);
    await sleep(2000);
    const { rssBytes } = usageOf(gateway.pid);
    const after = await load(seconds / 2);
    return verdictOf({ before, during, after, swapped, rssBytes });
  },
};

interface Run {
  readonly before: readonly Answer[];
  readonly during: readonly Answer[];
  readonly after: readonly Answer[];
  readonly swapped: readonly Swapped[];
  /** When the last swap had settled. */
  readonly rssBytes: number;
}

function verdictOf({ before, during, after, swapped, rssBytes }: Run): Verdict {
  const without = [...before, ...after];
  const failed = failedOf(without) + failedOf(during);
  const [p99, p99Without] = [quantileMs(during, 0.99), quantileMs(without, 0.99)];
  const slowdown = p99 / p99Without;
  const settledBytes = swapped[settled - 1]!.rssBytes;
  const growth = rssBytes / settledBytes;
  const middle = swapped.map(({ tookMs }) => tookMs).sort((a, b) => a - b)[swapped.length >> 1]!;
  return {
    isMet: failed === 0 && slowdown <= slowdownMax && growth <= growthMax,
    found: `${swapped.length} swaps at ${rate} req/s: ${failed} of ${during.length} failed; p99 ${p99.toFixed(1)} ms, without ${p99Without.toFixed(1)} ms, × ${slowdown.toFixed(2)}; memory × ${growth.toFixed(2)} of ${Math.round(settledBytes / 1e6)} MB; a swap takes ${Math.round(middle)} ms`,
    table: {
      head: ['', 'requests', 'failed', ...quantiles.map((q) => `p${q * 100} ms`), 'slowest ms', 'a swap ms', 'RSS MB'],
      lines: [
        lineOf('before', before),
        lineOf(`swaps 1–${settled}`, until(during, 0, swapped[settled - 1]!.atMs), swapped.slice(0, settled)),
        ...partsOf(during, swapped),
        lineOf('after', after, [], rssBytes),
        lineOf('all without swaps', without),
        lineOf('all with swaps', during, swapped, rssBytes),
      ],
    },
  };
}

/** What came after the first swaps, in parts of equally many of them. */
function partsOf(during: readonly Answer[], swapped: readonly Swapped[]): string[][] {
  const size = (swapped.length - settled) / parts;
  return Array.from({ length: parts }, (_, part) => {
    const first = settled + Math.round(part * size);
    const last = settled + Math.round((part + 1) * size);
    const toMs = part === parts - 1 ? Infinity : swapped[last - 1]!.atMs;
    const answers = until(during, swapped[first - 1]!.atMs, toMs);
    return lineOf(`swaps ${first + 1}–${last}`, answers, swapped.slice(first, last));
  });
}

function until(answers: readonly Answer[], fromMs: number, toMs: number): Answer[] {
  return answers.filter(({ atMs }) => atMs > fromMs && atMs <= toMs);
}

function lineOf(
  what: string,
  answers: readonly Answer[],
  swapped: readonly Swapped[] = [],
  rssBytes = swapped.at(-1)?.rssBytes,
): string[] {
  const times = [...quantiles, 1].map((q) => (answers.length === 0 ? '–' : quantileMs(answers, q).toFixed(2)));
  const swapMs = swapped.map(({ tookMs }) => tookMs).sort((a, b) => a - b)[swapped.length >> 1];
  const more = [swapMs?.toFixed(0) ?? '–', rssBytes === undefined ? '–' : (rssBytes / 1e6).toFixed(0)];
  return [what, String(answers.length), String(failedOf(answers)), ...times, ...more];
}

function failedOf(answers: readonly Answer[]): number {
  return answers.filter(({ status }) => status !== 200).length;
}

function quantileMs(answers: readonly Answer[], q: number): number {
  const times = answers.map(({ ms }) => ms).sort((a, b) => a - b);
  return times[Math.min(times.length - 1, Math.floor(times.length * q))] ?? Number.NaN;
}

/** The thread that swaps. */
class Swapper {
  isOver = false;
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
  async run(onSwap: (number: number) => void): Promise<Swapped[]> {
    const done: Swapped[] = [];
    this.#thread.on('message', (swapped: Swapped) => onSwap(done.push(swapped)));
    this.#thread.postMessage('go');
    try {
      await once(this.#thread, 'exit');
    } finally {
      this.isOver = true;
    }
    return done;
  }
}
