/** What the supervisor is for: processes that hang, a control process that stands still or dies, crashes that repeat. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dense, writeRepository } from '../fixtures.js';
import { type Answer, post } from './load.js';
import { freshDirectory, gatewayPids, type Server, startServer } from './server.js';

const body = JSON.stringify({
  inputs: [{ name: 'INPUT0', shape: [1, 30], datatype: 'FP32', data: new Array(30).fill(1) }],
});

/** Status of one request on a connection of its own. */
async function ask(server: Server): Promise<number> {
  const answer = await post(`${server.http}/v2/models/dense/infer`, body);
  return answer === 'refused' ? -1 : (answer as Answer).status;
}

test('a gateway process that hangs is killed and replaced, and only that one', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const flags = ['--gateway-beat-ms', '100', '--gateway-beat-timeout-ms', '800'];
  const server = await startServer({ models, flags });
  context.after(() => server.kill('SIGKILL'));
  const [victim, sibling] = [gatewayPids(server).get(1)!, gatewayPids(server).get(2)!];
  process.kill(victim, 'SIGSTOP');
  const exit = await server.line(({ msg }) => msg === 'gateway.exit');
  assert.equal(exit.gatewayPid, victim);
  assert.equal(exit.reason, 'hung');
  await server.line(
    ({ msg, process: number, gatewayPid }) => msg === 'gateway.ready' && number === 1 && gatewayPid !== victim,
  );
  assert.equal(gatewayPids(server).get(2), sibling);
  assert.equal(await ask(server), 200);
  assert.equal((await server.stop()).code, 0);
});

test('while control stands still, old and new connections are served, and its waking kills nobody', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const flags = ['--gateway-beat-ms', '100', '--gateway-beat-timeout-ms', '800'];
  const server = await startServer({ models, flags });
  context.after(() => server.kill('SIGKILL'));
  const before = gatewayPids(server);
  process.kill(server.pid, 'SIGSTOP');
  const stoppedAt = performance.now();
  while (performance.now() - stoppedAt < 2000) assert.equal(await ask(server), 200);
  process.kill(server.pid, 'SIGCONT');
  const metrics = await (await fetch(`${server.admin}/metrics`)).text();
  assert.doesNotMatch(metrics, /sluice_process_restarts_total\{/);
  assert.deepEqual(gatewayPids(server), before);
  assert.equal((await server.stop()).code, 0);
});

test('when control is killed the gateway processes go on serving', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const server = await startServer({ models });
  const pids = [...gatewayPids(server).values()];
  context.after(() => {
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended already.
      }
    }
  });
  server.kill('SIGKILL');
  await server.exited;
  for (let i = 0; i < 50; i++) assert.equal(await ask(server), 200);
});

test('a process that keeps crashing is started again, later each time', async (context) => {
  const models = writeRepository(freshDirectory(context), { dense: dense() });
  const server = await startServer({ models });
  context.after(() => server.kill('SIGKILL'));
  const delays: number[] = [];
  let victim = gatewayPids(server).get(1)!;
  for (let crash = 0; crash < 3; crash++) {
    const killed = victim;
    process.kill(killed, 'SIGKILL');
    const exit = await server.line(({ msg, gatewayPid }) => msg === 'gateway.exit' && gatewayPid === killed);
    delays.push(Number(exit.restartMs));
    const ready = await server.line(({ msg, process: number, gatewayPid }) => {
      return (
        msg === 'gateway.ready' &&
        number === 1 &&
        gatewayPid !== killed &&
        server.log.findIndex((line) => line.gatewayPid === gatewayPid) > server.log.indexOf(exit)
      );
    });
    victim = Number(ready.gatewayPid);
    assert.equal(await ask(server), 200, 'its sibling serves meanwhile');
  }
  assert.equal(delays[0], 0);
  assert.ok(delays[1]! >= 200 && delays[1]! <= 300, `${delays}`);
  assert.ok(delays[2]! >= 400 && delays[2]! <= 600, `${delays}`);
  assert.equal((await server.stop()).code, 0);
});
