/**
 * What a model's manifest says next: one line for each finished file, in the order in which they were finished.
 *
 * Must not know sinks.
 */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

export interface NextFile {
  readonly model: string;
  /** Below the model's folder. */
  readonly name: string;
  readonly path: string;
  readonly rows: number;
  /** When its oldest row arrived, in microseconds since the epoch. */
  readonly fromUs: number;
  /** Where the line after it begins. */
  readonly end: number;
}

/** One line is some hundred bytes. */
const lineBytesMax = 64 * 1024;

/** Models that have finished files. */
export async function loggedModels(root: string): Promise<string[]> {
  const folders = await readdir(join(root, 'log')).catch((): string[] => []);
  return folders.filter((name) => name.startsWith('model=')).map((name) => name.slice('model='.length));
}

/** The file of the line at `offset`; undefined when there is none yet. */
export async function nextFile(root: string, model: string, offset: number): Promise<NextFile | undefined> {
  const folder = join(root, 'log', `model=${model}`);
  const manifest = await open(join(folder, '_manifest.jsonl')).catch(() => undefined);
  if (manifest === undefined) return undefined;
  try {
    const bytes = Buffer.alloc(lineBytesMax);
    for (let at = offset; ; ) {
      const { bytesRead } = await manifest.read(bytes, 0, lineBytesMax, at);
      const end = bytes.subarray(0, bytesRead).indexOf(10);
      if (end < 0) return undefined;
      const line = lineOf(bytes.toString('utf8', 0, end));
      at += end + 1;
      if (line !== undefined)
        return { model, name: line.file, path: join(folder, line.file), rows: line.rows, fromUs: line.min_ts, end: at };
    }
  } finally {
    await manifest.close();
  }
}

interface Line {
  readonly file: string;
  readonly rows: number;
  readonly min_ts: number;
}

/** A line that a crash cut off has no end: the next one begins behind it, and is the one that counts. */
function lineOf(text: string): Line | undefined {
  try {
    return JSON.parse(text.slice(Math.max(0, text.lastIndexOf('{"file":')))) as Line;
  } catch {
    return undefined;
  }
}
