/**
 * The finished files of the log on their way to one sink. Everything that is hard about a sink is here:
 *
 *   manifests ─▶ the oldest file after the cursor ─▶ deliver ─┬─ a step taken ─▶ counted, cursor on disk
 *                                                             └─ thrown ─▶ the rest again, later each time
 *
 * At least once: a crash between a step and its cursor repeats the step. A sink that is away costs a timer, and memory for
 * what it holds of one file. One that stays away longer than files are kept misses rows; they are counted, so that for every
 * row that is done with, rows = sent + dropped.
 *
 * Must not know what a sink does. Disk and time are given by the caller's folders, `after` and `epochMs`.
 */
import { stat } from 'node:fs/promises';
import { Cursor } from './cursor.js';
import { loggedModels, type NextFile, nextFile } from './manifest.js';
import type { Sink, SinkDrop, Step } from './sink.js';

export interface SinkRunOptions {
  readonly sink: Sink;
  /** Folder of finished files. */
  readonly root: string;
  /** File that the cursor is kept in. */
  readonly cursorPath: string;
  readonly backoffMs: { readonly first: number; readonly max: number };
  /** What is under way may end by itself for so long when the run is closed. */
  readonly graceMs: number;
  /** Calls once after a time; as setTimeout. @returns what takes the call back */
  readonly after: (delayMs: number, call: () => void) => () => void;
  /** Milliseconds since the epoch. */
  readonly epochMs: () => number;
  /** How far it had come is not known: all files that are there, or those of some models, are sent again. */
  readonly onCursorDamaged: (error: Error) => void;
  /** The first failure in a row, and the success after it. */
  readonly onFailing: (error: Error) => void;
  readonly onRecovered: () => void;
}

export interface SinkStats {
  readonly files: number;
  readonly sent: number;
  readonly dropped: Readonly<Record<SinkDrop, number>>;
  readonly failures: number;
  readonly isFailing: boolean;
  /** Age of the oldest finished row that has not been dealt with; 0 = there is none. */
  readonly lagMs: number;
}

export class SinkRun {
  readonly #options: SinkRunOptions;
  readonly #cursor: Cursor;
  readonly #dropped: Record<SinkDrop, number> = { expired: 0, erased: 0, refused: 0, too_large: 0 };
  readonly #life = new AbortController();
  #files = 0;
  #sent = 0;
  #failures = 0;
  #failuresInRow = 0;
  #waitingSinceUs: number | undefined;
  #running: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #isClosed = false;

  constructor(options: SinkRunOptions) {
    this.#options = options;
    this.#cursor = new Cursor(options.cursorPath, options.onCursorDamaged);
  }

  stats(): SinkStats {
    const since = this.#waitingSinceUs;
    return {
      files: this.#files,
      sent: this.#sent,
      dropped: { ...this.#dropped },
      failures: this.#failures,
      isFailing: this.#failuresInRow > 0,
      lagMs: since === undefined ? 0 : Math.max(0, this.#options.epochMs() - since / 1000),
    };
  }

  /** Delivers what is there. To be called when files were finished; does nothing while the sink rests after a failure. */
  wake(): Promise<void> {
    if (this.#isClosed || this.#cancel !== undefined) return this.#running ?? Promise.resolve();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #run(): Promise<void> {
    try {
      await this.#deliverAll();
    } catch (error) {
      this.#rest(error as Error);
    }
  }

  /** The oldest file first, whatever its model. */
  async #deliverAll(): Promise<void> {
    const { root } = this.#options;
    const waiting = new Map<string, NextFile>();
    const look = async (model: string) => {
      const file = await nextFile(root, model, this.#cursor.of(model).offset);
      if (file === undefined) waiting.delete(model);
      else waiting.set(model, file);
    };
    for (const model of await loggedModels(root)) await look(model);
    while (!this.#isClosed) {
      const file = oldestOf(waiting.values());
      this.#waitingSinceUs = file?.fromUs;
      if (file === undefined) return;
      await this.#deliver(file);
      await look(file.model);
    }
  }

  async #deliver(file: NextFile): Promise<void> {
    const { model, path, end } = file;
    if ((await stat(path).catch(() => undefined)) === undefined) await this.#drop(file, 'expired');
    else {
      const { after } = this.#cursor.of(model);
      const { signal } = this.#life;
      await this.#options.sink.deliver(file, { after, signal, taken: (step) => this.#take(model, step) });
      await this.#drop(file, 'erased');
      this.#files++;
      this.#recover();
    }
    await this.#cursor.put(model, { offset: end, rows: 0 });
  }

  async #take(model: string, { rows, drop, last }: Step): Promise<void> {
    const { offset, rows: before } = this.#cursor.of(model);
    await this.#cursor.put(model, { offset, rows: before + rows, ...(last !== undefined && { after: last }) });
    if (drop !== undefined) this.#dropped[drop] += rows;
    else {
      this.#sent += rows;
      this.#recover();
    }
  }

  /** Whatever of the file was not dealt with. */
  async #drop({ model, rows }: NextFile, drop: SinkDrop): Promise<void> {
    const left = rows - this.#cursor.of(model).rows;
    if (left > 0) await this.#take(model, { rows: left, drop });
  }

  #recover(): void {
    if (this.#failuresInRow === 0) return;
    this.#failuresInRow = 0;
    this.#options.onRecovered();
  }

  #rest(error: Error): void {
    if (this.#isClosed) return;
    const { backoffMs, after, onFailing } = this.#options;
    this.#failures++;
    const delayMs = Math.min(backoffMs.max, backoffMs.first * 2 ** Math.min(this.#failuresInRow++, 30));
    if (this.#failuresInRow === 1) onFailing(error);
    this.#cancel = after(delayMs, () => {
      this.#cancel = undefined;
      void this.wake();
    });
  }

  /** What is under way may end by itself for a while, then it is given up. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    this.#cancel = undefined;
    const { graceMs, after, sink } = this.#options;
    let spare = () => {};
    const over = new Promise<void>((resolve) => {
      spare = after(graceMs, resolve);
    });
    await Promise.race([this.#running, over]);
    spare();
    this.#life.abort();
    await sink.close();
  }
}

function oldestOf(files: Iterable<NextFile>): NextFile | undefined {
  let oldest: NextFile | undefined;
  for (const file of files) if (oldest === undefined || file.fromUs < oldest.fromUs) oldest = file;
  return oldest;
}
