/**
 * Entry of a pool thread: one session, opened and warmed when the thread starts, then one batch after another.
 *
 *   start → open → warm every batch size → wait for the siblings → run · run · run → release
 *
 * A thread that cannot open its model stays, and says why when it is asked: a thread that ended by throwing would be
 * started again and again. The barrier makes one `hello` per thread out of N tasks that Piscina may give to anyone.
 *
 * Must not know batching, callers or how Piscina hands out tasks: it takes from it only the mark for buffers that move
 * instead of being copied.
 */
import { workerData } from 'node:worker_threads';
import { move, transferableSymbol, valueSymbol } from 'piscina';
import type { RunTime, SessionPolicy } from '../core/model.js';
import type { Tensor, TypedArray } from '../core/tensor.js';
import { comeForward, runOnlyWhenIdle, standBack } from './priority.js';
import { openSession, type Session, type SessionTensor } from './session.js';
import { measureRuns } from './trial.js';

export interface ThreadSetup {
  readonly file: string;
  readonly session: SessionPolicy;
  /** Batch sizes to warm and measure, ascending; `[0]` = a model without a batch dimension. */
  readonly warmRows: readonly number[];
  /** Runs of each size while warming. */
  readonly warmRuns: number;
  readonly threads: number;
  /** Two counters: threads that said hello, threads that released. */
  readonly barrier: SharedArrayBuffer;
  /** Its runs give way to everything else. */
  readonly isBackground: boolean;
}

export interface Hello {
  readonly error: string | undefined;
  readonly inputs: readonly SessionTensor[];
  readonly outputs: readonly SessionTensor[];
  readonly runTimes: readonly RunTime[];
}

export type Task =
  | { readonly kind: 'hello' }
  | { readonly kind: 'run'; readonly inputs: readonly Tensor[] }
  | { readonly kind: 'release' };

export type RunResult = { readonly outputs: readonly Tensor[]; readonly inferMs: number };

const setup: ThreadSetup = workerData;
let session: Session | undefined;
const greeting = await start();

async function start(): Promise<Hello> {
  try {
    if (setup.isBackground) standBack();
    session = await openSession(setup.file, setup.session);
    const runTimes = await measureRuns(session, setup.warmRows, setup.warmRuns);
    if (setup.isBackground) runOnlyWhenIdle();
    else comeForward();
    return { error: undefined, inputs: session.inputs, outputs: session.outputs, runTimes };
  } catch (error) {
    return {
      error: error instanceof Error ? error.message : String(error),
      inputs: [],
      outputs: [],
      runTimes: [],
    };
  }
}

export default async function perform(task: Task): Promise<unknown> {
  if (task.kind === 'run') return run(task.inputs);
  if (task.kind === 'hello') {
    meet(0);
    return greeting;
  }
  session?.release();
  session = undefined;
  meet(1);
  return undefined;
}

async function run(inputs: readonly Tensor[]): Promise<unknown> {
  if (session === undefined) throw new Error(greeting.error ?? 'the session was released');
  const startedAt = performance.now();
  const outputs = await session.run(inputs);
  const result: RunResult = { outputs, inferMs: performance.now() - startedAt };
  const buffers = outputs.flatMap(({ data }) => (Array.isArray(data) ? [] : [(data as TypedArray).buffer]));
  return move({
    get [transferableSymbol]() {
      return buffers;
    },
    get [valueSymbol]() {
      return result;
    },
  });
}

/** Waits until every thread of the pool has come here, so that each took exactly one of as many tasks. */
function meet(counter: number): void {
  const met = new Int32Array(setup.barrier);
  Atomics.add(met, counter, 1);
  Atomics.notify(met, counter);
  for (let seen = Atomics.load(met, counter); seen < setup.threads; seen = Atomics.load(met, counter)) {
    if (Atomics.wait(met, counter, seen, 60_000) === 'timed-out') return;
  }
}
