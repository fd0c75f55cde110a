/**
 * A registry that answers as told: right by itself, and wrong wherever a test says so.
 *
 * What a real registry never does (lie about digests, redirect, challenge twice) is tested against this one; what it does is
 * tested against a real one.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestDocument } from './oci-artifacts.js';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

type Respond = (request: IncomingMessage, response: ServerResponse) => void;

export interface FakeRegistry {
  readonly port: number;
  readonly origin: string;
  /** Every request so far, oldest first. */
  readonly asked: Asked[];
  /** Answers instead of the registry, by path without query; `undefined` from it means: as usual. */
  readonly instead: Map<string, Respond>;
  /** Answers before anything else when it returns true. */
  gate: (request: IncomingMessage, response: ServerResponse) => boolean;
  readonly tags: Map<string, string>;
  put(repository: string, tag: string | undefined, document: TestDocument): void;
  close(): void;
}

export async function startFakeRegistry(): Promise<FakeRegistry> {
  const blobs = new Map<string, Buffer>();
  const documents = new Map<string, TestDocument>();
  const asked: Asked[] = [];
  const instead = new Map<string, Respond>();
  const tags = new Map<string, string>();

  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? '/', 'http://registry.invalid');
    asked.push({ method: request.method ?? '', path: url.pathname + url.search, headers: request.headers });
    if (registry.gate(request, response)) return;
    const other = instead.get(url.pathname);
    if (other !== undefined) return other(request, response);
    const [, repository = '', kind, reference = ''] =
      /^\/v2\/(.+)\/(manifests|blobs|tags)\/([^/]+)$/.exec(url.pathname) ?? [];
    if (kind === 'tags') return answerTags(repository, response);
    if (kind === 'blobs') return answerBlob(blobs.get(reference), request, response);
    const document = documents.get(`${repository}@${tags.get(`${repository}:${reference}`) ?? reference}`);
    if (kind !== 'manifests' || document === undefined) return void response.writeHead(404).end();
    const headers = { 'docker-content-digest': document.digest, etag: `"${document.digest}"` };
    if (request.headers['if-none-match'] === headers.etag) return void response.writeHead(304, headers).end();
    const described = { 'content-type': document.mediaType, 'content-length': document.bytes.length };
    response.writeHead(200, { ...headers, ...described }).end(request.method === 'HEAD' ? undefined : document.bytes);
  };

  const answerTags = (repository: string, response: ServerResponse): void => {
    const names = [...tags.keys()].filter((name) => name.startsWith(`${repository}:`));
    const text = JSON.stringify({ name: repository, tags: names.map((name) => name.slice(repository.length + 1)) });
    response.writeHead(200, { 'content-type': 'application/json' }).end(text);
  };

  const put = (repository: string, tag: string | undefined, document: TestDocument): void => {
    for (const { descriptor, bytes } of document.blobs) blobs.set(descriptor.digest, bytes);
    for (const member of document.members) put(repository, undefined, member);
    documents.set(`${repository}@${document.digest}`, document);
    if (tag !== undefined) tags.set(`${repository}:${tag}`, document.digest);
  };

  const server = createServer(answer);
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  const registry: FakeRegistry = {
    port,
    origin: `http://127.0.0.1:${port}`,
    asked,
    instead,
    gate: () => false,
    tags,
    put,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  return registry;
}

function answerBlob(bytes: Buffer | undefined, request: IncomingMessage, response: ServerResponse): void {
  if (bytes === undefined) return void response.writeHead(404).end();
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (from === 0) return void response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
  if (from >= bytes.length) return void response.writeHead(416).end();
  const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
  response.writeHead(206, { 'content-range': range, 'content-length': bytes.length - from }).end(bytes.subarray(from));
}
