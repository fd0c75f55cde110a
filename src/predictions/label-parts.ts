/**
 * Which stretches of which files of labels are to be made into Parquet: a decision over folders, as the control process sees
 * them, and what has been done so far.
 *
 *   <labels>/<day>/<name>.rows, growing ─▶ stretches of 4 MiB; the last one again when it has grown ─▶ <root>/labels/…
 *
 * Files of labels stay where they are, for the labels themselves are read from them; what was made of them is remembered in
 * `<root>/labels/_manifest.jsonl`, the last line of a file counting. One that is damaged is told of and counts as none: all
 * files are made again, which changes nothing in them.
 *
 * Must not know what a label is.
 */
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { LabelsConverted, LabelsJob } from './jobs.js';

export interface LabelSource {
  /** Folder of folders by day. */
  readonly directory: string;
  /** Module that reads them. */
  readonly readerUrl: string;
  /** A stretch that has grown a little is made anew after this time. */
  readonly ageMs: number;
}

export interface LabelPartsOptions extends LabelSource {
  readonly root: string;
  readonly run: (job: LabelsJob) => Promise<LabelsConverted>;
  readonly epochMs: () => number;
  /** A file that could not be made, and is tried again; or the manifest, which could not be read. */
  readonly onFailed?: ((file: string, error: Error) => void) | undefined;
}

/** The last stretch of a file. */
interface Progress {
  readonly from: number;
  /** Bytes of the file when it was made. */
  readonly size: number;
}

const stretchBytes = 4 * 1024 * 1024;
const dayPattern = /^\d{4}-\d{2}-\d{2}$/;
const ending = '.rows';

export class LabelParts {
  readonly #options: LabelPartsOptions;
  #progress: Map<string, Progress> | undefined;
  readonly #doneAt = new Map<string, number>();
  #running: Promise<void> = Promise.resolve();
  readonly counts = { rows: 0, failed: 0 };

  constructor(options: LabelPartsOptions) {
    this.#options = options;
  }

  /** Makes what is due. */
  convertDue(): Promise<void> {
    return this.#convert((file) => this.#isDue(file));
  }

  /** Makes all that is there. */
  convertAll(): Promise<void> {
    return this.#convert(() => true);
  }

  #convert(isWanted: (file: SourceFile) => boolean): Promise<void> {
    this.#running = this.#running.then(() => this.#convertFiles(isWanted));
    return this.#running;
  }

  async #convertFiles(isWanted: (file: SourceFile) => boolean): Promise<void> {
    const files = filesIn(this.#options.directory);
    this.#progress ??= this.#remembered(new Set(files.map(({ source }) => source)));
    for (const file of files) {
      if (this.#progress.get(file.source)?.size === file.size || !isWanted(file)) continue;
      this.#doneAt.set(file.source, this.#options.epochMs());
      try {
        await this.#convertFile(file, this.#progress);
      } catch (error) {
        // Tried again later.
        this.#options.onFailed?.(file.source, error as Error);
        this.counts.failed++;
      }
    }
  }

  #isDue({ source, size }: SourceFile): boolean {
    const { epochMs, ageMs } = this.#options;
    const doneAt = this.#doneAt.get(source);
    if (doneAt === undefined || size - (this.#progress?.get(source)?.size ?? 0) >= stretchBytes) return true;
    return Math.abs(epochMs() - doneAt) >= ageMs;
  }

  async #convertFile({ source, path, date, name, size }: SourceFile, progress: Map<string, Progress>): Promise<void> {
    const { root, readerUrl, run } = this.#options;
    for (let from = progress.get(source)?.from ?? 0; ; ) {
      const job = { kind: 'labels', root, readerUrl, path, date, name, from, bytesMax: stretchBytes } as const;
      const { end, isFull, rows } = await run(job);
      this.counts.rows += rows;
      const next = { from: isFull ? end : from, size };
      progress.set(source, next);
      appendFileSync(manifestOf(root), lineOf(source, next));
      if (!isFull) return;
      from = end;
    }
  }

  /** Written anew without what is no more. @param sources files that are there */
  #remembered(sources: ReadonlySet<string>): Map<string, Progress> {
    const path = manifestOf(this.#options.root);
    mkdirSync(dirname(path), { recursive: true });
    const found = new Map<string, Progress>();
    for (const { source, from, size } of this.#linesIn(path)) {
      if (sources.has(source)) found.set(source, { from, size });
    }
    writeFileSync(`${path}.partial`, [...found].map(([source, progress]) => lineOf(source, progress)).join(''));
    renameSync(`${path}.partial`, path);
    return found;
  }

  /** What a crash cut off is no line. */
  #linesIn(path: string): Line[] {
    try {
      const lines = readFileSync(path, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Line);
      if (lines.every(isLine)) return lines;
      throw new Error('a line names no file, or no place in it');
    } catch (error) {
      // The first one is made here.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#options.onFailed?.(path, error as Error);
      return [];
    }
  }
}

interface Line extends Progress {
  readonly source: string;
}

function isLine(line: Line | null): boolean {
  return typeof line?.source === 'string' && Number.isSafeInteger(line.from) && Number.isSafeInteger(line.size);
}

function manifestOf(root: string): string {
  return join(root, 'labels', '_manifest.jsonl');
}

function lineOf(source: string, progress: Progress): string {
  return `${JSON.stringify({ source, ...progress })}\n`;
}

interface SourceFile {
  /** Its path below the folder. */
  readonly source: string;
  readonly path: string;
  readonly date: string;
  readonly name: string;
  readonly size: number;
}

function filesIn(directory: string): SourceFile[] {
  return namesIn(directory)
    .filter((date) => dayPattern.test(date))
    .flatMap((date) =>
      namesIn(join(directory, date))
        .filter((name) => name.endsWith(ending))
        .map((file) => {
          const path = join(directory, date, file);
          const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
          return { source: `${date}/${file}`, path, date, name: file.slice(0, -ending.length), size };
        }),
    );
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}
