/**
 * Lists the versions in a local folder, in one of two shapes:
 *
 *   <root>/model.onnx                                          one model, version 1
 *   <root>/<model>/[config.yaml|json|pbtxt], <N>/model.onnx    a Triton tree
 *
 * Only directories are read, never the bytes of a model, so a thousand models are listed in a fraction of a second. What is
 * passed over is reported, because a folder that silently does not appear is the commonest surprise of a first start.
 * A link must end inside the root. Places are read at once, some in each turn of the loop: a hop to a thread and back costs
 * several times what a directory does.
 *
 * Must not know ONNX, configurations or the store.
 */
import { type Dirent, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, join, sep } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import { isModelName, isVersionText } from '../../core/model.js';

export interface ListedVersion {
  readonly version: string;
  readonly directory: string;
  /** Name of the model file in `directory`: `model.onnx`, or the only other `*.onnx` there is. */
  readonly file: string;
}

export interface ListedModel {
  readonly name: string;
  readonly directory: string;
  /** Full path of the configuration that counts. */
  readonly configFile?: string;
  /** Ascending by number; at least one. */
  readonly versions: readonly ListedVersion[];
}

export interface DirectoryListing {
  /** Ascending by name. */
  readonly models: readonly ListedModel[];
  /** One sentence for each thing passed over, beginning with its place below the root. */
  readonly ignored: readonly string[];
}

const modelFileName = 'model.onnx';
/** In order of precedence. */
const configNames = ['config.yaml', 'config.yml', 'config.json', 'config.pbtxt'];
const modelsMax = 100_000;
const versionsMax = 10_000;
/** Places read in one turn of the loop: some milliseconds. */
const placesAtOnce = 64;

/**
 * @param bareName name of the model when the root itself holds model.onnx; without it the folder's own name
 * @param onPlace told every directory that was read and every link that was followed
 * @throws NOT_FOUND when there is no such directory; FAILED_PRECONDITION when it cannot be read
 */
export async function listDirectory(
  root: string,
  bareName?: string,
  onPlace: (place: string) => void = () => {},
): Promise<DirectoryListing> {
  onPlace(root);
  const tree = new Tree(rootOf(root), onPlace);
  return tree.bareModel(bareName) ?? (await tree.models());
}

function rootOf(root: string): string {
  try {
    const real = realpathSync(root);
    if (statSync(real).isDirectory()) return real;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') throw new GatewayError('NOT_FOUND', `models directory '${root}' does not exist`);
    throw new GatewayError('FAILED_PRECONDITION', `models directory '${root}' cannot be read: ${codeOf(error)}`);
  }
  throw new GatewayError('FAILED_PRECONDITION', `models directory '${root}' is not a directory`);
}

/** One listing under way. */
class Tree {
  readonly #root: string;
  readonly #onPlace: (place: string) => void;
  readonly #ignored: string[] = [];
  /** In this turn of the loop. */
  #reads = 0;

  constructor(root: string, onPlace: (place: string) => void) {
    this.#root = root;
    this.#onPlace = onPlace;
  }

  bareModel(bareName: string | undefined): DirectoryListing | undefined {
    const files = this.#entries(this.#root);
    if (!files.some((entry) => entry.name === modelFileName && !entry.isDirectory())) return undefined;
    const file = this.#modelFile(this.#root, files);
    if (file === undefined) return undefined;
    const name = bareName ?? basename(this.#root);
    if (!isModelName(name)) {
      throw new GatewayError(
        'FAILED_PRECONDITION',
        `'${name}' cannot be the name of the model in this directory: give --model-name`,
      );
    }
    const version = { version: '1', directory: this.#root, file };
    const configFile = this.#configFile(this.#root, files);
    return { models: [{ name, directory: this.#root, configFile, versions: [version] }], ignored: this.#ignored };
  }

  async models(): Promise<DirectoryListing> {
    const entries = this.#entries(this.#root).filter((entry) => !entry.name.startsWith('.'));
    if (entries.length > modelsMax) {
      throw new GatewayError(
        'FAILED_PRECONDITION',
        `the models directory has ${entries.length} entries, at most ${modelsMax} are listed`,
      );
    }
    const models: ListedModel[] = [];
    for (const entry of entries) {
      const model = await this.#model(entry);
      await this.#turn();
      if (model !== undefined) models.push(model);
    }
    models.sort((a, b) => (a.name < b.name ? -1 : 1));
    return { models, ignored: this.#ignored.sort() };
  }

  async #model(entry: Dirent): Promise<ListedModel | undefined> {
    const directory = this.#directory(this.#root, entry);
    if (directory === undefined) return undefined;
    const { name } = entry;
    if (!isModelName(name))
      return this.#ignore(join(this.#root, name), 'not a model name (1 to 128 letters, digits, . _ -)');
    const entries = this.#entries(directory);
    const versions: ListedVersion[] = [];
    for (const child of entries) {
      const version = this.#version(directory, child);
      if (version !== undefined) versions.push(version);
      await this.#turn();
      if (versions.length === versionsMax) {
        this.#ignore(directory, `more than ${versionsMax} versions, the rest is not listed`);
        break;
      }
    }
    if (versions.length === 0) return this.#ignore(directory, `no version directory with a ${modelFileName}`);
    versions.sort((a, b) => Number(a.version) - Number(b.version));
    return { name, directory, configFile: this.#configFile(directory, entries), versions };
  }

  async #turn(): Promise<void> {
    if (this.#reads < placesAtOnce) return;
    this.#reads = 0;
    await new Promise(setImmediate);
  }

  #version(model: string, entry: Dirent): ListedVersion | undefined {
    if (entry.isFile()) return undefined;
    const directory = this.#directory(model, entry);
    if (directory === undefined) return undefined;
    if (!isVersionText(entry.name)) {
      return this.#ignore(join(model, entry.name), 'not a version number (digits, not starting with 0)');
    }
    const file = this.#modelFile(directory, this.#entries(directory));
    if (file === undefined) return this.#ignore(join(model, entry.name), `no ${modelFileName}`);
    return { version: entry.name, directory, file };
  }

  /** The real directory that `entry` is or points to. */
  #directory(parent: string, entry: Dirent): string | undefined {
    const path = join(parent, entry.name);
    if (entry.isDirectory()) return path;
    if (!entry.isSymbolicLink()) return undefined;
    const target = this.#target(path);
    return target?.stats.isDirectory() ? target.path : undefined;
  }

  #modelFile(directory: string, entries: readonly Dirent[]): string | undefined {
    const named = entries.filter((entry) => entry.name.endsWith('.onnx') && !entry.isDirectory());
    const entry =
      named.find((candidate) => candidate.name === modelFileName) ?? (named.length === 1 ? named[0] : undefined);
    if (entry === undefined) return undefined;
    return this.#isFile(directory, entry) ? entry.name : undefined;
  }

  #configFile(directory: string, entries: readonly Dirent[]): string | undefined {
    let found: string | undefined;
    for (const name of configNames) {
      const entry = entries.find((candidate) => candidate.name === name);
      if (entry === undefined || !this.#isFile(directory, entry)) continue;
      if (found === undefined) found = join(directory, name);
      else this.#ignore(join(directory, name), `${basename(found)} counts instead`);
    }
    return found;
  }

  #isFile(directory: string, entry: Dirent): boolean {
    if (!entry.isSymbolicLink()) return entry.isFile();
    const target = this.#target(join(directory, entry.name));
    return target?.stats.isFile() === true;
  }

  /** Where a link ends, if that is inside the root. */
  #target(link: string): { path: string; stats: Stats } | undefined {
    this.#onPlace(link);
    try {
      const path = realpathSync(link);
      if (path.startsWith(this.#root.endsWith(sep) ? this.#root : this.#root + sep))
        return { path, stats: statSync(path) };
      return this.#ignore(link, 'a link that leads out of the models directory');
    } catch (error) {
      return this.#ignore(link, `a link that leads nowhere (${codeOf(error)})`);
    }
  }

  #entries(directory: string): Dirent[] {
    this.#onPlace(directory);
    this.#reads++;
    try {
      return readdirSync(directory, { withFileTypes: true });
    } catch (error) {
      this.#ignore(directory, `cannot be read (${codeOf(error)})`);
      return [];
    }
  }

  #ignore(path: string, reason: string): undefined {
    this.#ignored.push(`${path.slice(this.#root.length + 1) || '.'}: ${reason}`);
    return undefined;
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown error';
}
