/**
 * The files of an audit log, audit-1.jsonl, audit-2.jsonl and so on, read line by line in bounded memory.
 *
 * Must not know what follows from a bad line: it throws, or gives the bytes to whoever does.
 */
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { GatewayError } from '../core/errors.js';
import { type AuditHead, type AuditRecord, emptyHead, lineBytesMax, parseLine } from './entry.js';

export interface AuditFile {
  readonly number: number;
  readonly name: string;
  readonly path: string;
}

const fileName = /^audit-([1-9][0-9]{0,9})\.jsonl$/;

export function auditFile(directory: string, number: number): AuditFile {
  const name = `audit-${number}.jsonl`;
  return { number, name, path: join(directory, name) };
}

/**
 * Oldest first.
 * @param path the directory, or one of its files for that one alone
 * @throws NOT_FOUND when there is nothing at `path`
 */
export async function auditFiles(path: string): Promise<AuditFile[]> {
  let names: string[];
  let directory = path;
  try {
    if ((await stat(path)).isDirectory()) names = await readdir(path);
    else [names, directory] = [[basename(path)], dirname(path)];
  } catch (error) {
    throw new GatewayError('NOT_FOUND', `no audit log: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
  }
  const numbers = names.flatMap((name) => fileName.exec(name)?.[1] ?? []).map(Number);
  return numbers.sort((a, b) => a - b).map((number) => auditFile(directory, number));
}

export interface Line {
  /** Without the line feed. */
  readonly bytes: Buffer;
  /** From 1. */
  readonly number: number;
  /** Where it begins in its file. */
  readonly offset: number;
  /** `torn` = the file ends before the line does; `long` = it was given up on, and what follows is not read. */
  readonly end: 'whole' | 'torn' | 'long';
}

export async function* linesOf(file: AuditFile): AsyncGenerator<Line> {
  let [held, number, offset] = [Buffer.alloc(0), 1, 0];
  for await (const chunk of createReadStream(file.path) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const part = chunk.subarray(start, end);
      const bytes = held.length === 0 ? part : Buffer.concat([held, part]);
      const isLong = bytes.length >= lineBytesMax;
      yield { bytes, number, offset, end: isLong ? 'long' : 'whole' };
      if (isLong) return;
      [held, number, offset, start] = [Buffer.alloc(0), number + 1, offset + bytes.length + 1, end + 1];
    }
    held = Buffer.concat([held, chunk.subarray(start)]);
    if (held.length >= lineBytesMax) {
      yield { bytes: held, number, offset, end: 'long' };
      return;
    }
  }
  if (held.length > 0) yield { bytes: held, number, offset, end: 'torn' };
}

export interface Ending {
  readonly head: AuditHead;
  /** Of the newest file. */
  readonly wholeBytes: number;
  /** Bytes of a line in the newest file whose writing was interrupted. */
  readonly tornBytes: number;
}

/**
 * The newest entry, and what stands behind it.
 * @throws FAILED_PRECONDITION when it cannot be read although it was written to its end
 */
export async function endingOf(files: readonly AuditFile[]): Promise<Ending> {
  let newest: { wholeBytes: number; tornBytes: number } | undefined;
  for (const file of files.toReversed()) {
    let last: Line | undefined;
    let tornBytes = 0;
    for await (const line of linesOf(file)) {
      if (line.end === 'whole') last = line;
      else if (line.end === 'torn' && newest === undefined) tornBytes = line.bytes.length;
      else throw badLine(file, line, line.end === 'long' ? 'it is too long' : 'it is not finished');
    }
    newest ??= { wholeBytes: last === undefined ? 0 : last.offset + last.bytes.length + 1, tornBytes };
    if (last === undefined) continue;
    const { entry, hash } = parsedLine(file, last);
    return { head: { seq: entry.seq, hash }, ...newest };
  }
  return { head: emptyHead, ...(newest ?? { wholeBytes: 0, tornBytes: 0 }) };
}

/**
 * The entries from seq `from` to seq `to`, both included.
 * @throws FAILED_PRECONDITION at a line whose hash is not that of its entry
 */
export async function* recordsIn(
  files: readonly AuditFile[],
  from: number,
  to: number = Number.MAX_SAFE_INTEGER,
): AsyncGenerator<AuditRecord> {
  for (const file of files.slice(await firstOf(files, from))) {
    for await (const line of linesOf(file)) {
      if (line.end === 'torn') break;
      if (line.end === 'long') throw badLine(file, line, 'it is too long');
      const record = parsedLine(file, line);
      if (record.entry.seq > to) return;
      if (record.entry.seq >= from) yield record;
    }
  }
}

/** Index of the newest file that begins at `from` or before. */
async function firstOf(files: readonly AuditFile[], from: number): Promise<number> {
  for (let index = files.length - 1; index > 0; index--) {
    for await (const line of linesOf(files[index]!)) {
      if (line.end === 'whole' && parsedLine(files[index]!, line).entry.seq <= from) return index;
      break;
    }
  }
  return 0;
}

function parsedLine(file: AuditFile, line: Line): AuditRecord {
  try {
    return parseLine(line.bytes);
  } catch (error) {
    throw badLine(file, line, (error as Error).message);
  }
}

function badLine(file: AuditFile, line: Line, reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `audit log: line ${line.number} of ${file.name}: ${reason}`);
}
