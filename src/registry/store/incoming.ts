/**
 * The directory of one pull under way:
 *
 *   incoming/<uuid>/<part>        files as they come, under names of ours: nothing from outside is a file name yet
 *   incoming/<uuid>/version/      the version as it will be; moved away whole at the end
 *
 * Must not know sources or records.
 */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { absent, lstatOf, removeTree } from './disk.js';

const treeName = 'version';

export class Incoming {
  readonly #directory: string;
  /** Where the version is put together. */
  readonly tree: string;
  readonly #made = new Set<string>();

  private constructor(directory: string) {
    this.#directory = directory;
    this.tree = join(directory, treeName);
  }

  /** With what an earlier try left there. */
  static open(directory: string): Incoming {
    if (!isMade(directory) && lstatOf(directory)?.isDirectory() !== true) {
      rmSync(directory, { force: true });
      mkdirSync(directory, { mode: 0o700 });
    }
    return new Incoming(directory);
  }

  part(path: string): string {
    return join(this.#directory, createHash('sha256').update(path).digest('hex').slice(0, 32));
  }

  /** An empty tree: one left by a process that died may be of any state. */
  async begin(): Promise<void> {
    if (isMade(this.tree)) return;
    await removeTree(this.tree);
    mkdirSync(this.tree, { mode: 0o700 });
  }

  /** Moves a part to its place in the version. */
  place(path: string): void {
    const target = join(this.tree, path);
    const directory = dirname(target);
    if (directory !== this.tree && !this.#made.has(directory)) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.#made.add(directory);
    }
    renameSync(this.part(path), target);
  }

  /**
   * Takes away the right to write: files and the directories between, not the top, whose move would need that right.
   * @returns all of them, and the top
   */
  seal(paths: readonly string[]): string[] {
    const directories = new Set<string>();
    for (const path of paths) {
      for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
        directories.add(join(this.tree, path.slice(0, at)));
      }
    }
    const files = paths.map((path) => join(this.tree, path));
    for (const file of files) chmodSync(file, 0o444);
    for (const directory of directories) chmodSync(directory, 0o555);
    return [...files, ...directories, this.tree];
  }

  async remove(): Promise<void> {
    // After a pull that went well there is nothing in it, and looking would cost more than all else here.
    try {
      rmdirSync(this.#directory);
    } catch {
      await removeTree(this.#directory);
    }
  }
}

/** There is something in it to go on with: not a tree, which is always put together again, nor a note of a part that is gone. */
export async function hasParts(directory: string): Promise<boolean> {
  const names = (await readdir(directory).catch(absent)) ?? [];
  return names.some((name) => name !== treeName && !name.includes('.'));
}

function isMade(directory: string): boolean {
  try {
    mkdirSync(directory, { mode: 0o700 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
