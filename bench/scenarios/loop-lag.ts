/**
 * How late the event loop of a gateway process is at full load.
 *
 * One process, with a core to itself where the machine has two and `taskset` is there: beside a generator on the same core
 * the scheduler would be measured. For the same reason rounds do not count during which the host of a virtual machine took
 * the core away.
 *
 * Must not know how the loop is kept.
 */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { httpLoad } from '../suite/http-load.js';
import type { Gateway } from '../suite/servers.js';
import { spreadOf } from '../suite/statistics.js';
import { leftText, undisturbed } from '../suite/theft.js';
import { rowBody, type Scenario, type Stage, until } from './frame.js';

const lagMsMax = 2;
const connections = 64;
const width = 30;
const answerMs = 10_000;

interface Lag {
  readonly p50: number;
  readonly p99: number;
}

export const loopLag: Scenario = {
  name: 'loop-lag',
  promise: `a gateway process at full load, ${connections} connections: p99 of its event loop's lag under ${lagMsMax} ms (median of the rounds)`,
  async run(stage) {
    const pin = pinner(stage);
    const probe = fileURLToPath(new URL('./loop-probe.js', import.meta.url));
    const gateway = await stage.gateway({ processes: 1, env: { NODE_OPTIONS: `--import=${probe}` } });
    const pid = [...gateway.processes.values()][0]!;
    pin?.(pid);
    const load = httpLoad({
      url: gateway.http,
      body: rowBody('small', width),
      connections,
      directory: stage.directory(),
    });
    await load(3);
    const rounds = stage.isQuick ? 5 : 15;
    const found = await undisturbed({ rounds, core: 0, onProgress: (text) => stage.onProgress(text) }, async () => {
      await lagOf(gateway, pid);
      const { requests, seconds } = await load(stage.isQuick ? 2 : 5);
      return { ...(await lagOf(gateway, pid)), rate: requests / seconds };
    });
    const { kept } = found;
    if (kept.length === 0) return { isMet: false, found: leftText(found) };
    const p99 = spreadOf(kept.map((round) => round.p99));
    const p50 = spreadOf(kept.map((round) => round.p50)).median;
    const rate = Math.round(spreadOf(kept.map((round) => round.rate)).median);
    return {
      isMet: p99.median < lagMsMax && kept.length === rounds,
      found: `p99 ${p99.median.toFixed(2)} ms (${p99.min.toFixed(2)}–${p99.max.toFixed(2)}, ${leftText(found)}), p50 ${p50.toFixed(2)} ms, at ${rate} req/s; ${pin === undefined ? 'beside the generator' : 'on a core of its own'}`,
    };
  },
};

/** Keeps this process, and whatever it starts from now on, off the first core. @returns what gives that to a process */
function pinner(stage: Stage): ((pid: number) => void) | undefined {
  const cores = availableParallelism();
  const pinned = (pid: number, to: string) => spawnSync('taskset', ['-acp', to, String(pid)]).status === 0;
  if (cores < 2 || !pinned(process.pid, `1-${cores - 1}`)) return undefined;
  stage.after(() => void pinned(process.pid, `0-${cores - 1}`));
  return (pid) => void pinned(pid, '0');
}

/** Since it was asked last. @throws when it does not say */
async function lagOf({ log }: Gateway, pid: number): Promise<Lag> {
  const told = () => log.filter((line) => line.msg === 'loop.lag' && line.pid === pid);
  const before = told().length;
  process.kill(pid, 'SIGUSR2');
  if ((await until(async () => told().length > before, answerMs)) === undefined)
    throw new Error(`the gateway process did not tell its lag within ${answerMs} ms`);
  return told().at(-1) as unknown as Lag;
}
