/** A gateway process is lost at once, as by the kernel for want of memory: its siblings serve on and it is replaced. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startClients } from './clients.js';
import { rowBody, type Scenario, until } from './frame.js';

const clientCount = 16;
const backMsMax = 2000;
/** A request that was sent within this time of the kill may have been on its way to the lost process. */
const onTheWayMs = 50;

export const kill9: Scenario = {
  name: 'kill9',
  promise: `kill −9 of a gateway process: only requests in flight fail, its successor serves within ${backMsMax} ms`,
  async run(stage) {
    const gateway = await stage.gateway({ processes: 2 });
    const now = () => performance.now();
    const clients = startClients({ origin: gateway.http, body: rowBody('small', 30), clients: clientCount, now });
    const rounds = stage.isQuick ? 1 : 3;
    let slowestMs = 0;
    let stray = 0;
    for (let round = 0; round < rounds; round++) {
      stage.onProgress(`kill ${round + 1}/${rounds}`);
      await sleep(1000);
      const before = clients.failures.length;
      const lost = gateway.processes.get(1)!;
      const killedAt = now();
      process.kill(lost, 'SIGKILL');
      slowestMs = Math.max(slowestMs, (await until(() => gateway.processes.get(1) !== lost, 10_000)) ?? Infinity);
      await sleep(500);
      stray += clients.failures.slice(before).filter(({ sentAt }) => sentAt > killedAt + onTheWayMs).length;
    }
    await clients.stop();
    const failed = clients.failures.length;
    const isMet = slowestMs <= backMsMax && stray === 0 && failed <= rounds * clientCount && clients.answered() > 0;
    const found = `${failed} of ${clients.answered() + failed} requests failed in ${rounds} kills, ${stray} of them sent later; back after ${Math.round(slowestMs)} ms`;
    return { isMet, found };
  },
};
