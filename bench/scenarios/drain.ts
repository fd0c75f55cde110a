/** A rolling restart behind a balancer: the next server takes new connections, the old one is told to stop. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startBalancer } from './balancer.js';
import { startClients } from './clients.js';
import { rowBody, type Scenario } from './frame.js';

export const drain: Scenario = {
  name: 'drain',
  promise: 'rolling restart: no request fails, and every server that is stopped ends with exit code 0',
  async run(stage) {
    const models = stage.repository();
    const flags = ['--drain-delay-ms', '500'];
    let current = await stage.gateway({ models, flags });
    const balancer = await startBalancer(current.http);
    stage.after(() => balancer.close());
    const body = rowBody('small', 30);
    const clients = startClients({ origin: balancer.origin, body, clients: 16, now: () => performance.now() });
    const restarts = stage.isQuick ? 2 : 5;
    const codes: (number | null)[] = [];
    for (let restart = 0; restart < restarts; restart++) {
      stage.onProgress(`restart ${restart + 1}/${restarts}`);
      await sleep(500);
      const next = await stage.gateway({ models, flags });
      balancer.setTarget(next.http);
      const exited = new Promise<number | null>((resolve) => current.child.once('exit', resolve));
      current.child.kill('SIGTERM');
      codes.push(await exited);
      current = next;
    }
    await clients.stop();
    const { failures } = clients;
    const example = failures[0] === undefined ? '' : `, the first: ${failures[0].text}`;
    return {
      isMet: failures.length === 0 && codes.every((code) => code === 0) && clients.answered() > 0,
      found: `${restarts} restarts, ${clients.answered()} requests answered, ${failures.length} failed${example}; exit codes ${codes}`,
    };
  },
};
