/**
 * Versions named by one JSON document on a web server, polled with `If-None-Match`: 304 is the normal answer.
 *
 * Files must lie on the server of the index unless the operator allows another one, and the credentials go to the server of
 * the index only.
 *
 * Must not know the store or how signatures are verified.
 */
import type { Credentials } from '../net/credentials.js';
import type { Answer, Ask, Http } from '../net/http.js';
import { openRange, refusalOf } from '../net/ranged.js';
import { bytesOf, documentBytesMax } from '../net/text.js';
import { Refusal } from '../refusal.js';
import type { Source } from '../source.js';
import { IndexReader, type SerialMemory, type VerifyIndex } from './index-reader.js';

export interface HttpIndexOptions {
  readonly name: string;
  /** Of the index itself. */
  readonly url: URL;
  readonly http: Http;
  readonly credentials: Credentials;
  /** Given the exact bytes of the index and of `<url>.sig`. */
  readonly verifyIndex?: VerifyIndex | undefined;
  readonly lastSerial: SerialMemory;
  /** Only these models; undefined = all. */
  readonly models?: readonly string[] | undefined;
  /** `name` or `name:port` of other servers where files may lie. */
  readonly allowHosts: readonly string[];
  readonly epochNow: () => number;
}

const signatureBytesMax = 64 * 1024;

export function createHttpIndexSource(options: HttpIndexOptions): Source {
  const { name, url, http, credentials, allowHosts } = options;

  async function ask(target: URL, headers: Ask['headers'], signal: AbortSignal): Promise<Answer> {
    const authorization = target.origin === url.origin ? await credentials.authorization() : undefined;
    const sent = authorization === undefined ? headers : { ...headers, authorization };
    return http.ask({ url: target, headers: sent, signal });
  }

  const reader = new IndexReader({
    ...options,
    fetch: async (etag, signal) => {
      const answer = await ask(url, etag === undefined ? {} : { 'if-none-match': etag }, signal);
      if (answer.status === 304 && etag !== undefined) return undefined;
      if (answer.status !== 200) throw refusalOf(answer, `${name}: index`);
      return { bytes: await bytesOf(answer, documentBytesMax), etag: answer.headers.etag };
    },
    fetchSignature: async (signal) => {
      const beside = new URL(url);
      beside.pathname += '.sig';
      const answer = await ask(beside, {}, signal);
      if (answer.status === 200) return bytesOf(answer, signatureBytesMax);
      const refusal = refusalOf(answer, `${name}: signature of the index`);
      if (refusal.code === 'NOT_FOUND') return undefined;
      throw refusal;
    },
  });

  function place(relative: string): URL {
    if (!URL.canParse(relative, url.href))
      throw new Refusal('address', `${name}: the index names a place that is no URL`);
    const target = new URL(relative, url);
    const isAllowed = target.protocol === url.protocol || target.protocol === 'https:';
    const isNamed = allowHosts.includes(target.host) || allowHosts.includes(target.hostname);
    if (target.origin === url.origin || (isAllowed && isNamed)) return target;
    const other = target.host === '' ? target.protocol : target.host;
    throw new Refusal(
      'address',
      `${name}: a file at ${other}, which is neither the index's own host nor in allow_hosts`,
    );
  }

  return {
    name,
    type: 'http',
    list: (signal) => reader.list(signal),
    resolve: (model, version, signal) => reader.resolve({ model, version }, place, signal),
    open: (file, from, signal) => {
      const part = (range: string | undefined): Promise<Answer> =>
        ask(file.locator as URL, range === undefined ? {} : { range, 'if-range': from.etag! }, signal);
      return openRange(from, part, `${name}: ${file.path}`);
    },
    close: async () => http.close(),
  };
}
