/**
 * AWS Signature Version 4 for whole requests, in headers.
 *
 *   secret ─▶ date ─▶ region ─▶ service ─▶ key        request ─▶ canonical text ─▶ sha256 ─▶ signed by the key
 *
 * The path and the query are signed in the strict encoding of `encoded`, so they are to be sent in it too.
 *
 * Must not know sources or where keys are kept.
 */
import { createHash, createHmac } from 'node:crypto';
import { encoded } from './url-encoding.js';

export interface S3Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface SignedRequest {
  readonly method: string;
  readonly url: URL;
  /** Lower-case names; all of them are signed. */
  readonly headers: Readonly<Record<string, string>>;
  readonly region: string;
  readonly keys: S3Keys;
  readonly epochMs: number;
  /** Of the body; default: of none. */
  readonly bodySha256?: string;
}

const emptySha256 = createHash('sha256').digest('hex');

/** The headers to send: those given, and those that sign them. */
export function signed(request: SignedRequest): Record<string, string> {
  const { keys, region, epochMs, bodySha256 = emptySha256 } = request;
  const time = new Date(epochMs).toISOString().replace(/[-:]|\.\d{3}/g, '');
  const date = time.slice(0, 8);
  const headers: Record<string, string> = {
    ...request.headers,
    'x-amz-content-sha256': bodySha256,
    'x-amz-date': time,
  };
  if (keys.sessionToken !== undefined) headers['x-amz-security-token'] = keys.sessionToken;
  const scope = `${date}/${region}/s3/aws4_request`;
  const { text, names } = canonical(request, headers, bodySha256);
  const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${createHash('sha256').update(text).digest('hex')}`;
  const key = [date, region, 's3', 'aws4_request'].reduce<Buffer | string>(hmac, `AWS4${keys.secretAccessKey}`);
  const signature = hmac(key, toSign).toString('hex');
  const credential = `${keys.accessKeyId}/${scope}`;
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${credential},SignedHeaders=${names},Signature=${signature}`;
  return headers;
}

function canonical(
  { method, url }: SignedRequest,
  headers: Readonly<Record<string, string>>,
  bodySha256: string,
): { readonly text: string; readonly names: string } {
  const lines = Object.entries({ ...headers, host: url.host })
    .map(([name, value]) => [name, value.trim().replace(/ +/g, ' ')] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const names = lines.map(([name]) => name).join(';');
  const path = url.pathname.split('/').map(recoded).join('/');
  const block = lines.map(([name, value]) => `${name}:${value}\n`).join('');
  return { text: [method, path, canonicalQuery(url), block, names, bodySha256].join('\n'), names };
}

function canonicalQuery(url: URL): string {
  if (url.search.length <= 1) return '';
  const pairs = url.search.slice(1).split('&');
  return pairs
    .map((pair) => {
      const [name = '', ...value] = pair.split('=');
      return [recoded(name), recoded(value.join('='))] as const;
    })
    .sort(([a, x], [b, y]) => (a < b || (a === b && x < y) ? -1 : 1))
    .map((pair) => pair.join('='))
    .join('&');
}

function recoded(text: string): string {
  return encoded(decodeURIComponent(text));
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
