/**
 * Where a batch of one version runs: inline on the calling thread, or on a thread of the version's pool. The only file that
 * knows Piscina, but for the mark that `thread.ts` puts on its answers.
 *
 *   runInline ─▶ session on this thread         for runs shorter than the hop to another one
 *   runOnThread ─▶ Piscina ─▶ thread ─▶ session  buffers move there and back, nothing is shared
 *
 * A version whose full batch is short enough runs all of them inline. Its threads start when something larger comes, if ever:
 * to start them was most of the time of a swap, 290 ms with and 46 to 90 without (bench/NOTES.md).
 *
 * Nothing stops a run: no terminate(), destroy() or abort signal while one is under way, for each of them ends the process
 * with SIGABRT. A run that takes too long is reported once and its lane stays taken; whoever owns the process decides.
 *
 * Must not know rows, callers or queues.
 */
import { statSync } from 'node:fs';
import { Piscina } from 'piscina';
import { GatewayError } from '../core/errors.js';
import type { RunTime, SessionPolicy } from '../core/model.js';
import type { Tensor, TypedArray } from '../core/tensor.js';
import type { Marks } from './marks.js';
import { startingBehind } from './priority.js';
import { openSession, type Session, type SessionTensor } from './session.js';
import type { Hello, RunResult, Task, ThreadSetup } from './thread.js';
import { estimateUs, warm } from './trial.js';

export interface LanesOptions {
  readonly name: string;
  readonly file: string;
  readonly session: SessionPolicy;
  readonly threads: number;
  readonly warmRows: readonly number[];
  /** What admission measured. */
  readonly runTimes: readonly RunTime[];
  /** Longest estimated run in microseconds that may happen inline; 0 = never. */
  readonly inlineRunUsMax: number;
  /** Runs of this version end in a time that their shapes foretell, and may keep others waiting that long. */
  readonly mayRunInline: boolean;
  readonly hardRunTimeoutMs: number;
  /** Says what runs, for when it crashes. */
  readonly marks: Marks;
  /** Called once when a run is over the limit. */
  readonly onOverdue: () => void;
  /** Called when opening it starts threads, which one that runs inline does not. */
  readonly onStarting: () => void;
  /** Its runs give way to everything else. */
  readonly isBackground: boolean;
}

export interface Lanes {
  readonly inputs: readonly SessionTensor[];
  readonly outputs: readonly SessionTensor[];
  /** Most rows whose run is short enough to happen inline; 0 = none, Infinity never. */
  readonly inlineRowsMax: number;
  runInline(inputs: readonly Tensor[]): Tensor[] | Promise<Tensor[]>;
  /** Inputs' buffers are moved to the thread: they must be the caller's own and are gone afterwards. */
  runOnThread(inputs: readonly Tensor[]): Promise<RunResult>;
  /** Threads that wait for work or do it. */
  readonly threads: number;
  /** Those that run something now. */
  readonly busy: number;
  close(): Promise<void>;
}

/** Models larger than this are opened on threads only: opening one here would hold up every request meanwhile. */
const inlineFileBytesMax = 4 * 1024 * 1024;
/** The shortest of so many runs is found even while the machine is busy. */
const warmRuns = 30;

/**
 * Opens the sessions of a version and warms them: on its threads, and inline where that is short.
 * @throws FAILED_PRECONDITION with the runtime's reason when the model cannot be opened
 */
export async function openLanes(options: LanesOptions): Promise<Lanes> {
  const slot = options.marks.begin(options.name);
  try {
    return await openMarked(options);
  } finally {
    options.marks.end(slot);
  }
}

async function openMarked(options: LanesOptions): Promise<Lanes> {
  const isSmall = options.mayRunInline && statSync(options.file).size <= inlineFileBytesMax;
  const rowsMax = Math.max(1, options.warmRows.at(-1) ?? 1);
  if (isSmall && rowsWithin(options.runTimes, rowsMax, options) === rowsMax) {
    const inline = await openInline(options);
    const { inputs, outputs } = inline;
    return new PoolLanes({ inline, pool: undefined }, { inputs, outputs, inlineRowsMax: rowsMax }, options);
  }
  options.onStarting();
  const pool = startPool(options);
  const { inputs, outputs, runTimes } = (await greet(pool, options))[0]!;
  const inlineRowsMax = isSmall ? rowsWithin(runTimes, rowsMax, options) : 0;
  const inline = inlineRowsMax > 0 ? await openInline(options) : undefined;
  return new PoolLanes({ inline, pool }, { inputs, outputs, inlineRowsMax }, options);
}

function startPool(options: LanesOptions): Piscina {
  const setup: ThreadSetup = {
    file: options.file,
    session: options.session,
    warmRows: options.warmRows,
    warmRuns,
    threads: options.threads,
    barrier: new SharedArrayBuffer(8),
    isBackground: options.isBackground,
  };
  return startingBehind(
    () =>
      new Piscina({
        filename: new URL('./thread.js', import.meta.url).href,
        name: 'default',
        workerData: setup,
        minThreads: options.threads,
        maxThreads: options.threads,
        concurrentTasksPerWorker: 1,
        recordTiming: false,
      }),
  );
}

async function greet(pool: Piscina, options: LanesOptions): Promise<Hello[]> {
  const task: Task = { kind: 'hello' };
  const hellos: Hello[] = await Promise.all(Array.from({ length: options.threads }, () => pool.run(task)));
  const failed = hellos.find((hello) => hello.error !== undefined);
  if (failed === undefined) return hellos;
  await pool.close();
  throw new GatewayError('FAILED_PRECONDITION', failed.error!);
}

/** The most rows, of `rowsMax`, whose estimated run stays within the inline limit. */
function rowsWithin(times: readonly RunTime[], rowsMax: number, { inlineRunUsMax }: LanesOptions): number {
  let rows = 0;
  while (rows < rowsMax && estimateUs(times, rows + 1) <= inlineRunUsMax) rows++;
  return rows;
}

async function openInline(options: LanesOptions): Promise<Session> {
  // This thread serves: callers come between.
  const pause = () => new Promise<void>((resolve) => setImmediate(resolve));
  await pause();
  const session = await openSession(options.file, options.session);
  await warm(session, options.warmRows, pause);
  return session;
}

class PoolLanes implements Lanes {
  readonly inputs: readonly SessionTensor[];
  readonly outputs: readonly SessionTensor[];
  readonly inlineRowsMax: number;
  #pool: Piscina | undefined;
  readonly #inline: Session | undefined;
  readonly #options: LanesOptions;
  /** When each run on a thread began. */
  readonly #startedAt = new Set<{ readonly at: number }>();
  readonly #watch: NodeJS.Timeout;

  constructor(
    { inline, pool }: { readonly inline: Session | undefined; readonly pool: Piscina | undefined },
    found: Pick<Lanes, 'inputs' | 'outputs' | 'inlineRowsMax'>,
    options: LanesOptions,
  ) {
    this.#pool = pool;
    this.#inline = inline;
    this.#options = options;
    this.inputs = found.inputs;
    this.outputs = found.outputs;
    this.inlineRowsMax = found.inlineRowsMax;
    this.#watch = setInterval(() => this.#look(), Math.min(1000, options.hardRunTimeoutMs / 4)).unref();
  }

  get threads(): number {
    return this.#pool?.threads.length ?? 0;
  }

  get busy(): number {
    return this.#startedAt.size;
  }

  runInline(inputs: readonly Tensor[]): Tensor[] | Promise<Tensor[]> {
    this.#options.marks.inline(this.#options.name);
    return this.#inline!.run(inputs);
  }

  async runOnThread(inputs: readonly Tensor[]): Promise<RunResult> {
    const run = { at: performance.now() };
    this.#startedAt.add(run);
    const transferList = inputs.flatMap(({ data }) =>
      Array.isArray(data) ? [] : [(data as TypedArray).buffer as ArrayBuffer],
    );
    const task: Task = { kind: 'run', inputs };
    const slot = this.#options.marks.begin(this.#options.name);
    try {
      this.#pool ??= startPool(this.#options);
      return await this.#pool.run(task, { transferList });
    } catch (error) {
      // An error of the thread arrives as a copy without its class.
      const text = error instanceof Error ? error.message : String(error);
      throw new GatewayError('INTERNAL', text.startsWith('onnx runtime error') ? text : 'the model thread was lost', {
        cause: error,
      });
    } finally {
      this.#startedAt.delete(run);
      this.#options.marks.end(slot);
    }
  }

  #look(): void {
    const oldest = performance.now() - this.#options.hardRunTimeoutMs;
    for (const { at } of this.#startedAt) {
      if (at > oldest) continue;
      clearInterval(this.#watch);
      this.#options.onOverdue();
      return;
    }
  }

  /** Every thread releases its session while idle; then the pool may end them. Only when nothing runs any more. */
  async close(): Promise<void> {
    clearInterval(this.#watch);
    const task: Task = { kind: 'release' };
    const pool = this.#pool;
    if (pool !== undefined) {
      await Promise.all(Array.from({ length: this.#options.threads }, () => pool.run(task)));
      await pool.close();
    }
    this.#inline?.release();
  }
}
