/**
 * Versions in a bucket: named by an index object, or lying there as a Triton tree.
 *
 * The index is preferred: one small object costs one request a poll, a listing one for every thousand keys. Once an index
 * has been seen it is not done without any more, or deleting it would be a way around its signature and its serial.
 *
 * An ETag tells that an object has changed and nothing else. Every read is conditional on the ETag of the listing, so a
 * version is never put together from two states of the bucket.
 *
 * Must not know the store or how signatures are verified.
 */
import { GatewayError } from '../../core/errors.js';
import { isFilePath, isSignaturePath } from '../file-path.js';
import { type FileList, listNameOf, parseList } from '../listed-files.js';
import type { Answer } from '../net/http.js';
import { openRange } from '../net/ranged.js';
import { bytesOf, documentBytesMax, textOf } from '../net/text.js';
import { Refusal } from '../refusal.js';
import { type Artifact, type ArtifactFile, type Listing, noFacts, type Source } from '../source.js';
import { shown } from './index-document.js';
import { IndexReader, type SerialMemory, type VerifyIndex } from './index-reader.js';
import { prefixOf, S3Bucket, type S3BucketOptions } from './s3-bucket.js';
import { configOf, Settling, type Tree, type TreeFile, type TreeModel, treeOf } from './s3-tree.js';

export interface S3Options extends S3BucketOptions {
  readonly verifyIndex?: VerifyIndex | undefined;
  readonly lastSerial: SerialMemory;
  /** Only these models; undefined = all. */
  readonly models?: readonly string[] | undefined;
  /** How long a version without a list of its files must look the same. */
  readonly settleMs: number;
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
}

interface Place {
  readonly url: URL;
  /** As listed; undefined when an index names the file. */
  readonly etag: string | undefined;
}

const indexName = 'index.json';
const besideBytesMax = 1024 * 1024;
const besideFilesMax = 16;
/** Files without a digest that are asked for one, one request each. */
const digestsMax = 256;

export function createS3Source(options: S3Options): Source {
  return new S3Source(options);
}

class S3Source implements Source {
  readonly name: string;
  readonly type = 's3';
  readonly #options: S3Options;
  readonly #bucket: S3Bucket;
  readonly #prefix: string;
  readonly #reader: IndexReader;
  readonly #settling: Settling;
  /** Decided by the first answer, for good when it is an index. */
  #isIndexed = false;
  #tree: Tree | undefined;
  #given: string | undefined;

  constructor(options: S3Options) {
    this.name = options.name;
    this.#options = options;
    this.#bucket = new S3Bucket(options);
    this.#prefix = prefixOf(options);
    this.#settling = new Settling(options.settleMs);
    const index = this.#bucket.urlOf(`${this.#prefix}${indexName}`);
    this.#reader = new IndexReader({
      ...options,
      fetch: async (etag, signal) => {
        const answer = await this.#bucket.ask(index, {
          headers: etag === undefined ? {} : { 'if-none-match': etag },
          signal,
        });
        if (answer.status === 304 && etag !== undefined) return undefined;
        if (answer.status !== 200) throw await this.#bucket.refusal(answer, `${this.name}: index`);
        this.#isIndexed = true;
        return { bytes: await bytesOf(answer, documentBytesMax), etag: answer.headers.etag };
      },
      fetchSignature: (signal) => this.#optional(this.#bucket.urlOf(`${this.#prefix}${indexName}.sig`), signal),
    });
  }

  async list(signal: AbortSignal): Promise<Listing | undefined> {
    try {
      return await this.#reader.list(signal);
    } catch (error) {
      if (!(await this.#mayBeTree(error))) throw error;
    }
    const tree = await this.#look(signal);
    const { models: wanted, now } = this.#options;
    const models = this.#settling
      .listed(tree, now())
      .filter(({ name }) => wanted === undefined || wanted.includes(name));
    const listing = { models, ignored: tree.ignored };
    const text = JSON.stringify(listing);
    if (text === this.#given) return undefined;
    this.#given = text;
    return listing;
  }

  async #look(signal: AbortSignal): Promise<Tree> {
    this.#tree = treeOf(await this.#bucket.list(this.#prefix, signal), this.#prefix);
    return this.#tree;
  }

  /** Whether this is the absence of an index that nobody has asked for. */
  async #mayBeTree(error: unknown): Promise<boolean> {
    if (!(error instanceof GatewayError) || error.code !== 'NOT_FOUND') return false;
    const { verifyIndex, lastSerial } = this.#options;
    return !this.#isIndexed && verifyIndex === undefined && (await lastSerial.get()) === undefined;
  }

  async resolve(model: string, version: string, signal: AbortSignal): Promise<Artifact> {
    const id = { model, version };
    if (this.#tree !== undefined && !this.#isIndexed) return this.#resolveIn(this.#tree, id, signal);
    try {
      return this.#placed(await this.#reader.resolve(id, (relative) => this.#inBucket(relative), signal));
    } catch (error) {
      if (!(await this.#mayBeTree(error))) throw error;
    }
    return this.#resolveIn(await this.#look(signal), id, signal);
  }

  async #resolveIn(
    { models }: Tree,
    { model, version }: { readonly model: string; readonly version: string },
    signal: AbortSignal,
  ): Promise<Artifact> {
    const entry = models.get(model);
    const found = entry?.versions.get(version);
    if (entry === undefined || found === undefined) {
      throw new GatewayError('NOT_FOUND', `model '${model}' version ${version} is not in the bucket`);
    }
    const what = `model '${model}' version ${version}`;
    const list = await this.#listIn(found.files, what, signal);
    const files = await this.#digested(
      found.files.map((file) => fileOf(file, this.#bucket.urlOf(file.key), what)),
      list,
      signal,
    );
    return {
      ...{ model, version, revision: found.revision, facts: noFacts },
      files: files.filter(({ path }) => !isSignaturePath(path)),
      signatures: files.filter(({ path }) => isSignaturePath(path)),
      config: await this.#config(entry, signal),
    };
  }

  /** The index states URLs; each becomes a place without an ETag. */
  #placed(artifact: Artifact): Artifact {
    const placed = (file: ArtifactFile): ArtifactFile => {
      const place: Place = { url: file.locator as URL, etag: undefined };
      return { ...file, locator: place };
    };
    return { ...artifact, files: artifact.files.map(placed), signatures: artifact.signatures.map(placed) };
  }

  #inBucket(relative: string): URL {
    const index = this.#bucket.urlOf(`${this.#prefix}${indexName}`);
    const url = URL.canParse(relative, index.href) ? new URL(relative, index) : undefined;
    if (url !== undefined && this.#bucket.has(url)) return url;
    throw new Refusal('address', `${this.name}: the index names a place outside of its bucket`);
  }

  /** What the version says of its own files, and whether they are all there. @throws UNAVAILABLE while they are not */
  async #listIn(files: readonly TreeFile[], what: string, signal: AbortSignal): Promise<FileList | undefined> {
    const name = listNameOf(files.map(({ path }) => path));
    const file = files.find(({ path }) => path === name);
    if (name === undefined || file === undefined) return undefined;
    const list = parseList(name, await textOf(await this.#object(file, signal), documentBytesMax));
    for (const [path, { bytes }] of list.files) {
      const got = files.find((candidate) => candidate.path === path)?.bytes;
      if (got === undefined || (bytes !== undefined && got !== bytes)) {
        const text = `${what}: '${path}' has ${got ?? 'no'} of ${bytes ?? 'its'} bytes that ${name} lists`;
        throw new GatewayError('UNAVAILABLE', text);
      }
    }
    return list;
  }

  /** Digests from the version's own list, or as the store of objects has them from the upload. */
  async #digested(
    files: readonly ArtifactFile[],
    list: FileList | undefined,
    signal: AbortSignal,
  ): Promise<ArtifactFile[]> {
    const digested: ArtifactFile[] = [];
    let asked = 0;
    for (const file of files) {
      let sha256 = list?.files.get(file.path)?.sha256;
      if (list === undefined && asked++ < digestsMax) sha256 = await this.#uploadedSha256(file, signal);
      digested.push({ ...file, sha256 });
    }
    return digested;
  }

  async #uploadedSha256(file: ArtifactFile, signal: AbortSignal): Promise<string | undefined> {
    const { url, etag } = file.locator as Place;
    const headers = { 'x-amz-checksum-mode': 'ENABLED', 'if-match': etag! };
    const answer = await this.#bucket.ask(url, { method: 'HEAD', headers, signal });
    if (answer.status !== 200) throw await this.#bucket.refusal(answer, `${this.name}: ${file.path}`);
    answer.dispose();
    // That of an upload in parts is a digest of digests and ends in `-<parts>`.
    const text = answer.headers['x-amz-checksum-sha256'] ?? '';
    return /^[A-Za-z0-9+/]{43}=$/.test(text) ? Buffer.from(text, 'base64').toString('hex') : undefined;
  }

  async #config(model: TreeModel, signal: AbortSignal): Promise<Artifact['config']> {
    const file = configOf(model);
    if (file === undefined) return undefined;
    const labels: Record<string, string> = {};
    const others = model.beside.filter((other) => other !== file && other.bytes <= besideBytesMax);
    for (const other of others.slice(0, besideFilesMax)) {
      // Whether it is a label file at all only the configuration knows, so a picture is no fault here.
      labels[other.path] = (await bytesOf(await this.#object(other, signal), besideBytesMax)).toString();
    }
    return { name: file.path, text: await textOf(await this.#object(file, signal), besideBytesMax), labels };
  }

  async #object({ key, etag, path }: TreeFile, signal: AbortSignal): Promise<Answer> {
    const answer = await this.#bucket.ask(this.#bucket.urlOf(key), { headers: { 'if-match': etag }, signal });
    if (answer.status !== 200) throw await this.#bucket.refusal(answer, `${this.name}: ${path}`);
    return answer;
  }

  async #optional(url: URL, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const answer = await this.#bucket.ask(url, { signal });
    if (answer.status === 200) return bytesOf(answer, besideBytesMax);
    const refusal = await this.#bucket.refusal(answer, `${this.name}: signature of the index`);
    if (refusal.code === 'NOT_FOUND') return undefined;
    throw refusal;
  }

  open: Source['open'] = (file, from, signal) => {
    const { url, etag } = file.locator as Place;
    // What came with another ETag belongs to another object.
    const start = etag !== undefined && from.etag !== etag ? { offset: 0, etag: undefined } : from;
    const condition = etag ?? start.etag;
    const ask = (range: string | undefined): Promise<Answer> =>
      this.#bucket.ask(url, {
        headers: {
          ...(condition === undefined ? {} : { 'if-match': condition }),
          ...(range === undefined ? {} : { range }),
        },
        signal,
      });
    const refuse = (answer: Answer, what: string) => this.#bucket.refusal(answer, what);
    return openRange(start, ask, `${this.name}: ${file.path}`, refuse);
  };

  async close(): Promise<void> {
    this.#options.http.close();
  }
}

function fileOf({ path, bytes, etag }: TreeFile, url: URL, what: string): ArtifactFile {
  if (!isFilePath(path)) throw new Refusal('traversal', `${what}: '${shown(path)}' is not a path inside a version`);
  const place: Place = { url, etag };
  return { path, bytes, sha256: undefined, locator: place };
}
