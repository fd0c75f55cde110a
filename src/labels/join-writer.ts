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
import { frameHeadBytes, payloadBytesMax, sealFrame } from './frames.js';
import { type JoinRow, type Origin, originPayload, putRow, rowBytesMax } from './join-record.js';

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
/** A look at the clock costs as much as a tenth of a row; a flush is followed by one, too. */
const rowsBetweenLooks = 64;

export class JoinWriter {
  readonly #options: JoinWriterOptions;
  #files: OpenFile[] = [];
  #number = 0;
  #hasRoom = true;
  #lookedAt = -Infinity;
  #rowsUntilLook = 0;
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
    const { pending, origins } = file;
    let originAt = origins.get(origin);
    if (originAt === undefined) {
      if (origins.size >= originsMax) origins.clear();
      const payload = originPayload(origin);
      const bytes = this.#roomFor(file, payload.length);
      originAt = file.written + file.end;
      payload.copy(bytes, bytes === pending ? file.end + frameHeadBytes : frameHeadBytes);
      this.#seal(file, bytes, payload.length);
      origins.set(origin, originAt);
    }
    const bytes = this.#roomFor(file, rowBytesMax(row));
    const start = (bytes === pending ? file.end : 0) + frameHeadBytes;
    this.#seal(file, bytes, putRow(bytes, start, row, originAt) - start);
    file.rows++;
  }

  /** @returns what is pending when a payload of that size fits behind it, else memory of its own */
  #roomFor(file: OpenFile, payloadBytes: number): Buffer {
    const bytes = frameHeadBytes + payloadBytes;
    if (file.end + bytes > file.pending.length) this.#flushFile(file);
    return bytes > file.pending.length ? Buffer.allocUnsafe(bytes) : file.pending;
  }

  #seal(file: OpenFile, bytes: Buffer, payloadBytes: number): void {
    if (payloadBytes > payloadBytesMax) throw new RangeError('a record that nobody would read');
    const start = bytes === file.pending ? file.end : 0;
    const end = start + frameHeadBytes + payloadBytes;
    sealFrame(bytes, start, end);
    if (bytes === file.pending) file.end = end;
    else this.#write(file, bytes.subarray(0, end));
  }

  #fileOf(day: string): OpenFile {
    const newest = this.#files.at(-1);
    const known = newest?.day === day ? newest : this.#files.find((file) => file.day === day);
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
    this.#rowsUntilLook = 0;
    for (const file of this.#files) {
      try {
        this.#flushFile(file);
      } catch {
        this.#abandon();
        return;
      }
    }
  }

  #flushFile(file: OpenFile): void {
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
    if (this.#rowsUntilLook-- > 0) return this.#hasRoom;
    this.#rowsUntilLook = rowsBetweenLooks;
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
      this.#flushFile(file);
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
