/**
 * Models in an OCI registry: a tag is an alias, the digest it points to is the revision, layers are the files.
 *
 *   list ─▶ HEAD of every tag (304 as a rule)     resolve ─▶ manifest ─▶ layers that are files     open ─▶ blob
 *
 * Must not know the store, the states of versions or routes.
 */
import { isIP } from 'node:net';
import { GatewayError } from '../../core/errors.js';
import { isModelName } from '../../core/model.js';
import { judge } from '../net/addresses.js';
import type { Credentials } from '../net/credentials.js';
import type { Http } from '../net/http.js';
import type { Artifact, ArtifactFile, FileStream, Listing, Source } from '../source.js';
import { configOf } from './oci-config.js';
import { OciModel, type OciSelection } from './oci-model.js';
import { checkedRepository, isAlias, isTag } from './oci-names.js';
import { type BlobPlace, OciRegistry } from './oci-registry.js';
import { type InlineFile, signaturesOf } from './oci-signatures.js';
import type { VersionNumbers } from './oci-versions.js';

export interface OciSourceOptions {
  readonly name: string;
  /** `oci://host[:port]/prefix`. */
  readonly url: URL;
  /** Plain http. A loopback address is asked by it anyway, as other clients of such registries do. */
  readonly allowHttp: boolean;
  readonly models: Readonly<Record<string, OciSelection>>;
  readonly http: Http;
  readonly credentials: Credentials;
  /** `name` or `name:port` of token servers that may see the credentials. */
  readonly allowRealms: readonly string[];
  readonly numbers: VersionNumbers;
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
}

/** Models looked at together. */
const modelsAtOnce = 8;

/** @throws FAILED_PRECONDITION when a name in the options cannot be one */
export function createOciSource(options: OciSourceOptions): Source {
  return new OciSource(options);
}

class OciSource implements Source {
  readonly name: string;
  readonly type = 'oci';
  readonly #http: Http;
  readonly #registry: OciRegistry;
  readonly #models: ReadonlyMap<string, OciModel>;
  #given: Listing | undefined;

  constructor(options: OciSourceOptions) {
    const { name, url, http } = options;
    this.name = name;
    this.#http = http;
    const scheme = options.allowHttp || isLoopback(url.hostname) ? 'http' : 'https';
    const origin = new URL(`${scheme}://${url.host}`);
    this.#registry = new OciRegistry({ ...options, registry: origin });
    const entries = Object.entries(options.models).sort(([a], [b]) => (a < b ? -1 : 1));
    this.#models = new Map(entries.map(([model, selection]) => [model, this.#model(model, selection, options)]));
  }

  async list(signal: AbortSignal): Promise<Listing | undefined> {
    const listing = await this.#look(signal);
    if (this.#given !== undefined && isSame(listing, this.#given)) return undefined;
    this.#given = listing;
    return listing;
  }

  async resolve(model: string, version: string, signal: AbortSignal): Promise<Artifact> {
    const known = this.#models.get(model);
    if (known === undefined) throw new GatewayError('NOT_FOUND', `source '${this.name}' has no model '${model}'`);
    const revision = known.digestOf(version) ?? (await this.#revisionOf(known, version, signal));
    const content = await known.content(revision, signal);
    const { repository } = known;
    const digests = new Set([revision, content.manifestDigest]);
    const attached = await signaturesOf(this.#registry, repository, digests, signal);
    return {
      model,
      version,
      revision,
      files: content.files,
      signatures: [...content.signatures, ...attached],
      manifests: [...digests],
      config: await configOf(content.files, (file) => this.#text(file, signal)),
      facts: content.facts,
    };
  }

  async open(
    file: ArtifactFile,
    from: { readonly offset: number; readonly etag: string | undefined },
    signal: AbortSignal,
  ): Promise<FileStream> {
    const place = file.locator as BlobPlace | InlineFile;
    if ('inline' in place) return inlineStream(place.inline);
    const isSameBlob = from.etag === `"${place.digest}"`;
    return this.#registry.open(place, isSameBlob ? from.offset : 0, signal);
  }

  async close(): Promise<void> {
    this.#http.close();
  }

  #model(model: string, selection: OciSelection, { url, numbers }: OciSourceOptions): OciModel {
    if (!isModelName(model)) throw new GatewayError('FAILED_PRECONDITION', `'${model}' is not the name of a model`);
    const prefix = url.pathname.replace(/^\/+|\/+$/g, '');
    const repository = checkedRepository(selection.repository ?? (prefix === '' ? model : `${prefix}/${model}`));
    checkSelection(model, selection);
    return new OciModel({ name: model, repository, selection, registry: this.#registry, numbers });
  }

  /** What cannot be looked at keeps its last state, unless that is so with every model: then the source is down. */
  async #look(signal: AbortSignal): Promise<Listing> {
    const waiting = [...this.#models.values()];
    const faults: GatewayError[] = [];
    const walk = async (): Promise<void> => {
      for (let model = waiting.shift(); model !== undefined; model = waiting.shift()) {
        try {
          await model.look(signal);
        } catch (error) {
          if (!(error instanceof GatewayError) || error.code === 'UNAVAILABLE') throw error;
          faults.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: modelsAtOnce }, walk));
    if (faults.length > 0 && faults.length === this.#models.size) throw faults[0];
    const looks = [...this.#models.values()].map(({ last }) => last);
    return {
      models: looks.map(({ model }) => model),
      ignored: [...looks.flatMap(({ ignored }) => ignored), ...faults.map(({ message }) => message).sort()],
    };
  }

  /** A version that was not listed yet, or is asked for by a tag that is its number. */
  async #revisionOf(model: OciModel, version: string, signal: AbortSignal): Promise<string> {
    await model.look(signal);
    const revision =
      model.digestOf(version) ?? (await this.#registry.digestOf(model.repository, version, undefined, signal));
    if (revision !== undefined) return revision;
    throw new GatewayError('NOT_FOUND', `source '${this.name}' has no version ${version} in ${model.repository}`);
  }

  async #text(file: ArtifactFile, signal: AbortSignal): Promise<string> {
    return (await this.#registry.blob(file.locator as BlobPlace, Number.MAX_SAFE_INTEGER, signal)).toString();
  }
}

function checkSelection(model: string, selection: OciSelection): void {
  if ('latest' in selection) {
    if (Number.isSafeInteger(selection.latest) && selection.latest > 0) return;
    throw new GatewayError('FAILED_PRECONDITION', `${model}: latest is ${selection.latest}, expected 1 or more`);
  }
  const tags =
    'tag' in selection ? [selection.tag] : Object.values('tags' in selection ? selection.tags : selection.aliases);
  const odd = tags.find((tag) => !isTag(tag));
  if (odd !== undefined) throw new GatewayError('FAILED_PRECONDITION', `${model}: '${odd}' is not a tag`);
  const alias = Object.keys('aliases' in selection ? selection.aliases : {}).find((name) => !isAlias(name));
  if (alias !== undefined) throw new GatewayError('FAILED_PRECONDITION', `${model}: '${alias}' is not an alias`);
}

function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0) return judge(host).kind === 'loopback';
  return host === 'localhost' || host.endsWith('.localhost');
}

function isSame(one: Listing, other: Listing): boolean {
  return (
    one.models.every((model, index) => model === other.models[index]) &&
    one.ignored.join('\n') === other.ignored.join('\n')
  );
}

function inlineStream(bytes: Buffer): FileStream {
  async function* chunks() {
    yield bytes;
  }
  return { chunks: chunks(), offset: 0, bytes: bytes.length, etag: undefined };
}
