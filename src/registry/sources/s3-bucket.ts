/**
 * One bucket as a handful of signed requests: list what begins with a prefix, ask for an object.
 *
 *   path style      <endpoint>/<bucket>/<key>          virtual host     <bucket>.<endpoint>/<key>
 *
 * The one place that understands the errors of S3.
 *
 * Must not know models or versions.
 */
import { GatewayError } from '../../core/errors.js';
import type { Answer, Ask, Http } from '../net/http.js';
import { refusalOf } from '../net/ranged.js';
import { documentBytesMax, textOf } from '../net/text.js';
import { type S3Keys, signed } from './s3-sign.js';
import { readXml, textIn, type XmlElement } from './s3-xml.js';
import { encoded } from './url-encoding.js';

export interface S3Place {
  /** `s3://<bucket>/<prefix>`. */
  readonly url: URL;
  /** Default: that of AWS in the region. */
  readonly endpoint?: URL | undefined;
  readonly region: string;
  readonly forcePathStyle: boolean;
}

export interface S3BucketOptions extends S3Place {
  /** Of the source, for messages. */
  readonly name: string;
  readonly http: Http;
  /** undefined = the bucket is asked without a signature. */
  readonly keys: () => Promise<S3Keys | undefined>;
  readonly epochNow: () => number;
}

export interface S3Object {
  readonly key: string;
  /** In quotes, as conditions want it. Tells change, never integrity. */
  readonly etag: string;
  readonly bytes: number;
}

const objectsMax = 200_000;
/** 1000 keys a page, and as many again for stores that give fewer. */
const pagesMax = 400;
const errorBytesMax = 64 * 1024;

const credentialCodes = /^(SignatureDoesNotMatch|InvalidAccessKeyId|ExpiredToken|InvalidToken|TokenRefreshRequired)$/;

/**
 * Where objects lie, with `/` behind it; its host is the origin that the client of this source is made for.
 * @throws INVALID_ARGUMENT
 */
export function bucketUrl({ url, endpoint, region, forcePathStyle }: S3Place): URL {
  const bucket = url.hostname;
  if (url.protocol !== 's3:' || !/^[a-z0-9A-Z][a-zA-Z0-9._-]{1,254}$/.test(bucket)) {
    throw new GatewayError('INVALID_ARGUMENT', 'expected a URL like s3://bucket/prefix');
  }
  const base = new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
  if (forcePathStyle) return new URL(`/${bucket}/`, base);
  base.host = `${bucket}.${base.host}`;
  return new URL('/', base);
}

/** The part of the keys that all objects of a source begin with: empty, or ending in `/`. */
export function prefixOf({ url }: S3Place): string {
  const prefix = decodeURIComponent(url.pathname.replace(/^\/+|\/+$/g, ''));
  return prefix === '' ? '' : `${prefix}/`;
}

export class S3Bucket {
  readonly #options: S3BucketOptions;
  readonly #base: URL;

  constructor(options: S3BucketOptions) {
    this.#options = options;
    this.#base = bucketUrl(options);
  }

  urlOf(key: string): URL {
    return new URL(this.#base.href + key.split('/').map(encoded).join('/'));
  }

  /** Whether a URL is that of an object of this bucket. */
  has(url: URL): boolean {
    return url.origin === this.#base.origin && url.pathname.startsWith(this.#base.pathname);
  }

  /** @param bodySha256 of what is sent; default: of nothing */
  async ask(url: URL, ask: Omit<Ask, 'url'>, bodySha256?: string): Promise<Answer> {
    const { keys, region, http, epochNow } = this.#options;
    const { method = 'GET', headers = {} } = ask;
    const pair = await keys();
    if (pair === undefined) return http.ask({ ...ask, url });
    const sign = { method, url, headers, region, keys: pair, epochMs: epochNow() };
    return http.ask({ ...ask, url, headers: signed({ ...sign, ...(bodySha256 !== undefined && { bodySha256 }) }) });
  }

  /** All objects whose keys begin with `prefix`. @throws FAILED_PRECONDITION when there are too many */
  async list(prefix: string, signal: AbortSignal): Promise<readonly S3Object[]> {
    const objects: S3Object[] = [];
    let token: string | undefined;
    for (let pages = 0; ; pages++) {
      const page = await this.#page(prefix, token, signal);
      objects.push(...page.objects);
      if (objects.length > objectsMax || pages === pagesMax) {
        const text = `${this.#options.name}: more than ${objectsMax} objects begin with '${prefix}'; use an index`;
        throw new GatewayError('FAILED_PRECONDITION', text);
      }
      if (page.next === undefined) return objects;
      token = page.next;
    }
  }

  async #page(prefix: string, token: string | undefined, signal: AbortSignal) {
    const query = [
      ...(token === undefined ? [] : [`continuation-token=${encoded(token)}`]),
      'list-type=2',
      `prefix=${encoded(prefix)}`,
    ];
    const what = `${this.#options.name}: listing`;
    const answer = await this.ask(new URL(`?${query.join('&')}`, this.#base), { signal });
    if (answer.status !== 200) throw await this.refusal(answer, what);
    return pageOf(readXml(await textOf(answer, documentBytesMax)), what);
  }

  /** The error that an answer is; read to its end. */
  async refusal(answer: Answer, what: string): Promise<GatewayError> {
    const { status, headers } = answer;
    const region = headers['x-amz-bucket-region'];
    // Without a body (HEAD), or with one that is not S3's, there is only the status.
    const text = await textOf(answer, errorBytesMax).catch(() => '');
    const code = /<Code>([A-Za-z]{1,64})<\/Code>/.exec(text)?.[1] ?? '';
    if (credentialCodes.test(code)) return new GatewayError('UNAUTHENTICATED', `${what}: ${code}`);
    if (code === 'RequestTimeTooSkewed') {
      return new GatewayError('UNAVAILABLE', `${what}: the clocks of the two sides differ too much`);
    }
    if (status === 301 || code === 'AuthorizationHeaderMalformed') {
      const where = region !== undefined && /^[a-z0-9-]{1,64}$/.test(region) ? region : 'another region';
      return new GatewayError('FAILED_PRECONDITION', `${what}: the bucket is in ${where}, not ${this.#options.region}`);
    }
    return refusalOf(answer, what);
  }
}

function pageOf(root: XmlElement, what: string): { objects: S3Object[]; next: string | undefined } {
  const unreadable = () => new GatewayError('FAILED_PRECONDITION', `${what}: the answer is not one of S3`);
  if (root.name !== 'ListBucketResult') throw unreadable();
  const objects = root.children
    .filter(({ name }) => name === 'Contents')
    .map((entry) => {
      const [key, etag, bytes] = [textIn(entry, 'Key'), textIn(entry, 'ETag'), textIn(entry, 'Size')];
      if (key === undefined || etag === undefined || !/^\d{1,15}$/.test(bytes ?? '')) throw unreadable();
      return { key, etag: `"${etag.replaceAll('"', '')}"`, bytes: Number(bytes) };
    });
  const next = textIn(root, 'IsTruncated') === 'true' ? textIn(root, 'NextContinuationToken') : undefined;
  if (next === '' || (next === undefined && textIn(root, 'IsTruncated') === 'true')) throw unreadable();
  return { objects, next };
}
