/**
 * PART OF THE ROOT: the files of drift, below the folder of the prediction log.
 *
 *   profiles/<name>.watch.json   what observer threads are to look at
 *   profiles/<name>.json         the profile they count by: what came with the version, or made of its first rows
 *   sketches/<name>-<role>.bin   what was counted and concluded so far
 *
 * Each is replaced as a whole by a rename. What cannot be read back is as good as not there: it only costs history.
 *
 * Must not know what is in them.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { profileFileOf, type Watched, watchFileOf } from '../core/watched.js';
import { parseProfile, type ReferenceProfile } from '../monitor/profile-document.js';

export class DriftFiles {
  readonly #profiles: string;
  readonly #sketches: string;

  /** @param path of the prediction log @throws what the file system says */
  constructor(path: string) {
    this.#profiles = join(path, 'profiles');
    this.#sketches = join(path, 'sketches');
    for (const folder of [this.#profiles, this.#sketches]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  watch(name: string, watched: Watched, profile: ReferenceProfile | undefined): void {
    // The profile first: who finds the other file looks for it at once.
    if (profile !== undefined) replace(join(this.#profiles, profileFileOf(name)), JSON.stringify(profile));
    replace(join(this.#profiles, watchFileOf(name)), JSON.stringify(watched));
  }

  /** @returns undefined while there is none */
  profileOf(name: string): ReferenceProfile | undefined {
    const text = readIfThere(join(this.#profiles, profileFileOf(name)));
    return text === undefined ? undefined : parseProfile(text.toString('utf8'));
  }

  save(name: string, role: string, state: unknown): void {
    replace(this.#sketchFile(name, role), serialize(state));
  }

  /** @returns undefined when there is nothing that can be read */
  saved(name: string, role: string): unknown {
    try {
      const bytes = readIfThere(this.#sketchFile(name, role));
      return bytes === undefined ? undefined : deserialize(bytes);
    } catch {
      return undefined;
    }
  }

  #sketchFile(name: string, role: string): string {
    return join(this.#sketches, `${name}-${role}.bin`);
  }

  /** Removes what nobody has written to since then. */
  sweep(beforeMs: number): void {
    for (const file of readdirSync(this.#sketches)) {
      const path = join(this.#sketches, file);
      if (statSync(path).mtimeMs < beforeMs) rmSync(path, { force: true });
    }
  }
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function replace(path: string, content: string | Buffer): void {
  const scratch = `${path}.new`;
  writeFileSync(scratch, content, { mode: 0o600 });
  renameSync(scratch, path);
}
