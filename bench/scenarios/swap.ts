/** A new version of a model takes the place of the old one under constant load, over and over: nobody should notice. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dense } from '../../test/fixtures.js';
import { usageOf } from '../suite/process-stat.js';
import { rowBody, type Scenario } from './frame.js';
import { type Answer, openLoop } from './open-loop.js';

const settled = 10;
const growthMax = 1.1;
const slowdownMax = 1.25;
const rate = 500;
const swapsPerSecond = 1;

export const swap: Scenario = {
  name: 'swap',
  promise: `100 swaps under constant load: no request fails, p99 ≤ ${slowdownMax} of that without swaps, memory after the last ≤ ${growthMax} of that after swap ${settled}`,
  async run(stage) {
    const swaps = stage.isQuick ? 2 * settled : 100;
    const models = stage.repository({ small: dense() });
    const gateway = await stage.gateway({ models, processes: 2, flags: ['--models-poll-ms', '0'] });
    const load = (seconds: number) =>
      openLoop({ origin: gateway.http, body: rowBody('small', 30), rate, seconds, inFlightMax: 256 });
    await load(2);
    const seconds = swaps / swapsPerSecond;
    const swapTimes: number[] = [];
    let settledBytes = 0;
    const swapping = async (): Promise<void> => {
      for (let number = 1; number <= swaps; number++) {
        const dueAt = performance.now() + 1000 / swapsPerSecond;
        stage.onProgress(`swap ${number}/${swaps}`);
        const startedAt = performance.now();
        await swapTo(number + 1, models, gateway.admin);
        swapTimes.push(performance.now() - startedAt);
        if (number === settled) settledBytes = usageOf(gateway.pid).rssBytes;
        await sleep(Math.max(0, dueAt - performance.now()));
      }
    };
    const before = await load(seconds / 2);
    const [during] = await Promise.all([load(seconds), swapping()]);
    await sleep(2000);
    const bytes = usageOf(gateway.pid).rssBytes;
    const after = await load(seconds / 2);
    const without = [...before, ...after];
    const failed = [...without, ...during].filter(({ status }) => status !== 200).length;
    const slowdown = p99(during) / p99(without);
    const growth = bytes / settledBytes;
    const middle = swapTimes.sort((a, b) => a - b)[swapTimes.length >> 1]!;
    return {
      isMet: failed === 0 && slowdown <= slowdownMax && growth <= growthMax,
      found: `${swaps} swaps at ${rate} req/s: ${failed} of ${during.length} failed; p99 ${p99(during).toFixed(1)} ms, without ${p99(without).toFixed(1)} ms, × ${slowdown.toFixed(2)}; memory × ${growth.toFixed(2)} of ${Math.round(settledBytes / 1e6)} MB; a swap takes ${Math.round(middle)} ms`,
    };
  },
};

function p99(answers: readonly Answer[]): number {
  const times = answers.map(({ ms }) => ms).sort((a, b) => a - b);
  return times[Math.min(times.length - 1, Math.floor(times.length * 0.99))]!;
}

/** Puts a version into the folder and has it served instead of the one before. @throws when it is not */
async function swapTo(version: number, models: string, admin: string): Promise<void> {
  mkdirSync(join(models, 'small', String(version)));
  writeFileSync(join(models, 'small', String(version), 'model.onnx'), dense([30, 64, 32, 2], version));
  rmSync(join(models, 'small', String(version - 1)), { recursive: true });
  const response = await fetch(`${admin}/admin/models/small/load`, { method: 'POST' });
  const answer = (await response.json()) as { champion?: string; error?: string };
  if (answer.champion !== String(version)) throw new Error(answer.error ?? `version ${answer.champion} answers`);
}
