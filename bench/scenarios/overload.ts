/**
 * Ten times what the gateway can do, in an open loop.
 *
 *   capacity · overload · capacity · overload · … · capacity        goodput = overload ÷ mean of its neighbours
 *
 * The model takes about 30 ms for a row, cannot be batched and has one thread, so that ten times of it is a few hundred
 * requests a second: the load is made on the same machine and must not take from the model what it then misses. The queue is
 * short enough that nobody admitted waits for a second.
 * The same run takes up to a quarter longer or shorter from one second to the next on a shared machine, so capacity is
 * measured before and after each overload, and beside goodput stands how much of the time the thread had work: that, unlike
 * the time of a run, is the gateway's doing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { slow } from '../../test/fixtures.js';
import { quantile, spreadOf } from '../suite/statistics.js';
import { startClients } from './clients.js';
import { rowBody, type Scenario } from './frame.js';
import { type Answer, openLoop } from './open-loop.js';

const times = 10;
const goodputMin = 0.9;
const refusalMsMax = 5;
const admittedMsMax = 1500;
const turns = 4000;
const queueSize = 16;
const settleMs = 500;

interface Phase {
  readonly rate: number;
  /** Share of the time in which the model ran. */
  readonly busy: number;
}

export const overload: Scenario = {
  name: 'overload',
  promise: `load × ${times}: goodput ≥ ${goodputMin} of capacity (median), refusals are 429 within ${refusalMsMax} ms (median), p99 of what is admitted ≤ ${admittedMsMax} ms`,
  async run(stage) {
    const gateway = await stage.gateway({
      models: stage.repository({ slow: slow([1, 4]) }),
      processes: 1,
      env: { SLUICE_BATCHING_MAX_QUEUE_SIZE: String(queueSize), SLUICE_ENGINE_INSTANCES: '1' },
    });
    const load = new Load(gateway.http, stage.isQuick ? 2 : 3);
    const rounds = stage.isQuick ? 3 : 5;
    // What makes the load is compiled while it runs, and takes twice the processor before that.
    await load.overload((await load.capacity()).rate * times);
    const answers: Answer[] = [];
    const overloads: Phase[] = [];
    const capacities = [await load.capacity()];
    for (let round = 0; round < rounds; round++) {
      const rate = capacities.at(-1)!.rate;
      stage.onProgress(`round ${round + 1}/${rounds}, capacity ${Math.round(rate)}/s`);
      const { phase, answers: own } = await load.overload(rate * times);
      overloads.push(phase);
      answers.push(...own);
      capacities.push(await load.capacity());
    }
    const goodput = spreadOf(
      overloads.map(({ rate }, round) => (2 * rate) / (capacities[round]!.rate + capacities[round + 1]!.rate)),
    );
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
    const busyIn = (phases: readonly Phase[]) => spreadOf(phases.map(({ busy }) => busy)).median.toFixed(2);
    const [refusalMs, admittedMs] = [quantile(refused, 0.5), quantile(good, 0.99)];
    const isMet =
      goodput.median >= goodputMin && refusalMs <= refusalMsMax && admittedMs <= admittedMsMax && others === 0;
    const found = [
      `capacity ${Math.round(spreadOf(capacities.map(({ rate }) => rate)).median)}/s`,
      `goodput ${goodput.median.toFixed(2)} (${goodput.min.toFixed(2)}–${goodput.max.toFixed(2)}), p99 ${Math.round(admittedMs)} ms`,
      `the model ran ${busyIn(overloads)} of the time, ${busyIn(capacities)} at capacity`,
      `${refused.length} refused, p50 ${refusalMs.toFixed(1)} ms, p99 ${quantile(refused, 0.99).toFixed(1)} ms`,
      `${others} answered otherwise${others === 0 ? '' : ` (${strange.join(', ')})`}`,
    ];
    return { isMet, found: found.join('; ') };
  },
};

class Load {
  readonly #origin: string;
  readonly #seconds: number;
  readonly #body = rowBody('slow', 4, turns);

  constructor(origin: string, seconds: number) {
    this.#origin = origin;
    this.#seconds = seconds;
  }

  /** A few clients that wait for their answers: the thread never waits for work, and nobody is refused. */
  async capacity(): Promise<Phase> {
    const clients = startClients({ origin: this.#origin, body: this.#body, clients: 8, now: () => performance.now() });
    const phase = await this.#watch();
    await clients.stop();
    if (phase.rate === 0) throw new Error(`nothing was answered: ${clients.failures[0]?.text ?? 'no failure either'}`);
    return phase;
  }

  async overload(rate: number): Promise<{ phase: Phase; answers: Answer[] }> {
    const seconds = this.#seconds + (2 * settleMs) / 1000;
    const answers = openLoop({ origin: this.#origin, body: this.#body, rate, seconds, inFlightMax: 4000 });
    return { phase: await this.#watch(), answers: await answers };
  }

  /** Once the load has settled, what the gateway says that it did. */
  async #watch(): Promise<Phase> {
    await sleep(settleMs);
    const before = await this.#counts();
    await sleep(this.#seconds * 1000);
    const after = await this.#counts();
    const ms = after.at - before.at;
    return { rate: ((after.successes - before.successes) * 1000) / ms, busy: (after.runMs - before.runMs) / ms };
  }

  async #counts(): Promise<{ at: number; successes: number; runMs: number }> {
    const response = await fetch(`${this.#origin}/v2/models/slow/stats`);
    const at = performance.now();
    const answer = (await response.json()) as { readonly model_stats: readonly { readonly inference_stats: Stats }[] };
    const { success, compute_infer: runs } = answer.model_stats[0]!.inference_stats;
    return { at, successes: success.count, runMs: runs.ns / 1e6 };
  }
}

type Stats = Readonly<Record<'success' | 'compute_infer', { readonly count: number; readonly ns: number }>>;
