/**
 * versions/: what is complete. A version comes by one rename, its record is replaced by one rename, and it goes by one.
 * Nothing in it is ever opened for writing: a file that a process has mapped and that is truncated ends that process (SIGBUS).
 *
 * Must not know sources or pulls.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { lstat, readdir, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { recordFileName } from './digest.js';
import { absent, removeTree, sync, writeDurably } from './disk.js';
import { keyOf, type Offer, type StorePaths } from './paths.js';
import type { PullHooks } from './pull-hooks.js';
import { bytesIn, readRecord, recordText, type StoreRecord } from './record.js';

/** A version in the store. */
export interface StoredVersion extends Offer {
  readonly artifactSha256: string;
  readonly directory: string;
  readonly bytes: number;
  readonly record: StoreRecord;
}

/** What is asked for: anything left out fits. */
export interface Wanted extends Partial<Offer> {
  readonly artifactSha256?: string;
  readonly revision?: string;
}

/** Records read together at the start. */
const readsAtOnce = 32;

export class Shelf {
  readonly #paths: StorePaths;
  readonly #report: (message: string) => void;
  readonly #versions = new Map<string, StoredVersion>();
  /** The same by what they are offered as: nearly always one, several when a local author has replaced files. */
  readonly #byOffer = new Map<string, readonly StoredVersion[]>();
  #bytes = 0;

  constructor(paths: StorePaths, report: (message: string) => void) {
    this.#paths = paths;
    this.#report = report;
  }

  versions(): StoredVersion[] {
    return [...this.#versions.values()];
  }

  /** Of all versions. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The version that fits; of several, the last pulled. */
  find(wanted: Wanted): StoredVersion | undefined {
    const { source, model, version, artifactSha256, revision } = wanted;
    let found: StoredVersion | undefined;
    const isOffer = source !== undefined && model !== undefined && version !== undefined;
    const candidates = isOffer ? this.#offered({ source, model, version }) : this.#versions.values();
    for (const stored of candidates) {
      if (
        (model === undefined || stored.model === model) &&
        (version === undefined || stored.version === version) &&
        (source === undefined || stored.source === source) &&
        (artifactSha256 === undefined || stored.artifactSha256 === artifactSha256) &&
        (revision === undefined || stored.record.revision === revision) &&
        (found === undefined || stored.record.pulledAt >= found.record.pulledAt)
      ) {
        found = stored;
      }
    }
    return found;
  }

  #offered(offer: Offer): readonly StoredVersion[] {
    return this.#byOffer.get(keyOf(offer)) ?? [];
  }

  /** What lies in the place of this version. */
  at(offer: Offer, artifactSha256: string): StoredVersion | undefined {
    return this.#versions.get(this.#paths.version(offer, artifactSha256));
  }

  /** Reads all records. What is no version is removed and, unless nobody could miss it, reported. */
  async read(): Promise<void> {
    const found: { readonly offer: Offer; readonly directory: string }[] = [];
    for (const source of await directoriesIn(this.#paths.versions)) {
      for (const model of await directoriesIn(join(this.#paths.versions, source))) {
        const directory = join(this.#paths.versions, source, model);
        const names = await directoriesIn(directory);
        if (names.length === 0) await rmdir(directory).catch(() => {});
        for (const name of names) {
          found.push({ offer: { source, model, version: name.split('@')[0]! }, directory: join(directory, name) });
        }
      }
    }
    let next = 0;
    const work = async (): Promise<void> => {
      for (let at = next++; at < found.length; at = next++) await this.#take(found[at]!.offer, found[at]!.directory);
    };
    await Promise.all(Array.from({ length: readsAtOnce }, work));
  }

  async #take(offer: Offer, directory: string): Promise<void> {
    const record = await readRecord(directory);
    if (typeof record !== 'string' && this.#paths.version(record, record.artifactSha256) === directory) {
      // A process that died between the rename and this left it open.
      if (((await lstat(directory)).mode & 0o222) !== 0) chmodSync(directory, 0o555);
      this.#put(directory, record);
      return;
    }
    if (record !== 'ENOENT') {
      const reason = typeof record === 'string' ? record : 'it is that of another version';
      this.#report(
        `stored version ${offer.version} of model '${offer.model}' is removed, its record cannot be used: ${reason}`,
      );
    }
    await this.#discard(directory);
  }

  #put(directory: string, record: StoreRecord): StoredVersion {
    const { source, model, version, artifactSha256, files } = record;
    const stored = { source, model, version, artifactSha256, directory, bytes: bytesIn(files), record };
    this.#forget(directory);
    this.#versions.set(directory, stored);
    this.#byOffer.set(keyOf(stored), [...this.#offered(stored), stored]);
    this.#bytes += stored.bytes;
    return stored;
  }

  #forget(directory: string): void {
    const stored = this.#versions.get(directory);
    if (stored === undefined) return;
    this.#versions.delete(directory);
    const others = this.#offered(stored).filter((other) => other !== stored);
    if (others.length === 0) this.#byOffer.delete(keyOf(stored));
    else this.#byOffer.set(keyOf(stored), others);
    this.#bytes -= stored.bytes;
  }

  /** Writes the record into a tree that is complete, and brings all of it to the disk. @param sealed everything in it */
  async finish(tree: string, record: StoreRecord, sealed: readonly string[], { onStep }: PullHooks): Promise<void> {
    const path = join(tree, recordFileName);
    writeFileSync(path, recordText(record), { flag: 'wx', mode: 0o400 });
    chmodSync(path, 0o444);
    await onStep?.('recorded');
    // The directories of the place are made now, so that one round of syncs is for them as well.
    const place = dirname(this.#paths.version(record, record.artifactSha256));
    const made = mkdirSync(place, { recursive: true, mode: 0o700 });
    await sync([path, ...sealed, ...parentsOf(made, place)]);
    await onStep?.('synced');
  }

  /** Moves a finished tree to its place. */
  async add(tree: string, record: StoreRecord, { onStep }: PullHooks): Promise<StoredVersion> {
    const directory = this.#paths.version(record, record.artifactSha256);
    renameSync(tree, directory);
    await onStep?.('renamed');
    // Not before: to move a directory to another parent needs the right to write it.
    chmodSync(directory, 0o555);
    await sync([dirname(directory)]);
    return this.#put(directory, record);
  }

  /** The same bytes, of which the source now says something else. */
  async replaceRecord({ directory }: StoredVersion, record: StoreRecord): Promise<StoredVersion> {
    const next = join(this.#paths.incoming, `${randomUUID()}.record`);
    await writeDurably(next, recordText(record));
    chmodSync(next, 0o444);
    chmodSync(directory, 0o700);
    renameSync(next, join(directory, recordFileName));
    chmodSync(directory, 0o555);
    await sync([directory]);
    return this.#put(directory, record);
  }

  /** From now on nobody finds it; its bytes go while whoever has them open or mapped keeps them. */
  async remove({ directory }: StoredVersion): Promise<void> {
    this.#forget(directory);
    await this.#discard(directory);
  }

  async #discard(directory: string): Promise<void> {
    const trash = join(this.#paths.trash, randomUUID());
    chmodSync(directory, 0o700);
    renameSync(directory, trash);
    await removeTree(trash);
  }
}

/** Of the directories made on the way to `place`, those that they were made in. @param made the first of them */
function parentsOf(made: string | undefined, place: string): string[] {
  if (made === undefined) return [];
  const parents: string[] = [];
  for (let at = place; at !== dirname(made); at = dirname(at)) parents.push(dirname(at));
  return parents;
}

async function directoriesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(absent);
  return (entries ?? []).filter((entry) => entry.isDirectory()).map(({ name }) => name);
}
