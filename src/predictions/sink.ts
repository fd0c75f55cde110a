/**
 * Where finished files of the log go besides the disk. A sink is one function; everything that is hard about it is here:
 *
 *   manifests ─▶ next file after the cursor ─▶ deliver ─┬─ done ─▶ cursor, on disk
 *                                                      └─ thrown ─▶ the same again, later each time
 *
 * At least once: a crash between delivery and cursor repeats the last step. A sink that is away costs a timer. One that stays
 * away longer than files are kept misses files, which is counted.
 *
 * Must not know what a sink does. Disk and time are given by the caller's folders and `after`.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GatewayError } from '../core/errors.js';

export interface FinishedFile {
  readonly path: string;
  readonly model: string;
  /** Below the model's folder: `date=…/hour=…/part-….parquet`. */
  readonly name: string;
  readonly rows: number;
  readonly sha256: string;
}

export interface Sink {
  readonly name: string;
  /**
   * @param from rows of the file that were delivered before
   * @param delivered to be called with the number of rows delivered so far, where a part can be delivered
   * @throws to be asked again with the same file, later
   */
  deliver(file: FinishedFile, from: number, delivered: (rows: number) => void): Promise<void>;
}

export interface SinkRunOptions {
  readonly sink: Sink;
  /** Folder of finished files. */
  readonly root: string;
  /** File that the cursor is kept in. */
  readonly cursorPath: string;
  readonly backoffMs: { readonly first: number; readonly max: number };
  /** Calls once after a time; as setTimeout. @returns what takes the call back */
  readonly after: (delayMs: number, call: () => void) => () => void;
}

export interface SinkStats {
  readonly files: number;
  readonly failures: number;
  /** Files that were deleted before they could be delivered. */
  readonly missed: number;
  readonly isFailing: boolean;
}

interface ModelCursor {
  /** Bytes of the manifest that are done with. */
  offset: number;
  /** Rows delivered of the file that comes next. */
  rows: number;
}

type Cursor = Record<string, ModelCursor>;

const manifestBytesAtOnce = 1024 * 1024;

export class SinkRun {
  readonly #options: SinkRunOptions;
  readonly #cursor: Cursor;
  #files = 0;
  #failures = 0;
  #missed = 0;
  #failuresInRow = 0;
  #running: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #isClosed = false;

  constructor(options: SinkRunOptions) {
    this.#options = options;
    this.#cursor = readCursor(options.cursorPath);
  }

  stats(): SinkStats {
    return {
      files: this.#files,
      failures: this.#failures,
      missed: this.#missed,
      isFailing: this.#failuresInRow > 0,
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
      for (const model of this.#models()) await this.#runModel(model);
      this.#failuresInRow = 0;
    } catch {
      this.#rest();
    }
  }

  #rest(): void {
    const { backoffMs, after } = this.#options;
    this.#failures++;
    const delayMs = Math.min(backoffMs.max, backoffMs.first * 2 ** Math.min(this.#failuresInRow++, 30));
    if (this.#isClosed) return;
    this.#cancel = after(delayMs, () => {
      this.#cancel = undefined;
      void this.wake();
    });
  }

  #models(): string[] {
    try {
      const folders = readdirSync(join(this.#options.root, 'log'));
      return folders.filter((name) => name.startsWith('model=')).map((name) => name.slice('model='.length));
    } catch {
      return [];
    }
  }

  async #runModel(model: string): Promise<void> {
    this.#cursor[model] ??= { offset: 0, rows: 0 };
    const cursor = this.#cursor[model];
    const folder = join(this.#options.root, 'log', `model=${model}`);
    while (!this.#isClosed) {
      const lines = await linesFrom(join(folder, '_manifest.jsonl'), cursor.offset);
      if (lines.length === 0) return;
      for (const line of lines) {
        if (this.#isClosed) return;
        await this.#deliver(model, folder, line.text, cursor);
        cursor.offset += line.bytes;
        cursor.rows = 0;
        this.#keep();
      }
    }
  }

  async #deliver(model: string, folder: string, line: string, cursor: ModelCursor): Promise<void> {
    const { file: name, rows, sha256 } = JSON.parse(line) as { file: string; rows: number; sha256: string };
    const path = join(folder, name);
    if (statSync(path, { throwIfNoEntry: false }) === undefined) {
      this.#missed++;
      return;
    }
    await this.#options.sink.deliver({ path, model, name, rows, sha256 }, cursor.rows, (done) => {
      cursor.rows = done;
      this.#keep();
    });
    this.#files++;
  }

  /** The whole cursor or the one before. */
  #keep(): void {
    const { cursorPath } = this.#options;
    mkdirSync(dirname(cursorPath), { recursive: true });
    writeFileSync(`${cursorPath}.new`, JSON.stringify(this.#cursor));
    renameSync(`${cursorPath}.new`, cursorPath);
  }

  /** Resolves when the delivery under way has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    this.#cancel = undefined;
    await this.#running;
  }
}

function readCursor(path: string): Cursor {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return {};
  }
  try {
    return JSON.parse(text) as Cursor;
  } catch (error) {
    throw new GatewayError('FAILED_PRECONDITION', 'prediction log: the cursor of a sink cannot be read', {
      cause: error,
    });
  }
}

/** Whole lines of the manifest from an offset on; a part of them when there are many. */
async function linesFrom(path: string, offset: number): Promise<{ text: string; bytes: number }[]> {
  const file = await open(path).catch(() => undefined);
  if (file === undefined) return [];
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(manifestBytesAtOnce), 0, manifestBytesAtOnce, offset);
    const lines: { text: string; bytes: number }[] = [];
    for (let start = 0; ; ) {
      const end = buffer.subarray(0, bytesRead).indexOf(10, start);
      if (end < 0) return lines;
      lines.push({ text: buffer.toString('utf8', start, end), bytes: end + 1 - start });
      start = end + 1;
    }
  } finally {
    await file.close();
  }
}
