/**
 * A fake MLflow tracking server: a real HTTP server that says what MLflow says, oddities and all, and fails when asked to.
 *
 * Tests change its registry and artifacts directly, or over REST as training code does. `before` runs before each answer,
 * so that a test can move an alias or add a version exactly between two requests, without a clock.
 *
 * Must not know Sluice.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ArtifactTree, type Reply } from './mlflow-artifacts.js';
import { deliver, type Hook } from './mlflow-hooks.js';
import { Fault, invalidParameter, Registry } from './mlflow-registry.js';
import { callOf, type Happening, routes } from './mlflow-routes.js';
import type { Json } from './mlflow-wire.js';

export interface FakeOptions {
  /** Such as `/mlflow`. */
  readonly prefix?: string;
  /** `bearer`: a proxy in front checks a token; the check built into MLflow knows Basic only. */
  readonly auth?: { readonly basic: string } | { readonly bearer: string };
  /** MLflow 3: checks the Host header, knows presigned URLs. */
  readonly isThree?: boolean;
  /** Where presigned URLs lead to; without it the store is no cloud store. */
  readonly presigned?: string;
  readonly servesArtifacts?: boolean;
  /** Whether /model-versions/get-artifact knows ranges; 'absent' = there is no such route. */
  readonly ranges?: 'there' | 'ignored' | 'absent';
}

export type Misbehaviour =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
  | 'hang'
  /** The connection is reset in the middle of the body. */
  | 'cut'
  /** The body ends early, cleanly; or goes on after its end. */
  | 'short'
  | 'long'
  | 'flipped'
  /** Half of the body, then nothing more. */
  | 'slow';

interface Planned {
  readonly path: RegExp;
  readonly how: Misbehaviour;
  times: number;
}

export interface Seen {
  readonly method: string;
  /** With its query, without the prefix. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

const jsonType = 'application/json';

export class FakeMlflow {
  readonly registry = new Registry();
  readonly artifacts = new ArtifactTree();
  readonly requests: Seen[] = [];
  readonly hooks: Hook[] = [];
  /** What receivers of webhooks answered. */
  readonly deliveries: Promise<number[]>[] = [];
  before: (path: string) => void = () => {};
  readonly #options: FakeOptions;
  readonly #planned: Planned[] = [];
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  constructor(options: FakeOptions = {}) {
    this.#options = options;
  }

  async listen(): Promise<URL> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this.url;
  }

  get url(): URL {
    const { port } = this.#server.address() as AddressInfo;
    return new URL(`http://127.0.0.1:${port}${this.#options.prefix ?? ''}`);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** The next `times` requests whose path matches go wrong. */
  misbehave(path: RegExp, how: Misbehaviour, times = 1): void {
    this.#planned.push({ path, how, times });
  }

  /** Requests so far whose path matches. */
  asked(path: RegExp): Seen[] {
    return this.requests.filter((request) => path.test(request.path));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { prefix = '' } = this.#options;
    const path = (request.url ?? '').slice(prefix.length);
    this.requests.push({ method: request.method ?? '', path, headers: request.headers });
    const body = await bodyOf(request);
    this.before(path);
    const planned = this.#planned.find((candidate) => candidate.times > 0 && candidate.path.test(path));
    if (planned !== undefined) planned.times--;
    const reply = (request.url ?? '').startsWith(prefix) ? this.#reply(request, path, body) : notFound;
    send(response, request.method === 'HEAD', reply, planned?.how);
  }

  #reply(request: IncomingMessage, target: string, body: Buffer): Reply {
    try {
      // The parser of URLs would climb by itself, and nobody would see that it was asked for.
      const raw = target.replaceAll(/%2e/gi, '%252e').replaceAll(/\.\.(?=\/|$)/g, '%252e%252e');
      const url = new URL(`http://fake${raw}`);
      if (url.pathname === '/health') return plain('OK');
      if (url.pathname === '/version') return plain(this.#options.isThree === true ? '3.6.0' : '2.22.1');
      return this.#refused(request) ?? this.#routed(request, url, body);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const text = `{"error_code": ${JSON.stringify(error.code)}, "message": ${JSON.stringify(error.message)}}`;
      return { status: error.status, headers: { 'content-type': jsonType }, body: Buffer.from(text) };
    }
  }

  /** What is said before any route is looked for. */
  #refused({ headers }: IncomingMessage): Reply | undefined {
    const { auth, isThree } = this.#options;
    if (isThree === true && headers.host !== this.url.host) {
      return { ...plain('Invalid Host header - possible DNS rebinding attack detected'), status: 403 };
    }
    if (auth === undefined) return undefined;
    const expected = 'basic' in auth ? `Basic ${Buffer.from(auth.basic).toString('base64')}` : `Bearer ${auth.bearer}`;
    return headers.authorization === expected ? undefined : unauthorized;
  }

  #routed(request: IncomingMessage, url: URL, body: Buffer): Reply {
    const { method = '' } = request;
    const artifacts = /^\/api\/2\.0\/mlflow-artifacts\/(artifacts|presigned)\/?(.*)$/.exec(url.pathname);
    if (artifacts !== null) return this.#artifact(method, artifacts[1]!, decoded(artifacts[2]!), { url, body });
    if (url.pathname === '/model-versions/get-artifact') return this.#fromVersion(request, url.searchParams);
    const call = /^\/api\/2\.0\/mlflow\/(.+)$/.exec(url.pathname)?.[1];
    const logged = /^logged-models\/(m-.+)$/.exec(call ?? '')?.[1];
    if (logged !== undefined && this.#options.isThree === true) return json(this.#loggedModel(logged));
    const route = routes[`${method} ${call}`];
    if (route === undefined) return notFound;
    const given = body.length === 0 ? {} : (JSON.parse(body.toString()) as Json);
    return json(
      route(
        this.registry,
        callOf(url.searchParams, given, (happening) => this.#tell(happening)),
      ),
    );
  }

  #artifact(method: string, route: string, path: string, { url, body }: { url: URL; body: Buffer }): Reply {
    const { servesArtifacts = true, isThree, presigned } = this.#options;
    if (!servesArtifacts) {
      const text = `Endpoint: ${url.pathname} disabled due to the mlflow server running with \`--no-serve-artifacts\`.`;
      return { ...plain(text), status: 503 };
    }
    if (route === 'presigned') {
      if (isThree !== true) return notFound;
      if (presigned === undefined) throw new Fault(501, 'NOT_IMPLEMENTED', 'Presigned downloads are not supported');
      return json({ url: `${presigned}/${path}`, headers: {}, file_size: this.artifacts.download(path).body.length });
    }
    if (method === 'PUT') {
      this.artifacts.put(path, body);
      return json({});
    }
    if (path === '') return json(this.artifacts.list(decoded(url.searchParams.get('path') ?? '')));
    return this.artifacts.download(path);
  }

  #fromVersion(request: IncomingMessage, query: URLSearchParams): Reply {
    const { ranges = 'there' } = this.#options;
    if (ranges === 'absent') return notFound;
    const { source, location } = this.registry.version(query.get('name') ?? '', query.get('version') ?? '');
    const root = (location === '' ? source : location).replace(/^mlflow-artifacts:\/+/, '');
    const path = `${root}/${query.get('path')}`;
    const headers = request.headers as Readonly<Record<string, string | undefined>>;
    return this.artifacts.artifact(path, ranges === 'there' ? headers : {});
  }

  #loggedModel(id: string): Json {
    const uri = this.registry.loggedModels.get(id);
    if (uri === undefined) throw new Fault(404, 'RESOURCE_DOES_NOT_EXIST', `Logged model with ID '${id}' not found.`);
    return { model: { info: { model_id: id, artifact_uri: uri } } };
  }

  #tell(happening: Happening): void {
    if (this.#options.isThree === true) for (const hook of this.hooks) this.deliveries.push(deliver(hook, happening));
  }
}

const plain = (text: string): Reply => ({
  status: 200,
  headers: { 'content-type': 'text/html; charset=utf-8' },
  body: Buffer.from(text),
});

const json = (value: Json): Reply => ({
  status: 200,
  headers: { 'content-type': jsonType },
  body: Buffer.from(JSON.stringify(value, undefined, 2)),
});

const notFound: Reply = {
  ...plain('<!doctype html>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n'),
  status: 404,
};

const unauthorized: Reply = {
  status: 401,
  headers: { 'content-type': 'text/html; charset=utf-8', 'www-authenticate': 'Basic realm="mlflow"' },
  body: Buffer.from('You are not authenticated. Please see https://www.mlflow.org/docs for how to authenticate.'),
};

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw invalidParameter('Invalid path');
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, isHead: boolean, reply: Reply, how: Misbehaviour | undefined): void {
  if (how === 'hang') return;
  if (typeof how === 'object') {
    response.writeHead(how.status, { connection: 'close', 'content-type': 'text/html', ...how.headers });
    response.end(how.body ?? 'not now');
    return;
  }
  const body = spoiled(reply.body, how);
  const length =
    reply.isChunked === true ? {} : { 'content-length': String(how === undefined ? body.length : reply.body.length) };
  response.writeHead(reply.status, { connection: 'close', ...reply.headers, ...length });
  if (isHead) response.end();
  else if (how === 'cut') response.write(body, () => setImmediate(() => response.destroy()));
  else if (how === 'slow') response.write(body);
  else response.end(body);
}

function spoiled(body: Buffer, how: Misbehaviour | undefined): Buffer {
  if (how === 'long') return Buffer.concat([body, Buffer.from('more')]);
  if (how === 'short' || how === 'cut' || how === 'slow') return body.subarray(0, body.length >> 1);
  if (how !== 'flipped') return body;
  const copy = Buffer.from(body);
  copy[copy.length >> 1]! ^= 1;
  return copy;
}
