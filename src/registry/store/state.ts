/**
 * Small JSON documents that outlive the process: who is quarantined, which aliases were last good, which digests were seen.
 *
 * A document is replaced as a whole, so it is never torn by us. One that cannot be read all the same is kept aside and
 * reported by name: starting from nothing in silence would lift every quarantine there was.
 *
 * Must not know what the documents mean.
 */
import { readdirSync, renameSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { GatewayError } from '../../core/errors.js';
import { absent, diskFault, lstatOf, replaceDurably } from './disk.js';

const bytesMax = 64 * 1024 * 1024;
/** Unreadable documents kept of one name; the last place is used again. */
const asideMax = 10;

export class StateFolder {
  readonly #directory: string;
  readonly #report: (message: string) => void;
  /** The last write of each name: two at once would share their new file. */
  readonly #last = new Map<string, Promise<void>>();

  constructor(directory: string, report: (message: string) => void) {
    this.#directory = directory;
    this.#report = report;
  }

  /** @param fallback what it is when there is none, or none that can be read */
  async read<T>(name: string, schema: z.ZodType<T>, fallback: T): Promise<T> {
    const path = this.#path(name);
    const text = await readFile(path, 'utf8').catch(absent);
    if (text === undefined) return fallback;
    const reason = (() => {
      try {
        const result = schema.safeParse(JSON.parse(text));
        if (result.success) return result;
        const [issue] = result.error.issues;
        return `'${issue!.path.map(String).join('.')}': ${issue!.message}`;
      } catch (error) {
        return (error as Error).message;
      }
    })();
    if (typeof reason !== 'string') return reason.data;
    const aside = this.#aside(path);
    renameSync(path, aside);
    this.#report(
      `state document ${name}.json cannot be read and starts empty, kept as ${name}${aside.slice(path.length - 5)}: ${reason}`,
    );
    return fallback;
  }

  async write(name: string, value: unknown): Promise<void> {
    const text = `${JSON.stringify(value, undefined, 1)}\n`;
    if (text.length > bytesMax) {
      throw new GatewayError(
        'RESOURCE_EXHAUSTED',
        `state document ${name}.json would have more than ${bytesMax} bytes`,
      );
    }
    const before = this.#last.get(name) ?? Promise.resolve();
    const written = before.then(() => replaceDurably(this.#path(name), text));
    this.#last.set(
      name,
      written.catch(() => {}),
    );
    try {
      await written;
    } catch (error) {
      throw diskFault(error, `state document ${name}.json`);
    }
  }

  /** Documents whose name begins so. */
  names(prefix: string): string[] {
    const files = readdirSync(this.#directory).filter((file) => file.startsWith(prefix) && file.endsWith('.json'));
    return files.map((file) => file.slice(0, -'.json'.length));
  }

  remove(name: string): void {
    rmSync(this.#path(name), { force: true });
  }

  #path(name: string): string {
    return join(this.#directory, `${name}.json`);
  }

  #aside(path: string): string {
    for (let n = 0; ; n++) {
      const aside = n === 0 ? `${path}.bad` : `${path}.bad${n}`;
      if (n + 1 === asideMax || lstatOf(aside) === undefined) return aside;
    }
  }
}

/** One document held in memory: read once, and on the disk before a change counts. */
export class StateDocument<T> {
  readonly #folder: StateFolder;
  readonly #name: string;
  #value: T;
  #last: Promise<void> = Promise.resolve();

  private constructor(folder: StateFolder, name: string, value: T) {
    this.#folder = folder;
    this.#name = name;
    this.#value = value;
  }

  static async open<T>(
    folder: StateFolder,
    name: string,
    schema: z.ZodType<T>,
    fallback: T,
  ): Promise<StateDocument<T>> {
    return new StateDocument(folder, name, await folder.read(name, schema, fallback));
  }

  get value(): T {
    return this.#value;
  }

  /** Changes come one after another; one that cannot be written has not happened. */
  change(next: (value: T) => T): Promise<void> {
    const changed = this.#last.then(async () => {
      const value = next(this.#value);
      if (value === this.#value) return;
      await this.#folder.write(this.#name, value);
      this.#value = value;
    });
    this.#last = changed.catch(() => {});
    return changed;
  }
}
