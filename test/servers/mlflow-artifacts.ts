/**
 * The artifacts of the fake MLflow, with what makes them odd: listings of basenames, absent files that are 500, downloads
 * without a length.
 *
 * Must not know the registry.
 */
import { posix } from 'node:path';
import { Fault, invalidParameter } from './mlflow-registry.js';
import type { Json } from './mlflow-wire.js';

/** What a route answers: a status, headers, and a body as it is sent. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Sent in chunks, without Content-Length. */
  readonly isChunked?: boolean;
}

/** Where the artifacts are said to lie on the server; no client is ever to see it. */
export const serverPath = '/srv/mlflow/secret-artifacts';

export const htmlError: Reply = {
  status: 500,
  headers: { 'content-type': 'text/html; charset=utf-8' },
  body: Buffer.from(
    '<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n<h1>Internal Server Error</h1>\n',
  ),
};

export class ArtifactTree {
  readonly #files = new Map<string, Buffer>();
  /** Moves with every change, for the time in an etag. */
  #changed = 1_760_000_000;

  put(path: string, body: Buffer | string): void {
    this.#changed++;
    this.#files.set(path, Buffer.from(body));
  }

  remove(path: string): void {
    for (const name of [...this.#files.keys()])
      if (name === path || name.startsWith(`${path}/`)) this.#files.delete(name);
  }

  list(path: string): Json {
    checkPath(path);
    const prefix = path === '' ? '' : `${path}/`;
    const entries = new Map<string, Json>();
    for (const [name, body] of this.#files) {
      if (!name.startsWith(prefix)) continue;
      const [first = '', ...rest] = name.slice(prefix.length).split('/');
      const entry = { path: first, is_dir: rest.length > 0 };
      entries.set(first, rest.length > 0 ? entry : { ...entry, file_size: body.length });
    }
    const files = [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
    return files.length === 0 ? {} : { files };
  }

  /** Proxied: no length, no etag, ranges and conditions ignored. */
  download(path: string): Reply {
    const body = this.#body(path);
    if (body === undefined) return htmlError;
    return { status: 200, headers: attachment(path), body, isChunked: true };
  }

  /** The route that knows ranges and conditions. */
  artifact(path: string, asked: Readonly<Record<string, string | undefined>>): Reply {
    const body = this.#body(path);
    if (body === undefined) return htmlError;
    const etag = `"${this.#changed}.0-${body.length}-${adler32(body)}"`;
    const modified = new Date(this.#changed * 1000).toUTCString();
    const headers = { ...attachment(path), etag, 'last-modified': modified, 'accept-ranges': 'bytes' };
    if (asked['if-none-match'] === etag) return { status: 304, headers, body: Buffer.alloc(0) };
    const range = /^bytes=(\d+)-(\d*)$/.exec(asked.range ?? '');
    if (range === null || (asked['if-range'] !== undefined && asked['if-range'] !== etag)) {
      return { status: 200, headers, body };
    }
    const from = Number(range[1]);
    const to = Math.min(range[2] === '' ? Number.POSITIVE_INFINITY : Number(range[2]), body.length - 1);
    if (from >= body.length) {
      return { status: 416, headers: { 'content-range': `bytes */${body.length}` }, body: Buffer.alloc(0) };
    }
    const partial = { ...headers, 'content-range': `bytes ${from}-${to}/${body.length}` };
    return { status: 206, headers: partial, body: body.subarray(from, to + 1) };
  }

  /** @returns undefined for a directory */
  #body(path: string): Buffer | undefined {
    checkPath(path);
    const body = this.#files.get(path);
    if (body !== undefined) return body;
    if (Object.keys(this.list(path)).length > 0) return undefined;
    throw new Fault(500, 'INTERNAL_ERROR', `[Errno 2] No such file or directory: '${serverPath}/${path}'`);
  }
}

function checkPath(path: string): void {
  if (path.split('/').includes('..') || path.startsWith('/') || /%2e/i.test(path))
    throw invalidParameter('Invalid path');
}

function attachment(path: string): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    'content-disposition': `attachment; filename=${posix.basename(path)}`,
    'x-content-type-options': 'nosniff',
  };
}

function adler32(bytes: Buffer): number {
  let a = 1;
  let b = 0;
  for (const byte of bytes.subarray(0, 4096)) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return b * 65_536 + a;
}
