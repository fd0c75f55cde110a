/**
 * A local folder as a source: a Triton tree, or one bare model.
 *
 * The bytes of a model are read only when they are pulled; a listing looks at names, sizes and times. A version counts as
 * complete when every file of its manifest has its size, or, without a manifest, when nothing in it has changed for the settle
 * time. What lies there at the first look is taken as it is: a start does not wait for clocks.
 *
 * Must not know the store, ONNX or what is served.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  read,
  readdirSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, join, sep } from 'node:path';
import { promisify } from 'node:util';
import { GatewayError } from '../../core/errors.js';
import { filesMax, isFilePath, isSignaturePath } from '../file-path.js';
import { manifestFileName, parseManifest } from '../manifest.js';
import {
  type Artifact,
  type ArtifactFile,
  type FileStream,
  type Listing,
  noFacts,
  type Source,
  type SourceModel,
  type SourceVersion,
} from '../source.js';
import { type ListedModel, type ListedVersion, listDirectory } from './directory.js';
import { Marks } from './marks.js';

export interface FolderOptions {
  readonly name: string;
  readonly path: string;
  /** Name of the model when the folder holds one bare model.onnx. */
  readonly bareName: string;
  /** A version without a manifest is taken when nothing in it has changed for so long. */
  readonly settleMs: number;
  /** Milliseconds since 1970, as the times of files are. */
  readonly epochNow: () => number;
}

interface SeenFile {
  readonly path: string;
  readonly place: string;
  readonly stats: Stats;
}

const readInto = promisify(read);
const { O_NONBLOCK, O_RDONLY } = constants;

const nestingMax = 32;
const besideBytesMax = 1024 * 1024;
const besideFilesMax = 16;
const readBytes = 1024 * 1024;
/** Versions looked at in one turn of the loop. */
const versionsAtOnce = 16;

export class FolderSource implements Source {
  readonly name: string;
  readonly type = 'directory';
  readonly #options: FolderOptions;
  #models: ReadonlyMap<string, ListedModel> = new Map();
  #given: string | undefined;
  /** The revision at which each version was found complete. */
  readonly #complete = new Map<string, string>();
  readonly #marks = new Marks();

  constructor(options: FolderOptions) {
    this.name = options.name;
    this.#options = options;
  }

  async list(): Promise<Listing | undefined> {
    if (await this.#marks.areSame()) return undefined;
    this.#marks.forget();
    const { path, bareName, epochNow } = this.#options;
    const startedAt = epochNow();
    const places = new Set<string>();
    const { models, ignored } = await listDirectory(path, bareName, (place) => places.add(place));
    this.#models = new Map(models.map((model) => [model.name, model]));
    const pairs = models.flatMap((model) => model.versions.map((version) => ({ model, version })));
    const seen = new Map<ListedVersion, SourceVersion>();
    for (const { model, version } of pairs) {
      seen.set(version, await this.#seen(model, version, places));
      if (seen.size % versionsAtOnce === 0) await new Promise(setImmediate);
    }
    const listing = { models: await Promise.all(models.map((model) => this.#listed(model, seen))), ignored };
    if (![...seen.values()].some(({ waiting }) => waiting !== undefined)) await this.#marks.remember(places, startedAt);
    const text = JSON.stringify(listing);
    if (text === this.#given) return undefined;
    this.#given = text;
    return listing;
  }

  async #listed(model: ListedModel, seen: ReadonlyMap<ListedVersion, SourceVersion>): Promise<SourceModel> {
    const { name, configFile } = model;
    const versions = model.versions.map((version) => seen.get(version)!);
    if (configFile === undefined) return { name, versions, aliases: {} };
    const text = await readFile(configFile, 'utf8').catch(() => '');
    return { name, versions, aliases: {}, config: { name: basename(configFile), text: text.slice(0, besideBytesMax) } };
  }

  async #seen(model: ListedModel, version: ListedVersion, places: Set<string>): Promise<SourceVersion> {
    const none: SourceVersion = { version: version.version, revision: '', bytes: undefined, facts: noFacts };
    try {
      const files = this.#files(model, version, places);
      const beside = this.#beside(model);
      for (const { place } of beside) places.add(place);
      const hash = createHash('sha256');
      for (const { path, stats } of [...files, ...beside])
        hash.update(`${path} ${stats.size} ${stats.mtimeMs} ${stats.ino}\n`);
      const bytes = files.find(({ path }) => path === version.file)?.stats.size;
      const found = { ...none, revision: hash.digest('hex').slice(0, 32), bytes };
      const key = `${model.name}@${version.version}`;
      if (this.#complete.get(key) === found.revision) return found;
      const waiting = await this.#waiting(files);
      if (waiting !== undefined) return { ...found, waiting };
      this.#complete.set(key, found.revision);
      return found;
    } catch (error) {
      return { ...none, revision: 'unreadable', waiting: `cannot be read: ${(error as Error).message}` };
    }
  }

  /** Why this version is not complete yet. */
  async #waiting(files: readonly SeenFile[]): Promise<string | undefined> {
    const manifest = files.find(({ path }) => path === manifestFileName);
    if (manifest !== undefined) {
      const { files: listed } = parseManifestOrNone(await readFile(manifest.place, 'utf8'));
      for (const { path, size } of listed) {
        const got = files.find((file) => file.path === path)?.stats.size;
        if (this.#given !== undefined && (got === undefined || got < size))
          return `waits for '${path}', which has ${got ?? 0} of ${size} bytes`;
      }
      return undefined;
    }
    if (this.#given === undefined) return undefined;
    const since = this.#options.epochNow() - Math.max(...files.map(({ stats }) => stats.ctimeMs));
    return since < this.#options.settleMs
      ? 'waits until its files have settled, because it has no manifest'
      : undefined;
  }

  /**
   * All files of a version, sorted by path.
   * @param places takes the paths that were looked at
   * @throws FAILED_PRECONDITION, UNAVAILABLE
   */
  #files(model: ListedModel, version: ListedVersion, places: Set<string>): SeenFile[] {
    const besides = model.directory === version.directory ? [basename(model.configFile ?? '')] : [];
    const root = realpathSync(this.#options.path);
    const files: SeenFile[] = [];
    const walk = (prefix: string, depth: number): void => {
      for (const entry of readdirSync(join(version.directory, prefix), { withFileTypes: true })) {
        const path = `${prefix}${entry.name}`;
        if (besides.includes(path)) continue;
        const place = join(version.directory, path);
        places.add(place);
        const target = entry.isSymbolicLink() ? realpathSync(place) : place;
        if (entry.isSymbolicLink() && !target.startsWith(root + sep))
          throw new GatewayError('FAILED_PRECONDITION', `'${path}' is a link that leads out of the models directory`);
        const stats = statSync(target);
        if (stats.isDirectory()) {
          if (depth === nestingMax)
            throw new GatewayError('FAILED_PRECONDITION', `directories are nested more than ${nestingMax} deep`);
          walk(`${path}/`, depth + 1);
        } else if (!stats.isFile())
          throw new GatewayError('FAILED_PRECONDITION', `'${path}' is a device, expected a plain file`);
        else if (!isFilePath(path))
          throw new GatewayError('FAILED_PRECONDITION', `'${path}' is not a path that a version may have`);
        else files.push({ path, place: target, stats });
        if (files.length > filesMax)
          throw new GatewayError('FAILED_PRECONDITION', `there are more than ${filesMax} files`);
      }
    };
    walk('', 1);
    return files.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** The configuration and what it may name: small files beside the versions. */
  #beside(model: ListedModel): SeenFile[] {
    if (model.configFile === undefined) return [];
    const found: SeenFile[] = [];
    for (const entry of readdirSync(model.directory, { withFileTypes: true })) {
      const place = join(model.directory, entry.name);
      if (!entry.isFile() && place !== model.configFile) continue;
      const stats = statSync(place);
      const isBare = model.versions[0]?.directory === model.directory;
      const isCounted =
        place === model.configFile || (!isBare && stats.size <= besideBytesMax && found.length < besideFilesMax);
      if (isCounted) found.push({ path: entry.name, place, stats });
    }
    return found;
  }

  /** @throws NOT_FOUND when the folder no longer has it */
  async resolve(modelName: string, versionText: string): Promise<Artifact> {
    const model = this.#models.get(modelName);
    const version = model?.versions.find((candidate) => candidate.version === versionText);
    if (model === undefined || version === undefined)
      throw new GatewayError('NOT_FOUND', `'${modelName}' version ${versionText} is no longer in its folder`);
    const places = new Set<string>();
    const all = this.#files(model, version, places).map(fileOf);
    return {
      model: modelName,
      version: versionText,
      revision: (await this.#seen(model, version, places)).revision,
      files: all.filter(({ path }) => !isSignaturePath(path)),
      signatures: all.filter(({ path }) => isSignaturePath(path)),
      config: await this.#config(model),
      facts: noFacts,
    };
  }

  async #config(model: ListedModel): Promise<Artifact['config']> {
    if (model.configFile === undefined) return undefined;
    const name = basename(model.configFile);
    const { size } = await stat(model.configFile);
    if (size > besideBytesMax)
      throw new GatewayError('FAILED_PRECONDITION', `${name} has ${size} bytes, expected at most ${besideBytesMax}`);
    const labels: Record<string, string> = {};
    for (const { path, place } of this.#beside(model)) if (path !== name) labels[path] = await readFile(place, 'utf8');
    return { name, text: await readFile(model.configFile, 'utf8'), labels };
  }

  async open(
    file: ArtifactFile,
    from: { readonly offset: number; readonly etag: string | undefined },
    signal: AbortSignal,
  ): Promise<FileStream> {
    const place = placeOf(file);
    const before = readable(file, () => statSync(place));
    const etag = etagOf(before);
    const offset = from.etag === etag ? from.offset : 0;
    // Opened when it is read: a stream that is turned away first must not leave anything open.
    async function* chunks(): AsyncIterable<Uint8Array> {
      const descriptor = readable(file, () => openSync(place, O_RDONLY | O_NONBLOCK));
      try {
        let at = offset;
        if (etagOf(fstatSync(descriptor)) !== etag)
          throw new GatewayError('UNAVAILABLE', `'${file.path}' changed while it was copied`);
        while (!signal.aborted && at < before.size) {
          // No larger than what is left: memory outside the heap counts towards the next collection of all of it.
          const room = Buffer.allocUnsafe(Math.min(readBytes, before.size - at));
          const { bytesRead, buffer } = await readInto(descriptor, room, 0, room.length, at);
          if (bytesRead === 0) break;
          at += bytesRead;
          yield buffer.subarray(0, bytesRead);
        }
        if (etagOf(fstatSync(descriptor)) !== etag)
          throw new GatewayError('UNAVAILABLE', `'${file.path}' changed while it was copied`);
      } finally {
        closeSync(descriptor);
      }
    }
    return { chunks: chunks(), offset, bytes: before.size, etag };
  }

  async close(): Promise<void> {}
}

/** @throws UNAVAILABLE */
function readable<T>({ path }: ArtifactFile, look: () => T): T {
  try {
    return look();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new GatewayError('UNAVAILABLE', `'${path}' cannot be read: ${code}`, { cause: error });
  }
}

/** Where a file of a folder lies. */
export function placeOf(file: ArtifactFile): string {
  return (file.locator as SeenFile).place;
}

function fileOf(seen: SeenFile): ArtifactFile {
  return { path: seen.path, bytes: seen.stats.size, sha256: undefined, locator: seen };
}

function etagOf({ size, mtimeMs, ino }: Stats): string {
  return `${size}-${mtimeMs}-${ino}`;
}

/** A manifest that cannot be parsed is for the admission to complain about; here it lists nothing. */
function parseManifestOrNone(text: string): { readonly files: readonly { path: string; size: number }[] } {
  try {
    return parseManifest(text);
  } catch {
    return { files: [] };
  }
}
