/**
 * Writes down in the observer thread of a gateway process which predictions were made, for labels that come later.
 *
 *   add ─▶ buffer ─ every 100 ms, or when it is full ─▶ <root>/<day of the request>/<process>-<incarnation>-<n>.rows
 *
 * A life of a process has files of its own, so nothing is ever appended to what a crash left behind. What cannot be written
 * is dropped and counted: a label of it stays unmatched.
 *
 * Must not know who reads. The disk's room and the clock are asked for at most once a second.
 */
import { closeSync, mkdirSync, openSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { dayOf } from './days.js';
import { frameHeadBytes, payloadBytesMax, putFrame } from './frames.js';
import { type JoinRow, type Origin, originPayload, rowPayload } from './join-record.js';

export interface JoinWriterOptions {
  readonly root: string;
  /** Of this life of the process: no other file begins like this. */
  readonly name: string;
  /** With a smaller share of the disk free nothing is written. */
  readonly freeShareMin: number;
  readonly fileBytesMax: number;
  /** Monotonic. */
  readonly now: () => number;
}

interface OpenFile {
  readonly day: string;
  readonly descriptor: number;
  readonly origins: Map<Origin, number>;
  readonly pending: Buffer;
  written: number;
  /** Of what waits. */
  end: number;
  rows: number;
}

const bufferBytes = 256 * 1024;
const originsMax = 10_000;
/** Requests of yesterday that end today, and today's. */
const filesMax = 2;
const roomMs = 1000;

export class JoinWriter {
  readonly #options: JoinWriterOptions;
  #files: OpenFile[] = [];
  #number = 0;
  #hasRoom = true;
  #lookedAt = -Infinity;
  /** Rows that could not be written. */
  dropped = 0;

  constructor(options: JoinWriterOptions) {
    this.#options = options;
  }

  /** @param origin one object for all rows that have it in common */
  add(origin: Origin, row: JoinRow): void {
    try {
      if (this.#isRoomLeft()) this.#put(this.#fileOf(dayOf(row.tsUs / 1000)), origin, row);
      else this.dropped++;
    } catch {
      // A full disk or a folder that is gone: the request was answered all the same.
      this.dropped++;
      this.#abandon();
    }
  }

  #put(file: OpenFile, origin: Origin, row: JoinRow): void {
    let originAt = file.origins.get(origin);
    if (originAt === undefined) {
      if (file.origins.size >= originsMax) file.origins.clear();
      originAt = this.#append(file, originPayload(origin));
      file.origins.set(origin, originAt);
    }
    this.#append(file, rowPayload(row, originAt));
    file.rows++;
  }

  /** @returns where it begins in the file */
  #append(file: OpenFile, payload: Buffer): number {
    const bytes = frameHeadBytes + payload.length;
    if (payload.length > payloadBytesMax) throw new RangeError('a record that nobody would read');
    if (file.end + bytes > file.pending.length) this.#flush(file);
    const at = file.written + file.end;
    if (bytes > file.pending.length) {
      const alone = Buffer.allocUnsafe(bytes);
      putFrame(alone, 0, payload);
      this.#write(file, alone);
    } else file.end = putFrame(file.pending, file.end, payload);
    return at;
  }

  #fileOf(day: string): OpenFile {
    const known = this.#files.find((file) => file.day === day);
    if (known !== undefined && known.written + known.end < this.#options.fileBytesMax) return known;
    if (known !== undefined) this.#close(known);
    while (this.#files.length >= filesMax) this.#close(this.#files[0]!);
    const { root, name } = this.#options;
    mkdirSync(join(root, day), { recursive: true, mode: 0o700 });
    this.#number++;
    const descriptor = openSync(join(root, day, `${name}-${this.#number}.rows`), 'wx', 0o600);
    const file: OpenFile = {
      day,
      descriptor,
      origins: new Map(),
      pending: Buffer.allocUnsafe(bufferBytes),
      written: 0,
      end: 0,
      rows: 0,
    };
    this.#files.push(file);
    return file;
  }

  flush(): void {
    for (const file of this.#files) {
      try {
        this.#flush(file);
      } catch {
        this.#abandon();
        return;
      }
    }
  }

  #flush(file: OpenFile): void {
    if (file.end === 0) return;
    this.#write(file, file.pending.subarray(0, file.end));
    file.end = 0;
    file.rows = 0;
  }

  #write(file: OpenFile, bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      const count = writeSync(file.descriptor, bytes, at, bytes.length - at);
      file.written += count;
      at += count;
    }
  }

  #isRoomLeft(): boolean {
    const now = this.#options.now();
    if (now - this.#lookedAt < roomMs) return this.#hasRoom;
    this.#lookedAt = now;
    mkdirSync(this.#options.root, { recursive: true, mode: 0o700 });
    const { bavail, blocks } = statfsSync(this.#options.root);
    this.#hasRoom = blocks === 0 || bavail / blocks >= this.#options.freeShareMin;
    return this.#hasRoom;
  }

  #close(file: OpenFile): void {
    this.#files = this.#files.filter((open) => open !== file);
    try {
      this.#flush(file);
    } finally {
      closeSync(file.descriptor);
    }
  }

  /** What was half written is never appended to: the next row begins a new file. */
  #abandon(): void {
    for (const { descriptor, rows } of this.#files) {
      this.dropped += rows;
      closeSync(descriptor);
    }
    this.#files = [];
  }

  close(): void {
    for (const file of [...this.#files]) {
      try {
        this.#close(file);
      } catch {
        this.dropped++;
      }
    }
  }
}
