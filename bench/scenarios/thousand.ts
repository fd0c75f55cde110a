/** A folder of a thousand models, opened at their first request: how soon it is ready, and what watching it costs at rest. */
import { setTimeout as sleep } from 'node:timers/promises';
import { dense } from '../../test/fixtures.js';
import { ownUsageOf } from '../suite/process-stat.js';
import { rowBody, type Scenario, type Stage } from './frame.js';

const models = 1000;
const readyMsMax = 10_000;
const idleShareMax = 0.01;
/** The listings right after a start are not idle time. */
const settleMs = 12_000;

export const thousand: Scenario = {
  name: 'thousand',
  promise: `${models} models in one folder, opened lazily: ready in < ${readyMsMax / 1000} s, and polling it at rest costs < ${idleShareMax * 100} % of a core`,
  async run(stage) {
    const all = Object.fromEntries(
      Array.from({ length: models }, (_, number) => [`m${number}`, dense([4, 8, 2], number)]),
    );
    const repository = stage.repository(all);
    const polled = await watched(stage, repository, []);
    const unpolled = await watched(stage, repository, ['--models-poll-ms', '0']);
    const share = Math.max(0, polled.share - unpolled.share);
    const percent = (value: number) => `${(value * 100).toFixed(2)} %`;
    return {
      isMet: polled.readyMs < readyMsMax && unpolled.readyMs < readyMsMax && share < idleShareMax,
      found: `ready after ${Math.round(polled.readyMs)} and ${Math.round(unpolled.readyMs)} ms; control used ${percent(polled.share)} of a core at rest, without polling ${percent(unpolled.share)}`,
    };
  },
};

/** One server until it has been at rest for a while, and answers all the same. */
async function watched(stage: Stage, repository: string, flags: readonly string[]) {
  const startedAt = performance.now();
  const gateway = await stage.gateway({ models: repository, processes: 2, flags: ['--models-load', 'lazy', ...flags] });
  const readyMs = performance.now() - startedAt;
  stage.onProgress('at rest');
  await sleep(settleMs);
  const before = ownUsageOf(gateway.pid);
  const idleMs = stage.isQuick ? 10_000 : 60_000;
  await sleep(idleMs);
  const share = (ownUsageOf(gateway.pid).cpuUs - before.cpuUs) / (idleMs * 1000);
  const { path, headers, bytes } = rowBody('m777', 4);
  const { status } = await fetch(`${gateway.http}${path}`, { method: 'POST', headers, body: Buffer.from(bytes) });
  if (status !== 200) throw new Error(`m777 answers ${status}`);
  await gateway.stop();
  return { readyMs, share };
}
