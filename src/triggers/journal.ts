/**
 * A file of records, one line each with a sum in front, appended to and synced before a record counts.
 *
 *   append() ─▶ [ waiting ] ─▶ one write, one fsync ─▶ apply(record) for each ─▶ each caller's promise
 *
 * Who keeps a state in memory changes it in `apply` only, at the start for what the file holds and later for what has just been
 * written: so the state is never ahead of the disk. A tail that a crash tore is cut back to the last whole record. When the
 * file has grown well beyond what is still needed, it is written anew from `live` and takes the old one's place by a rename.
 *
 * Must not know what records mean.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AppendedFile } from '../core/appended-file.js';
import { GatewayError } from '../core/errors.js';

export interface JournalOptions<Entry> {
  readonly path: string;
  /** Size from which on it is written anew when less than half of it is needed. */
  readonly rewriteBytes: number;
  /** Takes a record that is on the disk into the state. */
  readonly apply: (record: Entry) => void;
  /** All records that make the state as it is. */
  readonly live: () => readonly Entry[];
}

interface Waiting<Entry> {
  readonly records: readonly Entry[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Journal<Entry> {
  readonly #options: JournalOptions<Entry>;
  readonly #waiting: Waiting<Entry>[] = [];
  #file: AppendedFile;
  /** Size after it was last written anew. */
  #freshBytes = 0;
  #writing: Promise<void> | undefined;
  #isClosed = false;

  private constructor(options: JournalOptions<Entry>, file: AppendedFile) {
    this.#options = options;
    this.#file = file;
  }

  /** @returns it, and how many bytes were cut off or passed over. @throws UNAVAILABLE */
  static async open<Entry>(
    options: JournalOptions<Entry>,
  ): Promise<{ readonly journal: Journal<Entry>; readonly lostBytes: number }> {
    const { path, apply } = options;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
      const { wholeBytes, lostBytes } = replay(await readFile(path), apply);
      const file = new AppendedFile(handle, { place: () => stat(path), bytes: wholeBytes, isTorn: true });
      await file.cutBack();
      await syncDirectory(dirname(path));
      return { journal: new Journal(options, file), lostBytes };
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** @returns once the records are on the disk and applied. @throws UNAVAILABLE when they cannot be; then they are not there */
  append(...records: Entry[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw new GatewayError('UNAVAILABLE', 'outbox: it is closed');
      this.#waiting.push({ records, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  /** After everything that waits has been written. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing;
    await this.#file.close();
  }

  async #writeAll(): Promise<void> {
    // Whoever appends in the same turn shares the write.
    await undefined;
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0);
      const records = group.flatMap((one) => one.records);
      try {
        if (!(await this.#file.isAsLeft())) throw changed();
        await this.#file.append(Buffer.concat(records.map(lineOf)));
        for (const record of records) this.#options.apply(record);
        for (const { resolve } of group) resolve();
      } catch (error) {
        for (const { reject } of group) reject(unavailable(error));
      }
      // What cannot be written anew goes on as it is.
      if (this.#isLarge()) await this.#rewrite().catch(() => this.#postpone());
    }
    this.#writing = undefined;
  }

  #isLarge(): boolean {
    const { bytes } = this.#file;
    return bytes > this.#options.rewriteBytes && bytes > 2 * this.#freshBytes;
  }

  #postpone(): void {
    this.#freshBytes = this.#file.bytes;
  }

  async #rewrite(): Promise<void> {
    const { path, live } = this.#options;
    const next = `${path}.new`;
    await rm(next, { force: true });
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const handle = await open(next, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    const file = new AppendedFile(handle, { place: () => stat(path), bytes: 0, isTorn: false });
    try {
      await file.append(Buffer.concat(live().map(lineOf)));
      await rename(next, path);
    } catch (error) {
      await file.close();
      throw error;
    }
    const left = this.#file;
    [this.#file, this.#freshBytes] = [file, file.bytes];
    await left.close();
    await syncDirectory(dirname(path));
  }
}

const sumCharacters = 16;

function sumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, sumCharacters);
}

function lineOf(record: unknown): Buffer {
  const text = JSON.stringify(record);
  return Buffer.from(`${sumOf(text)} ${text}\n`);
}

/** Applies every whole record. What is broken between whole ones is passed over; what is broken at the end is to be cut off. */
function replay<Entry>(
  bytes: Buffer,
  apply: (record: Entry) => void,
): { readonly wholeBytes: number; readonly lostBytes: number } {
  let [from, wholeBytes, keptBytes] = [0, 0, 0];
  for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, from)) {
    const line = bytes.toString('utf8', from, end);
    const text = line.slice(sumCharacters + 1);
    const isWhole = line.slice(0, sumCharacters) === sumOf(text);
    if (isWhole) {
      apply(JSON.parse(text) as Entry);
      wholeBytes = end + 1;
      keptBytes += end + 1 - from;
    }
    from = end + 1;
  }
  return { wholeBytes, lostBytes: bytes.length - keptBytes };
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function changed(): GatewayError {
  return new GatewayError('UNAVAILABLE', 'outbox: its file was changed by somebody else, give each server its own');
}

function unavailable(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const { code = 'unknown' } = error as NodeJS.ErrnoException;
  return new GatewayError('UNAVAILABLE', `outbox: it cannot be written (${code})`, { cause: error });
}
