/** A model is loaded and unloaded over and over: what a version leaves behind adds up. */
import { setTimeout as sleep } from 'node:timers/promises';
import { dense } from '../../test/fixtures.js';
import { usageOf } from '../suite/process-stat.js';
import { probeGoneMs, rowBody, type Scenario, until } from './frame.js';

const settled = 10;
const growthMax = 1.1;

/** @throws when it is refused */
async function call(url: string, body: Uint8Array<ArrayBuffer> = new Uint8Array(0)): Promise<void> {
  const response = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
  const text = await response.text();
  if (!response.ok) throw new Error(`${new URL(url).pathname} answered ${response.status}: ${text.slice(0, 200)}`);
}

export const leakSoak: Scenario = {
  name: 'leak-soak',
  promise: `100 times load and unload: memory afterwards ≤ ${growthMax} of what it was after the first ${settled}`,
  async run(stage) {
    const cycles = stage.isQuick ? 3 * settled : 100;
    const models = stage.repository({ mid: dense([784, 512, 512, 10]) });
    const gateway = await stage.gateway({ models, flags: ['--load', 'explicit'] });
    const repository = `${gateway.http}/v2/repository/models/mid`;
    const body = rowBody('mid', 784);
    let settledBytes = 0;
    for (let cycle = 1; cycle <= cycles; cycle++) {
      stage.onProgress(`cycle ${cycle}/${cycles}`);
      await call(`${repository}/load`);
      await call(gateway.http + body.path, new Uint8Array(body.bytes));
      await call(`${repository}/unload`);
      const ready = `${gateway.http}/v2/models/mid/ready`;
      const isGone = await until(async () => !(await fetch(ready)).ok, 10_000);
      if (isGone === undefined) throw new Error('the model was still ready 10 s after it was unloaded');
      if (cycle === settled) settledBytes = await restingBytes(gateway.pid);
    }
    const bytes = await restingBytes(gateway.pid);
    const growth = bytes / settledBytes;
    const megabytes = (value: number) => `${Math.round(value / 1e6)} MB`;
    return {
      isMet: growth <= growthMax,
      found: `${cycles} cycles: ${megabytes(settledBytes)} after ${settled}, ${megabytes(bytes)} at the end, × ${growth.toFixed(2)}`,
    };
  },
};

/** Memory once the child that tried the model is gone and threads have ended. */
async function restingBytes(pid: number): Promise<number> {
  await sleep(probeGoneMs);
  return usageOf(pid).rssBytes;
}
