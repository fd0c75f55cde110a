/**
 * Ten times what the gateway can do, in an open loop.
 *
 * The model takes about 20 ms for a row, cannot be batched and has one thread, so that the load, which is made on the same
 * machine, does not take from it what it then misses; the queue is short enough that nobody admitted waits for a second.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { slow } from '../../test/fixtures.js';
import { quantile } from '../suite/statistics.js';
import { startClients } from './clients.js';
import { rowBody, type Scenario } from './frame.js';
import { openLoop } from './open-loop.js';

const times = 10;
const goodputMin = 0.9;
const refusalMsMax = 5;
const admittedMsMax = 1500;
const turns = 2000;
const queueSize = 16;

export const overload: Scenario = {
  name: 'overload',
  promise: `load × ${times}: goodput ≥ ${goodputMin} of capacity, refusals are 429 within ${refusalMsMax} ms (median), p99 of what is admitted ≤ ${admittedMsMax} ms`,
  async run(stage) {
    const gateway = await stage.gateway({
      models: stage.repository({ slow: slow([1, 4]) }),
      processes: 1,
      env: { SLUICE_BATCHING_MAX_QUEUE_SIZE: String(queueSize), SLUICE_ENGINE_INSTANCES: '1' },
    });
    const origin = gateway.http;
    const body = rowBody('slow', 4, turns);
    const seconds = stage.isQuick ? 3 : 10;
    const capacity = await capacityOf(origin, body, seconds);
    stage.onProgress(`capacity ${Math.round(capacity)}/s`);
    const answers = await openLoop({ origin, body, rate: capacity * times, seconds, inFlightMax: 4000 });
    const of = (status: number) =>
      answers
        .filter((answer) => answer.status === status)
        .map(({ ms }) => ms)
        .sort((a, b) => a - b);
    const [good, refused] = [of(200), of(429)];
    const others = answers.length - good.length - refused.length;
    const strange = [...new Set(answers.map(({ status }) => status))].filter(
      (status) => status !== 200 && status !== 429,
    );
    const inTime = answers.filter(({ status, atMs }) => status === 200 && atMs <= seconds * 1000).length;
    const goodput = inTime / seconds / capacity;
    const [refusalMs, admittedMs] = [quantile(refused, 0.5), quantile(good, 0.99)];
    const isMet = goodput >= goodputMin && refusalMs <= refusalMsMax && admittedMs <= admittedMsMax && others === 0;
    const found = `capacity ${Math.round(capacity)}/s; goodput ${goodput.toFixed(2)}, p99 ${Math.round(admittedMs)} ms; ${refused.length} refused, p50 ${refusalMs.toFixed(1)} ms, p99 ${quantile(refused, 0.99).toFixed(1)} ms; ${others} answered otherwise${others === 0 ? '' : ` (${strange.join(', ')})`}`;
    return { isMet, found };
  },
};

async function capacityOf(origin: string, body: ReturnType<typeof rowBody>, seconds: number): Promise<number> {
  const clients = startClients({ origin, body, clients: 8, now: () => performance.now() });
  await sleep(1000);
  const before = clients.answered();
  const startedAt = performance.now();
  await sleep(seconds * 1000);
  const rate = (clients.answered() - before) / ((performance.now() - startedAt) / 1000);
  await clients.stop();
  if (rate === 0) throw new Error(`nothing was answered: ${clients.failures[0]?.text ?? 'no failure either'}`);
  return rate;
}
