/**
 * A small S3 in memory, for what Swift cannot show: virtual hosts, checksums of uploads, session tokens, faults on demand.
 *
 * It checks every signature from the raw request, by code of its own: whatever is signed otherwise than it was sent fails.
 */
import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeObject {
  readonly bytes: Buffer;
  readonly sha256?: string;
}

export interface FakeS3 {
  readonly port: number;
  readonly objects: Map<string, FakeObject>;
  /** `GET /key` of each request. */
  readonly asked: string[];
  /** Asked first; answers itself by returning true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean;
  pageKeys: number;
  close(): void;
}

export const fakeKeys = { accessKeyId: 'AKID', secretAccessKey: 'secret', sessionToken: 'session' };
const region = 'eu-test-1';

/** @param bucket in the path (`/bucket/key`), or in the host (`bucket.localhost`) */
export async function startFakeS3(bucket: string, style: 'path' | 'host'): Promise<FakeS3> {
  const objects = new Map<string, FakeObject>();
  const server = createServer((request, response) => {
    fake.asked.push(`${request.method} ${request.url}`);
    if (fake.intercept(request, response)) return;
    if (!isSigned(request)) return refuse(response, 403, 'SignatureDoesNotMatch');
    const [path, query = ''] = request.url!.split('?') as [string, string?];
    const isHere = style === 'path' ? path.startsWith(`/${bucket}/`) : request.headers.host!.startsWith(`${bucket}.`);
    if (!isHere) return refuse(response, 404, 'NoSuchBucket');
    const key = decodeURIComponent(style === 'path' ? path.slice(bucket.length + 2) : path.slice(1));
    if (key === '') return list(new URLSearchParams(query), response);
    answer(key, request, response);
  });

  function list(query: URLSearchParams, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? '';
    const after = query.get('continuation-token') ?? '';
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, fake.pageKeys);
    const isTruncated = keys.length > page.length;
    const contents = page.map((key) => {
      const { bytes } = objects.get(key)!;
      const size = `<Size>${bytes.length}</Size>`;
      return `<Contents><Key>${escaped(key)}</Key><ETag>&quot;${md5(bytes)}&quot;</ETag>${size}</Contents>`;
    });
    const next = isTruncated ? `<NextContinuationToken>${escaped(page.at(-1)!)}</NextContinuationToken>` : '';
    const inside = `<IsTruncated>${isTruncated}</IsTruncated>${next}${contents.join('')}`;
    response.end(`<?xml version="1.0"?>\n<ListBucketResult xmlns="http://s3">${inside}<Empty/></ListBucketResult>`);
  }

  function answer(key: string, request: IncomingMessage, response: ServerResponse): void {
    const object = objects.get(key);
    if (object === undefined) return refuse(response, 404, 'NoSuchKey');
    const etag = `"${md5(object.bytes)}"`;
    const { range, 'if-match': match, 'if-none-match': none, 'x-amz-checksum-mode': mode } = request.headers;
    if (match !== undefined && match !== etag) return refuse(response, 412, 'PreconditionFailed');
    if (none === etag) return void response.writeHead(304).end();
    response.setHeader('etag', etag);
    if (mode === 'ENABLED' && object.sha256 !== undefined) response.setHeader('x-amz-checksum-sha256', object.sha256);
    const from = range === undefined ? 0 : Number(/^bytes=(\d+)-$/.exec(range)![1]);
    const bytes = object.bytes.subarray(from);
    if (range !== undefined) {
      response.setHeader('content-range', `bytes ${from}-${object.bytes.length - 1}/${object.bytes.length}`);
    }
    response.writeHead(range === undefined ? 200 : 206, { 'content-length': bytes.length });
    response.end(request.method === 'HEAD' ? undefined : bytes);
  }

  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const fake: FakeS3 = {
    port: (server.address() as AddressInfo).port,
    objects,
    asked: [],
    intercept: () => false,
    pageKeys: 1000,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  return fake;
}

export function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>hidden</Message></Error>`);
}

/** Path and query as they were sent: what is not in strict encoding or order was not signed like this. */
function isSigned(request: IncomingMessage): boolean {
  const { headers } = request;
  const stated = /^AWS4-HMAC-SHA256 Credential=([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})$/.exec(
    headers.authorization ?? '',
  );
  if (stated === null || headers['x-amz-security-token'] !== fakeKeys.sessionToken) return false;
  const [, credential = '', names = '', signature] = stated;
  const time = String(headers['x-amz-date']);
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
  const needed = ['host', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-security-token'];
  if (credential !== `${fakeKeys.accessKeyId}/${scope}` || !needed.every((name) => names.split(';').includes(name))) {
    return false;
  }
  const [path, query = ''] = request.url!.split('?') as [string, string?];
  const block = names.split(';').map((name) => `${name}:${headers[name]}\n`);
  const canonical = [request.method, path, query, block.join(''), names, headers['x-amz-content-sha256']].join('\n');
  const digest = createHash('sha256').update(canonical).digest('hex');
  const key = [time.slice(0, 8), region, 's3', 'aws4_request'].reduce<Buffer | string>(
    (from, part) => createHmac('sha256', from).update(part).digest(),
    `AWS4${fakeKeys.secretAccessKey}`,
  );
  const text = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${digest}`;
  return createHmac('sha256', key).update(text).digest('hex') === signature;
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
