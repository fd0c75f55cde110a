/**
 * The pull side of the OCI distribution protocol, for one registry.
 *
 *   HEAD manifests/<tag> ─▶ digest, or 304      GET manifests/<digest>, blobs/<digest> ─▶ bytes that have this digest
 *
 * Whatever is read whole here is hashed here; nothing that a header says is taken for true. A blob that is streamed has its
 * length held to its descriptor, and is hashed by whoever takes it.
 *
 * Must not know what manifests and blobs contain.
 */
import { createHash } from 'node:crypto';
import { GatewayError } from '../../core/errors.js';
import type { Answer, Http } from '../net/http.js';
import { bytesOf, documentBytesMax, jsonOf } from '../net/text.js';
import { Refusal } from '../refusal.js';
import type { FileStream } from '../source.js';
import { OciAuth, type OciAuthOptions } from './oci-auth.js';
import { indexType, manifestType, type OciDocument, parseDocument } from './oci-manifest.js';
import { isDigest, isTag } from './oci-names.js';

/** Where bytes are, how many, and what they hash to. */
export interface BlobPlace {
  readonly repository: string;
  readonly digest: string;
  readonly size: number;
}

interface Wanted {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

const documents = { accept: `${manifestType}, ${indexType}` };
const tagsMax = 100_000;
const tagPagesMax = 1000;
const challengesMax = 2;

export class OciRegistry {
  readonly #http: Http;
  readonly #origin: URL;
  readonly #auth: OciAuth;

  constructor(options: OciAuthOptions) {
    this.#http = options.http;
    this.#origin = options.registry;
    this.#auth = new OciAuth(options);
  }

  /**
   * What a tag points to.
   * @param known the digest it had last time
   * @returns undefined when there is no such tag
   */
  async digestOf(
    repository: string,
    tag: string,
    known: string | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const headers = known === undefined ? documents : { ...documents, 'if-none-match': `"${known}"` };
    const answer = await this.#ask(repository, `manifests/${tag}`, { method: 'HEAD', headers, signal });
    answer.dispose();
    if (answer.status === 304 && known !== undefined) return known;
    if (answer.status === 404) return undefined;
    const digest = answer.headers['docker-content-digest'];
    // Where HEAD is not offered, or says nothing, the bytes do.
    if (answer.status === 405 || (answer.status === 200 && digest === undefined)) {
      return (await this.document(repository, tag, signal))?.digest;
    }
    if (answer.status !== 200) throw this.#refused(answer, `${repository}:${tag}`);
    if (digest !== undefined && isDigest(digest)) return digest;
    throw this.#wrong(`${repository}:${tag}`, `its digest '${digest?.slice(0, 100)}' is not a sha256`);
  }

  /**
   * A manifest or index.
   * @param reference a tag or a digest
   * @returns undefined when there is none
   */
  async document(
    repository: string,
    reference: string,
    signal: AbortSignal,
  ): Promise<{ readonly digest: string; readonly document: OciDocument } | undefined> {
    const where = `${repository}${isDigest(reference) ? '@' : ':'}${reference}`;
    const answer = await this.#ask(repository, `manifests/${reference}`, { headers: documents, signal });
    if (answer.status !== 200) {
      answer.dispose();
      if (answer.status === 404) return undefined;
      throw this.#refused(answer, where);
    }
    const bytes = await bytesOf(answer, documentBytesMax);
    const digest = digestOf(bytes);
    const stated = answer.headers['docker-content-digest'] ?? digest;
    for (const expected of isDigest(reference) ? [reference, stated] : [stated]) {
      if (digest !== expected) throw mismatch(`${this.#origin.host}/${where}`, digest, expected);
    }
    const contentType = answer.headers['content-type'] ?? '';
    return { digest, document: parseDocument(bytes, contentType, `${this.#origin.host}/${where}`) };
  }

  /** A small blob, whole. */
  async blob(place: BlobPlace, bytesMax: number, signal: AbortSignal): Promise<Buffer> {
    const where = `${place.repository}@${place.digest}`;
    if (place.size > bytesMax) throw this.#wrong(where, `it has ${place.size} bytes, at most ${bytesMax} are read`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of (await this.open(place, 0, signal)).chunks) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    if (digestOf(bytes) !== place.digest) {
      throw mismatch(`${this.#origin.host}/${where}`, digestOf(bytes), place.digest);
    }
    return bytes;
  }

  /** A blob from `offset` on; from its beginning when the server gives only the whole. */
  async open(place: BlobPlace, offset: number, signal: AbortSignal): Promise<FileStream> {
    const { repository, digest, size } = place;
    const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const answer = await this.#ask(repository, `blobs/${digest}`, { headers, signal });
    if (answer.status === 416 && offset > 0) {
      answer.dispose();
      return this.open(place, 0, signal);
    }
    const isPart = answer.status === 206 && offset > 0;
    if (answer.status !== 200 && !isPart) {
      answer.dispose();
      throw this.#refused(answer, `${repository}@${digest}`);
    }
    const from = isPart ? offset : 0;
    const where = `${this.#origin.host}/${repository}@${digest}`;
    const fault = isPart ? rangeFault(answer, offset, size) : lengthFault(answer, size);
    if (fault !== undefined) {
      answer.dispose();
      throw new Refusal('digest_mismatch', `${where}: ${fault}`);
    }
    // What has this digest is the same for ever, so the digest is proof enough that it can be resumed.
    return { chunks: held(answer, { from, size, where }), offset: from, bytes: size, etag: `"${digest}"` };
  }

  /** @returns none when the registry does not list them */
  async tags(repository: string, signal: AbortSignal): Promise<readonly string[]> {
    const tags: string[] = [];
    const seen = new Set<string>();
    let url: URL | undefined = this.#url(repository, 'tags/list?n=1000');
    while (url !== undefined && !seen.has(url.href) && seen.size < tagPagesMax) {
      seen.add(url.href);
      const answer: Answer = await this.#askUrl(repository, url, { headers: { accept: 'application/json' }, signal });
      if (answer.status !== 200) {
        answer.dispose();
        if ([403, 404, 405].includes(answer.status)) return [];
        throw this.#refused(answer, repository);
      }
      const page = (await jsonOf(answer, documentBytesMax)) as { readonly tags?: unknown } | null;
      const listed: readonly unknown[] = Array.isArray(page?.tags) ? page.tags : [];
      for (const tag of listed) if (typeof tag === 'string' && isTag(tag)) tags.push(tag);
      if (tags.length > tagsMax) throw this.#wrong(repository, `it has more than ${tagsMax} tags`);
      url = this.#next(repository, url, answer.headers.link);
    }
    return tags;
  }

  /** What was attached to a manifest; undefined when the registry does not know referrers. */
  async referrers(repository: string, digest: string, signal: AbortSignal): Promise<OciDocument | undefined> {
    const headers = { accept: indexType };
    const answer = await this.#ask(repository, `referrers/${digest}`, { headers, signal });
    if (answer.status !== 200) {
      answer.dispose();
      return undefined;
    }
    const where = `${this.#origin.host}/${repository}: referrers of ${digest}`;
    return parseDocument(await bytesOf(answer, documentBytesMax), answer.headers['content-type'] ?? '', where);
  }

  /** Only on the same host: a list of names needs no other, and the credentials go along. */
  #next(repository: string, from: URL, link: string | undefined): URL | undefined {
    const place = /<([^>]{1,2048})>\s*;[^,]*\brel="?next\b/i.exec(link ?? '')?.[1];
    if (place === undefined || !URL.canParse(place, from.href)) return undefined;
    const next = new URL(place, from);
    if (next.origin === this.#origin.origin) return next;
    throw new Refusal('redirect', `${this.#origin.host}/${repository}: its tags continue on ${next.host}`);
  }

  #url(repository: string, path: string): URL {
    return new URL(`/v2/${repository}/${path}`, this.#origin);
  }

  #ask(repository: string, path: string, wanted: Wanted): Promise<Answer> {
    return this.#askUrl(repository, this.#url(repository, path), wanted);
  }

  /** Asks, and answers challenges: one for what is not known yet, one for a token that has just expired. */
  async #askUrl(repository: string, url: URL, { method = 'GET', headers = {}, signal }: Wanted): Promise<Answer> {
    let sent = await this.#auth.headerFor(repository);
    for (let challenges = 0; ; challenges++) {
      const authorization: Record<string, string> = sent === undefined ? {} : { authorization: sent };
      const answer = await this.#http.ask({ url, method, headers: { ...headers, ...authorization }, signal });
      if (answer.status !== 401) return answer;
      answer.dispose();
      if (challenges === challengesMax) throw this.#refused(answer, repository);
      const challenge = answer.headers['www-authenticate'];
      sent = await this.#auth.headerAfter(repository, { challenge, sent }, signal);
    }
  }

  #refused({ status }: Answer, what: string): GatewayError {
    const { host } = this.#origin;
    if (status === 401) return new GatewayError('UNAUTHENTICATED', `${host} refuses the credentials for ${what}`);
    if (status === 403) return new GatewayError('PERMISSION_DENIED', `${host} does not allow to pull ${what}`);
    if (status === 404) return new GatewayError('NOT_FOUND', `${host} does not have ${what}`);
    return new GatewayError('FAILED_PRECONDITION', `${host} answers ${status} for ${what}`);
  }

  #wrong(what: string, reason: string): GatewayError {
    return new GatewayError('FAILED_PRECONDITION', `${this.#origin.host}/${what}: ${reason}`);
  }
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function mismatch(where: string, got: string, expected: string): Refusal {
  return new Refusal('digest_mismatch', `${where}: its digest is ${got}, expected ${expected}`);
}

function lengthFault({ headers }: Answer, size: number): string | undefined {
  const length = headers['content-length'];
  if (length === undefined || Number(length) === size) return undefined;
  return `${length} bytes come, expected ${size}`;
}

function rangeFault({ headers }: Answer, offset: number, size: number): string | undefined {
  const range = headers['content-range'] ?? '';
  const [, from, to, whole] = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(range) ?? [];
  if (Number(from) === offset && Number(to) === size - 1 && Number(whole) === size) return undefined;
  return `the range '${range.slice(0, 100)}' comes, expected ${offset}-${size - 1} of ${size}`;
}

async function* held(
  answer: Answer,
  { from, size, where }: { readonly from: number; readonly size: number; readonly where: string },
): AsyncGenerator<Uint8Array> {
  let at = from;
  try {
    for await (const chunk of answer.body) {
      at += chunk.length;
      if (at > size) throw new Refusal('digest_mismatch', `${where}: more than ${size} bytes come`);
      yield chunk;
    }
  } finally {
    answer.dispose();
  }
  if (at < size) throw new GatewayError('UNAVAILABLE', `${where}: it ended after ${at} of ${size} bytes`);
}
