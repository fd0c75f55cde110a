/**
 * The calls to the file system that a segment is written with, as one object, so that a test can make any of them fail.
 *
 * Must not know what is written.
 */
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

export interface SegmentFiles {
  /** A new file; fails when there is one. */
  create(path: string): number;
  write(descriptor: number, bytes: Uint8Array, offset: number, length: number, position: number): number;
  sync(descriptor: number): void;
  truncate(descriptor: number, length: number): void;
  close(descriptor: number): void;
  rename(from: string, to: string): void;
  /** Where an open file is now: still under its name, moved away, or under no name at all. */
  whereabouts(descriptor: number, path: string): 'here' | 'moved' | 'gone';
  /** Free share of the disk, and bytes of the files in the directory. */
  room(directory: string): { readonly freeShare: number; readonly bytes: number };
}

export const realFiles: SegmentFiles = {
  create: (path) => openSync(path, 'wx', 0o640),
  write: (descriptor, bytes, offset, length, position) => writeSync(descriptor, bytes, offset, length, position),
  sync: fdatasyncSync,
  truncate: ftruncateSync,
  close: closeSync,
  rename: renameSync,
  whereabouts(descriptor, path) {
    const open = fstatSync(descriptor);
    if (open.nlink === 0) return 'gone';
    const named = statSync(path, { throwIfNoEntry: false });
    return named !== undefined && named.ino === open.ino && named.dev === open.dev ? 'here' : 'moved';
  },
  room(directory) {
    mkdirSync(directory, { recursive: true });
    const { bavail, blocks } = statfsSync(directory);
    let bytes = 0;
    for (const name of readdirSync(directory)) {
      bytes += statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0;
    }
    return { freeShare: blocks > 0 ? bavail / blocks : 1, bytes };
  },
};
