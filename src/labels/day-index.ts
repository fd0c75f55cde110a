/**
 * The records of one day, found by the hash of a text.
 *
 *   *.rows, growing ─ read on ─▶ head (memory) ─ full ─▶ 0-*.run ─ eight of a level ─▶ one of the next
 *
 * An index says how far into each file it goes, so whoever starts again reads only what is behind. Files of rows are written
 * by others and never change but at their end.
 *
 * Must not know what a record means: it is told which text finds it and what to count.
 */
import { closeSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { namesIn } from './days.js';
import { eachFrame, frameAt, frameHeadBytes, type Stretch } from './frames.js';
import { Head } from './head.js';
import { type Found, type Hash, mergeRuns, Run, writeRun } from './run.js';

/** A record and where it lies. */
export interface Placed extends Found {
  readonly payload: Buffer;
}

export interface RecordKind {
  /** Undefined for a record that nobody looks for. */
  hashOf(payload: Buffer): Hash | undefined;
  /**
   * What to count of a record, by how much. @param at reads another record of the same file: the same object for records that
   * follow each other
   */
  countOf(payload: Buffer, at: (offset: number) => Buffer | undefined): readonly [string, number] | undefined;
}

export interface DayIndexOptions {
  readonly directory: string;
  readonly kind: RecordKind;
  /** Entries in memory. */
  readonly headMax: number;
}

const firstBytes = 512;
const descriptorsMax = 64;
const runsOfLevel = 8;
/** Records that others name, of one file. */
const namedMax = 1000;
const runPattern = /^[0-9]+-[0-9]+\.run$/;

export class DayIndex {
  readonly #options: DayIndexOptions;
  readonly #files: string[] = [];
  readonly #numbers = new Map<string, number>();
  /** How far each file has been read. */
  readonly #read = new Map<string, number>();
  readonly #broken = new Set<string>();
  readonly #descriptors = new Map<string, number>();
  /** Of what is in memory only. */
  #counts = new Map<string, number>();
  #head = new Head();
  #runs: Run[] = [];
  #runNumber = 0;
  #merging: Promise<void> | undefined;
  #isClosed = false;

  /** @throws what the file system says */
  constructor(options: DayIndexOptions) {
    this.#options = options;
    this.#openRuns();
    this.#merge();
  }

  #openRuns(): void {
    const { directory } = this.#options;
    const names = namesIn(directory);
    const runs = this.#wholeRuns(names.filter((name) => runPattern.test(name)));
    for (const { name } of runs)
      this.#runNumber = Math.max(this.#runNumber, Number(name.slice(name.indexOf('-') + 1, -'.run'.length)));
    const replaced = new Set(runs.flatMap(({ tail }) => tail.replaces));
    for (const run of runs) if (replaced.has(run.name)) removed(run);
    this.#runs = runs.filter(({ name }) => !replaced.has(name));
    for (const { tail } of this.#runs) {
      for (const [file, bytes] of Object.entries(tail.covered))
        this.#read.set(file, Math.max(bytes, this.#read.get(file) ?? 0));
    }
    for (const name of names) if (name.endsWith('.new')) rmSync(join(directory, name), { force: true });
  }

  /** All of them, or none when one is damaged: they can be made again from the rows. */
  #wholeRuns(names: readonly string[]): Run[] {
    const { directory } = this.#options;
    const runs: Run[] = [];
    try {
      for (const name of names) runs.push(Run.open(join(directory, name), name));
      return runs;
    } catch {
      for (const run of runs) run.close();
      for (const name of names) rmSync(join(directory, name), { force: true });
      return [];
    }
  }

  get entries(): number {
    return this.#head.count + this.#runs.reduce((sum, { count }) => sum + count, 0);
  }

  /** Files in which something other than a record follows: from there on they are not read. */
  get damaged(): number {
    return this.#broken.size;
  }

  get runs(): number {
    return this.#runs.length;
  }

  /** What was counted of all records so far. */
  *counts(): Generator<readonly [string, number]> {
    for (const { tail } of this.#runs) yield* Object.entries(tail.counts);
    yield* this.#counts;
  }

  /** Reads what has been written since. @param onRecord is told of every record that is new to the index */
  refresh(onRecord?: (record: Placed) => void): void {
    for (const name of this.#rowFiles()) if (!this.#broken.has(name)) this.#readOn(name, onRecord);
  }

  #readOn(name: string, onRecord?: (record: Placed) => void): void {
    const named = new Map<number, Buffer | undefined>();
    const at = (offset: number) => {
      if (!named.has(offset)) {
        if (named.size >= namedMax) named.clear();
        named.set(offset, this.at({ file: name, offset }));
      }
      return named.get(offset);
    };
    const isWhole = eachFrame(this.#stretchOf(name, this.#read.get(name) ?? 0), (payload, offset, end) => {
      const record = { payload, file: name, offset };
      this.#read.set(name, end);
      this.#count(this.#options.kind.countOf(payload, at));
      this.#take(record);
      onRecord?.(record);
      if (this.#head.count >= this.#options.headMax) this.#seal();
    });
    if (!isWhole) this.#broken.add(name);
  }

  /** Every record from the first on, whether it is in a run or not, file by file. */
  each(onRecord: (payload: Buffer) => void): void {
    for (const name of this.#rowFiles()) eachFrame(this.#stretchOf(name, 0), onRecord);
  }

  #stretchOf(name: string, from: number): Stretch {
    const size = statSync(join(this.#options.directory, name), { throwIfNoEntry: false })?.size ?? 0;
    return { from, size, read: (position, length) => this.#bytesAt(name, position, length) };
  }

  /** In the order in which they were begun, those of one writer. */
  #rowFiles(): string[] {
    const names = namesIn(this.#options.directory).filter((name) => name.endsWith('.rows'));
    return names.sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  }

  #take({ payload, file, offset }: Placed): void {
    const hash = this.#options.kind.hashOf(payload);
    if (hash !== undefined) this.#head.add(hash, this.#numberOf(file), offset);
  }

  #count(counted: readonly [string, number] | undefined): void {
    if (counted === undefined) return;
    const [key, count] = counted;
    this.#counts.set(key, count + (this.#counts.get(key) ?? 0));
  }

  #numberOf(name: string): number {
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.#files.push(name) - 1;
      this.#numbers.set(name, number);
    }
    return number;
  }

  #seal(): void {
    const name = `0-${++this.#runNumber}.run`;
    const path = join(this.#options.directory, name);
    writeRun(path, this.#head, {
      files: this.#files,
      covered: Object.fromEntries(this.#read),
      counts: Object.fromEntries(this.#counts),
      level: 0,
      replaces: [],
    });
    this.#runs.push(Run.open(path, name));
    this.#head = new Head();
    this.#counts = new Map();
    this.#merge();
  }

  #merge(): void {
    if (this.#merging !== undefined || this.#isClosed) return;
    const levels = new Map<number, Run[]>();
    for (const run of this.#runs) levels.set(run.tail.level, [...(levels.get(run.tail.level) ?? []), run]);
    const [level, runs] = [...levels].find(([, same]) => same.length >= runsOfLevel) ?? [];
    if (runs === undefined) return;
    this.#merging = this.#mergeAs(`${level! + 1}-${++this.#runNumber}.run`, runs).then(
      () => {
        this.#merging = undefined;
        this.#merge();
      },
      () => {
        // Tried again when the next run is written.
        this.#merging = undefined;
      },
    );
  }

  async #mergeAs(name: string, runs: readonly Run[]): Promise<void> {
    const path = join(this.#options.directory, name);
    await mergeRuns(path, runs);
    const merged = Run.open(path, name);
    this.#runs = [...this.#runs.filter((run) => !runs.includes(run)), merged];
    for (const run of runs) removed(run);
  }

  /** Every record of that hash, the newest first as far as is known. */
  find(hash: Hash): Placed[] {
    const places: Found[] = this.#head
      .find(hash)
      .map((entry) => ({ file: this.#files[this.#head.file[entry]!]!, offset: this.#head.offset[entry]! }));
    for (let i = this.#runs.length - 1; i >= 0; i--) places.push(...this.#runs[i]!.find(hash));
    return places.flatMap((place) => {
      const payload = this.at(place);
      return payload === undefined ? [] : [{ ...place, payload }];
    });
  }

  /** The record that begins there. */
  at({ file, offset }: Found): Buffer | undefined {
    const first = this.#bytesAt(file, offset, firstBytes);
    const frame = frameAt(first, 0);
    if (frame.is === 'whole') return frame.payload;
    if (frame.is === 'bad' || frame.bytes <= frameHeadBytes) return undefined;
    const whole = frameAt(this.#bytesAt(file, offset, frame.bytes), 0);
    return whole.is === 'whole' ? whole.payload : undefined;
  }

  #bytesAt(name: string, position: number, length: number): Buffer {
    const descriptor = this.#descriptorOf(name);
    const bytes = Buffer.allocUnsafe(length);
    let at = 0;
    while (at < length) {
      const count = readSync(descriptor, bytes, at, length - at, position + at);
      if (count === 0) break;
      at += count;
    }
    return bytes.subarray(0, at);
  }

  #descriptorOf(name: string): number {
    const known = this.#descriptors.get(name);
    if (known !== undefined) return known;
    if (this.#descriptors.size >= descriptorsMax) this.#closeFiles();
    const descriptor = openSync(join(this.#options.directory, name), 'r');
    this.#descriptors.set(name, descriptor);
    return descriptor;
  }

  #closeFiles(): void {
    for (const descriptor of this.#descriptors.values()) closeSync(descriptor);
    this.#descriptors.clear();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#merging;
    this.#closeFiles();
    for (const run of this.#runs) run.close();
    this.#runs = [];
  }
}

function removed(run: Run): void {
  run.close();
  rmSync(run.path, { force: true });
}
