/**
 * An index of many records in one file that never changes: where the records are whose texts have a hash.
 *
 *   "SLRUN001" │ u32 entries │ u32 bytes of the tail │ directory: where each bucket begins │ entries │ tail: JSON
 *
 * A bucket is the first 12 bits of a hash. Its entries lie together in no order, so one read and a short scan find them, and
 * two runs become one by putting their buckets one behind the other. Only the directory is in memory: 16 KiB.
 *
 * Must not know what the records are.
 */
import { closeSync, fsyncSync, openSync, readSync, renameSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { GatewayError } from '../core/errors.js';

/** The 64 bits by which a record is found. */
export interface Hash {
  readonly high: number;
  readonly low: number;
}

/** Columns of entries: hash, number of the file in `files`, where in it. */
export interface Entries {
  readonly count: number;
  readonly high: Uint32Array;
  readonly low: Uint32Array;
  readonly file: Uint32Array;
  readonly offset: Uint32Array;
}

export interface RunTail {
  /** Names of files. */
  readonly files: readonly string[];
  /** Bytes of each that are in this index. */
  readonly covered: Readonly<Record<string, number>>;
  /** What was counted of the records; adds up. */
  readonly counts: Readonly<Record<string, number>>;
  /** How often runs were put together for it. */
  readonly level: number;
  /** Runs whose place it takes. */
  readonly replaces: readonly string[];
}

export interface Found {
  readonly file: string;
  readonly offset: number;
}

const magic = 'SLRUN001';
const buckets = 4096;
const bucketShift = 20;
const headBytes = 16;
const directoryBytes = 4 * (buckets + 1);
const entriesAt = headBytes + directoryBytes;
const entryBytes = 16;
const tailBytesMax = 64 * 1024 * 1024;

export class Run {
  readonly path: string;
  readonly name: string;
  readonly tail: RunTail;
  readonly #descriptor: number;
  readonly #directory: Uint32Array;

  private constructor(
    place: { path: string; name: string },
    descriptor: number,
    directory: Uint32Array,
    tail: RunTail,
  ) {
    this.path = place.path;
    this.name = place.name;
    this.tail = tail;
    this.#descriptor = descriptor;
    this.#directory = directory;
  }

  /** @throws FAILED_PRECONDITION when it is no whole run */
  static open(path: string, name: string): Run {
    const descriptor = openSync(path, 'r');
    try {
      const head = readAt(descriptor, 0, entriesAt);
      const count = head.readUInt32LE(8);
      const tailBytes = head.readUInt32LE(12);
      if (head.toString('latin1', 0, 8) !== magic || tailBytes > tailBytesMax) throw broken(name);
      const directory = Uint32Array.from({ length: buckets + 1 }, (_, i) => head.readUInt32LE(headBytes + 4 * i));
      const tail = JSON.parse(readAt(descriptor, entriesAt + entryBytes * count, tailBytes).toString('utf8'));
      return new Run({ path, name }, descriptor, directory, tail as RunTail);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  get count(): number {
    return this.#directory[buckets]!;
  }

  /** In no order. */
  find({ high, low }: Hash): Found[] {
    const bucket = high >>> bucketShift;
    const bytes = this.#read(bucket, bucket + 1);
    const found: Found[] = [];
    for (let at = 0; at < bytes.length; at += entryBytes) {
      if (bytes.readUInt32LE(at + 4) !== low || bytes.readUInt32LE(at) !== high) continue;
      found.push({ file: this.tail.files[bytes.readUInt32LE(at + 8)]!, offset: bytes.readUInt32LE(at + 12) });
    }
    return found;
  }

  #read(from: number, to: number): Buffer {
    const start = this.#directory[from]!;
    return readAt(this.#descriptor, entriesAt + entryBytes * start, entryBytes * (this.#directory[to]! - start));
  }

  /** Entries of the buckets in [from, to), with the first bytes of each bucket. */
  part(from: number, to: number): { readonly bytes: Buffer; readonly starts: readonly number[] } {
    const first = this.#directory[from]!;
    const starts = Array.from({ length: to - from + 1 }, (_, i) => entryBytes * (this.#directory[from + i]! - first));
    return { bytes: this.#read(from, to), starts };
  }

  sizeOf(bucket: number): number {
    return this.#directory[bucket + 1]! - this.#directory[bucket]!;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function readAt(descriptor: number, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  while (at < length) {
    const count = readSync(descriptor, bytes, at, length - at, position + at);
    if (count === 0) throw broken('index');
    at += count;
  }
  return bytes;
}

function broken(name: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `${name} is no whole index`);
}

function headOf(directory: Uint32Array, tailBytes: number): Buffer {
  const head = Buffer.alloc(entriesAt);
  head.write(magic, 'latin1');
  head.writeUInt32LE(directory[buckets]!, 8);
  head.writeUInt32LE(tailBytes, 12);
  for (const [i, start] of directory.entries()) head.writeUInt32LE(start, headBytes + 4 * i);
  return head;
}

function directoryOf(sizeOf: (bucket: number) => number): Uint32Array {
  const directory = new Uint32Array(buckets + 1);
  for (let bucket = 0; bucket < buckets; bucket++) directory[bucket + 1] = directory[bucket]! + sizeOf(bucket);
  return directory;
}

/** Writes a run, which is there whole or not at all. Blocks for about 20 ms with 262,144 entries. */
export function writeRun(path: string, { count, high, low, file, offset }: Entries, tail: RunTail): void {
  const sizes = new Uint32Array(buckets);
  for (let i = 0; i < count; i++) sizes[high[i]! >>> bucketShift]!++;
  const directory = directoryOf((bucket) => sizes[bucket]!);
  const next = directory.slice();
  const bytes = Buffer.allocUnsafe(entryBytes * count);
  for (let i = 0; i < count; i++) {
    const at = entryBytes * next[high[i]! >>> bucketShift]!++;
    bytes.writeUInt32LE(high[i]!, at);
    bytes.writeUInt32LE(low[i]!, at + 4);
    bytes.writeUInt32LE(file[i]!, at + 8);
    bytes.writeUInt32LE(offset[i]!, at + 12);
  }
  const end = Buffer.from(JSON.stringify(tail));
  const scratch = `${path}.new`;
  const descriptor = openSync(scratch, 'w', 0o600);
  try {
    for (const part of [headOf(directory, end.length), bytes, end]) {
      for (let at = 0; at < part.length; ) at += writeSync(descriptor, part, at);
    }
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(scratch, path);
}

const bucketsAtOnce = 64;

/** The same of several runs, a few buckets at a time so that nobody waits for it. */
export async function mergeRuns(path: string, runs: readonly Run[]): Promise<void> {
  const files = [...new Set(runs.flatMap(({ tail }) => tail.files))];
  const numbers = runs.map(({ tail }) => tail.files.map((file) => files.indexOf(file)));
  const tail = Buffer.from(JSON.stringify(mergedTail(files, runs)));
  const directory = directoryOf((bucket) => runs.reduce((sum, run) => sum + run.sizeOf(bucket), 0));
  const scratch = `${path}.new`;
  const handle = await open(scratch, 'w', 0o600);
  try {
    await writeAll(handle, headOf(directory, tail.length));
    for (let from = 0; from < buckets; from += bucketsAtOnce) {
      await writeAll(handle, mergedPart(runs, numbers, from));
      // Reading blocks: whoever waits goes first.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writeAll(handle, tail);
    await handle.sync();
  } finally {
    await handle.close();
  }
  renameSync(scratch, path);
}

function mergedPart(runs: readonly Run[], numbers: readonly (readonly number[])[], from: number): Buffer {
  const parts = runs.map((run) => run.part(from, from + bucketsAtOnce));
  const merged = Buffer.allocUnsafe(parts.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let at = 0;
  for (let bucket = 0; bucket < bucketsAtOnce; bucket++) {
    for (const [which, { bytes, starts }] of parts.entries()) {
      const start = at;
      at += bytes.copy(merged, at, starts[bucket], starts[bucket + 1]);
      for (let entry = start; entry < at; entry += entryBytes) {
        merged.writeUInt32LE(numbers[which]![merged.readUInt32LE(entry + 8)]!, entry + 8);
      }
    }
  }
  return merged;
}

function mergedTail(files: readonly string[], runs: readonly Run[]): RunTail {
  const covered: Record<string, number> = {};
  const counts: Record<string, number> = {};
  for (const { tail } of runs) {
    for (const [file, bytes] of Object.entries(tail.covered)) covered[file] = Math.max(bytes, covered[file] ?? 0);
    for (const [key, count] of Object.entries(tail.counts)) counts[key] = count + (counts[key] ?? 0);
  }
  const level = 1 + Math.max(...runs.map(({ tail }) => tail.level));
  return { files, covered, counts, level, replaces: runs.map(({ name }) => name) };
}

async function writeAll(handle: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at)).bytesWritten;
}
