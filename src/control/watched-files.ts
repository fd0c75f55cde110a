/**
 * PART OF THE ROOT: files whose change is to be taken up while serving.
 *
 * They are asked for their state now and then, which also sees a file that was replaced, or that is a link to another.
 *
 * Must not know what is in them.
 */
import { unwatchFile, watchFile } from 'node:fs';

const lookMs = 1000;

export class WatchedFiles {
  readonly #onChange: () => void;
  #names: ReadonlySet<string> = new Set();

  constructor(onChange: () => void) {
    // One function of our own, so that others who watch the same file are left alone.
    this.#onChange = () => onChange();
  }

  /** These from now on and no others; undefined and empty ones are none. */
  follow(names: readonly (string | undefined)[]): void {
    const next = new Set(names.filter((name) => name !== undefined && name !== '') as string[]);
    for (const name of this.#names) if (!next.has(name)) unwatchFile(name, this.#onChange);
    for (const name of next) {
      if (!this.#names.has(name)) watchFile(name, { interval: lookMs, persistent: false }, this.#onChange);
    }
    this.#names = next;
  }
}
