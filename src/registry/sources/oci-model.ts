/**
 * One model of an OCI source: the tags that are followed, where they pointed last, and the versions that this makes.
 *
 * A look costs one conditional HEAD for each tag. Only when a tag has moved, manifests are read and versions numbered anew.
 *
 * Must not know other models, or how bytes are fetched.
 */
import { GatewayError } from '../../core/errors.js';
import { noFacts, type SourceModel } from '../source.js';
import { type OciContent, readContent } from './oci-content.js';
import { isAlias, versionOfTag } from './oci-names.js';
import type { OciRegistry } from './oci-registry.js';
import { type NumberedTags, numberTags, type PointedTag, type VersionNumbers } from './oci-versions.js';

/**
 * Which tags of a repository are followed: one, several, those that aliases stand for, or the newest that are numbers.
 */
export type OciSelection = { readonly repository?: string } & (
  | { readonly tag: string }
  | { readonly tags: readonly string[] }
  | { readonly aliases: Readonly<Record<string, string>> }
  | { readonly latest: number }
);

export interface ModelOptions {
  readonly name: string;
  readonly repository: string;
  readonly selection: OciSelection;
  readonly registry: OciRegistry;
  readonly numbers: VersionNumbers;
}

export interface ModelLook {
  readonly model: SourceModel;
  readonly ignored: readonly string[];
}

/** Numbered tags that are compared with a digest at most, the highest first. */
const comparedMax = 64;

export class OciModel {
  readonly #options: ModelOptions;
  #digests: ReadonlyMap<string, string> = new Map();
  /** By digest; of the tags followed now. */
  #contents = new Map<string, OciContent>();
  #versions: ReadonlyMap<string, string> = new Map();
  #look: ModelLook;

  constructor(options: ModelOptions) {
    this.#options = options;
    this.#look = { model: { name: options.name, versions: [], aliases: {} }, ignored: [] };
  }

  get repository(): string {
    return this.#options.repository;
  }

  /** The same object as long as no tag has moved. */
  get last(): ModelLook {
    return this.#look;
  }

  digestOf(version: string): string | undefined {
    return this.#versions.get(version);
  }

  /** @throws what the registry throws; what is wrong with the content of one version is told when that is resolved */
  async look(signal: AbortSignal): Promise<ModelLook> {
    const { name, registry, repository, numbers } = this.#options;
    const tags = await this.#tags(signal);
    const digests = new Map<string, string>();
    for (const tag of tags) {
      const digest = await registry.digestOf(repository, tag, this.#digests.get(tag), signal);
      if (digest !== undefined) digests.set(tag, digest);
    }
    if (this.#digests.size > 0 && isSame(digests, this.#digests)) return this.#look;
    const pointed = await this.#pointed(digests, signal);
    const numbered = await numberTags(name, pointed, numbers);
    const missing = tags.filter((tag) => !digests.has(tag)).map((tag) => `${name}: there is no tag '${tag}'`);
    this.#digests = digests;
    this.#versions = numbered.versions;
    const current = new Set(digests.values());
    for (const digest of this.#contents.keys()) if (!current.has(digest)) this.#contents.delete(digest);
    this.#look = { model: this.#model(numbered), ignored: [...missing, ...numbered.ignored] };
    return this.#look;
  }

  /** @throws FAILED_PRECONDITION and Refusal saying what is wrong with it */
  async content(digest: string, signal: AbortSignal): Promise<OciContent> {
    const known = this.#contents.get(digest);
    if (known !== undefined) return known;
    const { registry, repository } = this.#options;
    return readContent({ registry, repository, digest }, signal);
  }

  async #tags(signal: AbortSignal): Promise<readonly string[]> {
    const { selection, registry, repository } = this.#options;
    if ('tag' in selection) return [selection.tag];
    if ('tags' in selection) return [...new Set(selection.tags)];
    if ('aliases' in selection) return [...new Set(Object.values(selection.aliases))];
    const byVersion = new Map<string, string>();
    for (const tag of numberedTags(await registry.tags(repository, signal))) {
      const version = versionOfTag(tag)!;
      if (!byVersion.has(version)) byVersion.set(version, tag);
    }
    return [...byVersion.values()].slice(0, selection.latest);
  }

  async #pointed(digests: ReadonlyMap<string, string>, signal: AbortSignal): Promise<PointedTag[]> {
    const pointed: PointedTag[] = [];
    for (const [tag, digest] of digests) {
      const content = await this.#readable(digest, signal);
      if (content !== undefined) this.#contents.set(digest, content);
      const written = content?.version;
      const needsTag = written === undefined && versionOfTag(tag) === undefined;
      const numberedBy = needsTag ? await this.#numberedBy(digest, signal) : undefined;
      pointed.push({ tag, digest, written, numberedBy });
    }
    return pointed;
  }

  /** What cannot be read is listed all the same, so that its reason is seen where versions are shown. */
  async #readable(digest: string, signal: AbortSignal): Promise<OciContent | undefined> {
    try {
      return await this.content(digest, signal);
    } catch (error) {
      if (error instanceof GatewayError && ['FAILED_PRECONDITION', 'NOT_FOUND'].includes(error.code)) return undefined;
      throw error;
    }
  }

  async #numberedBy(digest: string, signal: AbortSignal): Promise<string | undefined> {
    const { registry, repository } = this.#options;
    const tags = numberedTags(await registry.tags(repository, signal)).slice(0, comparedMax);
    for (const tag of tags) {
      if ((await registry.digestOf(repository, tag, digest, signal)) === digest) return versionOfTag(tag);
    }
    return undefined;
  }

  #model({ versions, versionOf }: NumberedTags): SourceModel {
    const { name, selection } = this.#options;
    const wanted =
      'aliases' in selection ? Object.entries(selection.aliases) : [...versionOf.keys()].map((tag) => [tag, tag]);
    const aliases: Record<string, string> = {};
    for (const [alias = '', tag = ''] of wanted) {
      const version = versionOf.get(tag);
      if (version !== undefined && isAlias(alias)) aliases[alias] = version;
    }
    const listed = [...versions].map(([version, revision]) => {
      const content = this.#contents.get(revision);
      return { version, revision, bytes: content?.bytes, facts: content?.facts ?? noFacts };
    });
    return { name, versions: listed.sort((a, b) => Number(a.version) - Number(b.version)), aliases };
  }
}

/** Descending by number. */
function numberedTags(tags: readonly string[]): readonly string[] {
  const numbered = tags.filter((tag) => versionOfTag(tag) !== undefined);
  return numbered.sort((a, b) => Number(versionOfTag(b)) - Number(versionOfTag(a)));
}

function isSame(one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): boolean {
  return one.size === other.size && [...one].every(([tag, digest]) => other.get(tag) === digest);
}
