/**
 * The few things the store does to a disk: create without following links, make durable, remove, and say what went wrong.
 *
 * A rename is durable when its directory is synced, and a file when both are; whoever calls decides the order.
 *
 * Calls that only touch names are made at once: they take microseconds on the disk of this machine, and each hop to a thread
 * of libuv's pool and back wakes two threads, which delayed requests beside a swap (bench/NOTES.md). What waits for the disk,
 * and trees that are removed, stay on the pool.
 *
 * Must not know versions.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fsync,
  lstatSync,
  openSync,
  readdirSync,
  rmSync,
  type Stats,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { GatewayError } from '../../core/errors.js';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants;

const synced = promisify(fsync);

/** Syncs under way together: the file system writes them out as one. */
const syncsAtOnce = 16;

const newFile = O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR;

/** A new file that only its owner may read; never one that is there already, nor what a link points to. */
export function createFile(path: string): number {
  return openSync(path, newFile, 0o600);
}

/** A file that is there, to go on with; undefined when it is not a plain file of one name. */
export function reopenFile(path: string): number | undefined {
  const found = lstatOf(path);
  if (found === undefined || !found.isFile() || found.nlink !== 1) return undefined;
  return openSync(path, O_NOFOLLOW | O_RDWR);
}

/** A new file with its content on the disk. */
export async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  const descriptor = createFile(path);
  try {
    writeFileSync(descriptor, content);
    await synced(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Replaces a file as a whole: whoever reads sees the old one or the new one, also after a loss of power. */
export async function replaceDurably(path: string, content: string): Promise<void> {
  const next = `${path}.new`;
  rmSync(next, { force: true });
  await writeDurably(next, content);
  // It frees what the old one held, which some disks wait for.
  await rename(next, path);
  await sync([dirname(path)]);
}

/** Brings files and directories to the disk, several at a time. */
export async function sync(paths: readonly string[]): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < paths.length) {
      const descriptor = openSync(paths[next++]!, O_RDONLY | O_NOFOLLOW);
      try {
        await synced(descriptor);
      } finally {
        closeSync(descriptor);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(syncsAtOnce, paths.length) }, work));
}

/** Removes a directory and all in it, also where it had been made read-only. Links are removed, not followed. */
export async function removeTree(path: string): Promise<void> {
  if (lstatOf(path)?.isDirectory()) makeWritable(path);
  await rm(path, { recursive: true, force: true });
}

function makeWritable(directory: string): void {
  chmodSync(directory, 0o700);
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) makeWritable(join(directory, entry.name));
  }
}

/** Undefined where there is nothing. */
export function lstatOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** What may still be written to the disk of `path`, and its size. */
export function spaceOf(path: string): { readonly freeBytes: number; readonly diskBytes: number } {
  const { bavail, blocks, bsize } = statfsSync(path);
  return { freeBytes: bavail * bsize, diskBytes: blocks * bsize };
}

/** For what may be absent. */
export function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}

/** A fault of the store's own disk as an error of ours: a full one is told apart, for it passes when there is room. */
export function diskFault(thrown: unknown, subject: string): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === undefined) return GatewayError.from(thrown);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new GatewayError('RESOURCE_EXHAUSTED', `${subject}: no space left in the store`, { cause: thrown });
  }
  return new GatewayError('INTERNAL', `${subject}: the store cannot be written (${code})`, {
    cause: thrown,
  });
}

/** Does what only the disk can make fail. */
export async function onDisk<Result>(subject: string, work: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw diskFault(error, subject);
  }
}
