/**
 * Artifacts in a folder of this machine, as a tracking server without a proxy states them, inside one of the folders that
 * the operator allowed.
 *
 * Paths are compared after all links have been followed, and a link inside a version is not followed at all.
 *
 * Must not know MLflow.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import { Refusal } from '../refusal.js';
import type { FileStream } from '../source.js';
import { shownPath } from './mlflow-facts.js';
import { filesBelow, type ListedEntry } from './mlflow-listing.js';
import type { ArtifactPlace, PlacedFile, ResumePoint } from './mlflow-place.js';

export class FolderPlace implements ArtifactPlace {
  readonly #directory: string;
  readonly #roots: readonly string[];

  /** @param roots folders inside which `directory` must lie */
  constructor(directory: string, roots: readonly string[]) {
    this.#directory = directory;
    this.#roots = roots;
  }

  async files(): Promise<readonly PlacedFile[]> {
    const top = await this.#top();
    if (top === undefined) return [];
    return filesBelow(async (directory) => entriesOf(join(top, directory)));
  }

  async open(file: PlacedFile, from: ResumePoint): Promise<FileStream> {
    const top = await this.#top();
    if (top === undefined) throw gone(file);
    const real = await realpath(join(top, file.path)).catch(() => undefined);
    if (real !== join(top, file.path)) throw gone(file);
    const handle = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined);
    if (handle === undefined) throw gone(file);
    const { etag, size } = await stampOf(handle);
    const offset = from.etag === etag && from.offset <= size ? from.offset : 0;
    return { chunks: unchanged(handle, { file, offset, etag }), offset, bytes: size, etag };
  }

  async #top(): Promise<string | undefined> {
    const top = await realpath(this.#directory).catch(() => undefined);
    if (top === undefined) return undefined;
    for (const root of this.#roots) {
      const real = await realpath(root).catch(() => undefined);
      if (real !== undefined && (top === real || top.startsWith(real.endsWith(sep) ? real : real + sep))) return top;
    }
    throw new Refusal('address', 'its artifacts lie in a folder outside of those that allow_file names');
  }
}

async function entriesOf(directory: string): Promise<ListedEntry[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const odd = entries.find((entry) => !entry.isFile() && !entry.isDirectory());
  if (odd !== undefined) {
    throw new Refusal('traversal', `artifact ${shownPath(odd.name)} is neither a plain file nor a directory`);
  }
  return entries.map((entry) => ({ path: entry.name, is_dir: entry.isDirectory() }));
}

interface Reading {
  readonly file: PlacedFile;
  readonly offset: number;
  readonly etag: string;
}

async function* unchanged(handle: FileHandle, { file, offset, etag }: Reading): AsyncGenerator<Uint8Array, void> {
  try {
    yield* handle.createReadStream({ start: offset, autoClose: false });
    const after = await stampOf(handle);
    if (after.etag !== etag) {
      throw new GatewayError('UNAVAILABLE', `artifact ${shownPath(file.path)} was changed while it was read`);
    }
  } finally {
    await handle.close();
  }
}

async function stampOf(handle: FileHandle): Promise<{ readonly etag: string; readonly size: number }> {
  const { ino, size, mtimeNs } = await handle.stat({ bigint: true });
  return { etag: `"${ino}-${size}-${mtimeNs}"`, size: Number(size) };
}

function gone(file: PlacedFile): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `artifact ${shownPath(file.path)} is no longer there`);
}
