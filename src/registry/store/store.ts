/**
 * Our own copy of every version that was ever fit to be looked at: hashed, read-only, complete, named by its content.
 *
 *   source ─ pull ─▶ incoming/<uuid>/ ─ one rename ─▶ versions/<source>/<model>/<version>@<sha12>/ ─ collect ─▶ gone
 *
 * One process owns it and may be killed at any moment: what is not whole is not in versions/, and what is left in incoming/
 * is gone on with or removed.
 *
 * Must not know what is served, how a source is reached or what a model is.
 */
import { chmod, mkdir, readdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import type { Artifact, Source } from '../source.js';
import { diskFault, removeTree } from './disk.js';
import { FirstDigests } from './documents.js';
import { Intake, type IntakeOptions } from './intake.js';
import { type Lock, takeLock } from './lock.js';
import { StorePaths } from './paths.js';
import type { PullHooks } from './pull-hooks.js';
import { bytesIn } from './record.js';
import { Shelf, type StoredVersion, type Wanted } from './shelf.js';
import { StateFolder } from './state.js';
import { unwanted } from './sweep.js';

export type { StoredVersion } from './shelf.js';

export interface StoreOptions extends IntakeOptions {
  readonly path: string;
  /** Newest versions of each model that are never collected. */
  readonly keepVersions: number;
  /** One sentence for each thing that was not as it should be. */
  readonly report: (message: string) => void;
}

/** Numbers that hold unless a configuration says otherwise. */
export const storeDefaults = {
  fileBytesMax: 8 * 1024 ** 3,
  versionBytesMax: 16 * 1024 ** 3,
  storeBytesMax: 20 * 1024 ** 3,
  keepVersions: 3,
  spareBytesMin: 512 * 1024 ** 2,
  resumeMs: 24 * 3600 * 1000,
  triesMax: 7,
  graceMs: 3600 * 1000,
} as const;

export interface Collected {
  readonly removed: readonly StoredVersion[];
  readonly bytes: number;
}

export class Store {
  readonly #options: StoreOptions;
  readonly #paths: StorePaths;
  readonly #lock: Lock;
  readonly #shelf: Shelf;
  readonly #digests: FirstDigests;
  readonly #intake: Intake;
  /** Small documents of the registry. */
  readonly state: StateFolder;
  readonly #unmarkedSince = new Map<string, number>();
  #closed: Promise<void> | undefined;

  private constructor(options: StoreOptions, paths: StorePaths, lock: Lock, state: StateFolder, digests: FirstDigests) {
    this.#options = options;
    this.#paths = paths;
    this.#lock = lock;
    this.#digests = digests;
    this.#shelf = new Shelf(paths, options.report);
    this.#intake = new Intake(options, paths, this.#shelf, digests);
    this.state = state;
  }

  /** @throws FAILED_PRECONDITION naming the process that has it */
  static async open(options: StoreOptions): Promise<Store> {
    const paths = await madePaths(options.path).catch(cannotOpen);
    const lock = await takeLock(paths.lock).catch(cannotOpen);
    try {
      const folders = [paths.incoming, paths.trash, paths.versions, paths.state];
      for (const folder of folders) await mkdir(folder, { recursive: true, mode: 0o700 });
      const state = new StateFolder(paths.state, options.report);
      const store = new Store(options, paths, lock, state, await FirstDigests.open(state));
      await store.#shelf.read();
      await store.#clear();
      return store;
    } catch (error) {
      await lock.release();
      return cannotOpen(error);
    }
  }

  /** What was being removed, and records on their way to a version, are of no use to anybody after a restart. */
  async #clear(): Promise<void> {
    for (const name of await readdir(this.#paths.trash)) await removeTree(join(this.#paths.trash, name));
    for (const entry of await readdir(this.#paths.incoming, { withFileTypes: true })) {
      if (!entry.isDirectory()) await rm(join(this.#paths.incoming, entry.name), { force: true });
    }
    await this.#intake.clearLeft();
  }

  /** By source, model and number; of one number, the last pulled at the end. */
  versions(): StoredVersion[] {
    return this.#shelf.versions().sort(inOrder);
  }

  /** The version that fits; of several, the last pulled. */
  find(wanted: Wanted): StoredVersion | undefined {
    return this.#shelf.find(wanted);
  }

  /** Of all versions; what is on its way does not count. */
  bytes(): number {
    return this.#shelf.bytes;
  }

  /**
   * Brings a version here, or finds that it is here.
   * @throws Refusal when it is not what was promised; FAILED_PRECONDITION when it never can be; RESOURCE_EXHAUSTED when there
   * is no room; UNAVAILABLE and whatever else the source throws
   */
  async pull(source: Source, artifact: Artifact, hooks: PullHooks = {}): Promise<StoredVersion> {
    return this.#intake.pull(source, artifact, hooks);
  }

  /**
   * Removes versions that are not needed; their first digests are remembered.
   * @param keep digests of what must stay: serving, previous, aliased, pinned, in flight, approved
   * @param roomBytes for which there must be room afterwards
   */
  async collect(keep: ReadonlySet<string>, graceMs: number, roomBytes = 0): Promise<Collected> {
    const { keepVersions, storeBytesMax, now } = this.#options;
    const rules = { keep, graceMs, keepVersions, bytesMax: storeBytesMax - roomBytes, now: now() };
    const removed = unwanted(this.versions(), rules, this.#unmarkedSince);
    // A local folder may change its files under one number, so there is nothing to remember of it.
    const pinned = removed.filter(({ record }) => record.sourceType !== 'directory');
    const isRemembered = await this.#digests.remember(pinned).then(() => true, isFull);
    for (const version of removed) await this.#shelf.remove(version);
    // On a full disk the room must be made first.
    if (!isRemembered) await this.#digests.remember(pinned);
    await this.#intake.clearLeft();
    return { removed, bytes: bytesIn(removed) };
  }

  /** Gives up pulls under way and lets the next process in. */
  close(): Promise<void> {
    this.#closed ??= this.#intake.close().then(() => this.#lock.release());
    return this.#closed;
  }
}

async function madePaths(path: string): Promise<StorePaths> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const paths = new StorePaths(await realpath(path));
  await chmod(paths.root, 0o700);
  return paths;
}

function cannotOpen(error: unknown): never {
  throw diskFault(error, 'the store cannot be opened');
}

/** @throws any other error */
function isFull(error: unknown): false {
  if (error instanceof GatewayError && error.code === 'RESOURCE_EXHAUSTED') return false;
  throw error;
}

function inOrder(a: StoredVersion, b: StoredVersion): number {
  return (
    compare(a.source, b.source) ||
    compare(a.model, b.model) ||
    Number(a.version) - Number(b.version) ||
    a.record.pulledAt - b.record.pulledAt
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
