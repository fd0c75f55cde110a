/**
 * The directories and files that one archive makes below its target: which names it may use, and how to take all of it
 * away again.
 *
 * Names are compared as a file system without regard to case or composition would compare them, and a link planted in the
 * way is found because every directory that is not made here must be a real one.
 *
 * Must not know archives' formats or contents.
 */
import { lstat, mkdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isFilePath } from './file-path.js';
import { Refusal } from './refusal.js';

/** As deep as a manifest's files may lie. */
const depthMax = 32;

interface Taken {
  readonly path: string;
  readonly isDirectory: boolean;
}

export class ArchiveTree {
  readonly #root: string;
  readonly #entriesMax: number;
  /** By folded path. */
  readonly #taken = new Map<string, Taken>();
  readonly #madeFiles: string[] = [];
  readonly #madeDirectories: string[] = [];

  constructor(root: string, entriesMax: number) {
    this.#root = root;
    this.#entriesMax = entriesMax;
  }

  /** Makes the directory and those above it. @throws Refusal */
  async directory(name: string): Promise<void> {
    const path = pathOf(name.replace(/\/$/, ''));
    if (path !== '') await this.#directories(path.split('/'), name);
  }

  /** Makes the directories above a file that may be created now. @returns its path @throws Refusal */
  async file(name: string): Promise<string> {
    const path = pathOf(name);
    if (path === '') throw new Refusal('traversal', `archive: ${JSON.stringify(name)} names no file`);
    const segments = path.split('/');
    this.#claim(path, { name, isDirectory: false });
    await this.#directories(segments.slice(0, -1), name);
    return path;
  }

  /** The file at `path` now exists, and is ours to remove. */
  wrote(path: string): void {
    this.#madeFiles.push(path);
  }

  /** Takes away what was made here, and only that. */
  async remove(): Promise<void> {
    for (const path of this.#madeFiles) await rm(join(this.#root, path), { force: true });
    // One that is not empty holds something of others, and stays.
    for (const path of this.#madeDirectories.reverse()) await rmdir(join(this.#root, path)).catch(() => undefined);
  }

  async #directories(segments: readonly string[], name: string): Promise<void> {
    if (segments.length > depthMax) throw refused(name, `lies more than ${depthMax} directories deep`);
    for (let depth = 1; depth <= segments.length; depth++) {
      const path = segments.slice(0, depth).join('/');
      if (this.#claim(path, { name, isDirectory: true })) await this.#make(path, name);
    }
  }

  /** @returns whether `path` is new here */
  #claim(path: string, { name, isDirectory }: { readonly name: string; readonly isDirectory: boolean }): boolean {
    const folded = path.normalize('NFC').toLowerCase();
    const taken = this.#taken.get(folded);
    if (taken === undefined) {
      if (this.#taken.size >= this.#entriesMax) throw refused(name, `is one more than ${this.#entriesMax} entries`);
      this.#taken.set(folded, { path, isDirectory });
      return true;
    }
    if (taken.path !== path) throw refused(name, `differs only in case from '${taken.path}'`);
    if (!isDirectory || !taken.isDirectory) throw refused(name, 'is there twice, or as a file and as a directory');
    return false;
  }

  async #make(path: string, name: string): Promise<void> {
    const place = join(this.#root, path);
    try {
      await mkdir(place, { mode: 0o700 });
      this.#madeDirectories.push(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (!(await lstat(place)).isDirectory()) throw refused(name, `needs '${path}' to be a directory`);
    }
  }
}

/** `./` in front is how tar writes the contents of a directory; it means nothing. Empty = the target itself. */
function pathOf(name: string): string {
  const path = name === '.' ? '' : name.replace(/^\.\//, '');
  // Bytes that are not UTF-8 were replaced when the name was read.
  if (path !== '' && (!isFilePath(path) || path.includes('\ufffd'))) {
    throw new Refusal('traversal', `archive: ${JSON.stringify(name.slice(0, 200))} is not a path inside a version`);
  }
  return path;
}

function refused(name: string, reason: string): Refusal {
  return new Refusal('archive', `archive: ${JSON.stringify(name.slice(0, 200))} ${reason}`);
}
