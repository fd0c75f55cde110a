/**
 * The control port: metrics, health, the V2 calls about the whole, what operators ask, and the console's files.
 *
 *   head ─▶ admit: path known? browser's page ours? who? may he? ─▶ Admitted ─ body ─▶ answer
 *                  └─ an answer at once, before any body is read
 *
 * What nobody can mean – a path there is not, a body that cannot be read – is told to the root, which logs it.
 *
 * Must not know sockets, the registry or processes: it is given functions.
 */
import { type Code, GatewayError, invalid } from '../core/errors.js';
import type { ServedListing } from '../core/listing.js';
import { type RelayCall, relayOf } from '../core/relay.js';
import type { Activity } from './activity.js';
import type { Principal, Role } from './auth.js';
import { type Entrance, Gate, lineOf, type Refused, type RequestLine } from './gate.js';
import { openApiDocument } from './openapi.js';
import { type Operation, operationOf } from './operations.js';
import { answerHeaders, type PageFile, pageHeaders, readPage } from './page.js';
import type { Row } from './row.js';
import { rowsFor, urlTable } from './url-table.js';

export interface AdminRequest {
  readonly method: string;
  /** Raw, without the query. */
  readonly path: string;
  readonly query: string;
  /** Address of the other end. */
  readonly peer: string;
  readonly header: (name: string) => string | undefined;
}

export interface AdminReply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers: readonly (readonly [string, string])[];
}

/** A request that may come in; `answer` never throws. */
export interface Admitted {
  readonly answer: (body: Uint8Array) => Promise<AdminReply>;
  /** Its body could not be had. */
  readonly refuse: (status: number, error: GatewayError) => AdminReply;
}

/** A request that was refused although its caller may ask. */
export interface Malformed extends RequestLine {
  readonly status: number;
  /** Name of the token; empty where it did not come to that. */
  readonly caller: string;
}

export interface AdminOptions extends Entrance {
  /** Of the package. */
  readonly version: string;
  /** @param accept which form of the text the caller wants */
  readonly metrics: (accept: string | undefined) => Promise<{ readonly contentType: string; readonly body: string }>;
  readonly activity: () => Promise<Activity>;
  readonly state: () => { readonly isReady: boolean; readonly reason: string };
  readonly served: () => ServedListing;
  /** @param actor what the audit log calls the caller */
  readonly relay: (call: RelayCall, actor: string) => Promise<unknown>;
  readonly operate: (operation: Operation, actor: string, role: Role) => Promise<unknown>;
  /** A source says that something has changed; what it says is checked by its own secret. */
  readonly hook: (
    segments: readonly string[],
    headers: (name: string) => string | undefined,
    body: Uint8Array,
  ) => Promise<unknown>;
  readonly jsonText: (value: unknown) => string;
  readonly statusOf: Readonly<Record<Code, number>>;
  /** Not told more often of one address than a log can take. */
  readonly onMalformed: (one: Malformed) => void;
}

const json = 'application/json';

export class Admin {
  readonly #options: AdminOptions;
  readonly #gate: Gate;
  readonly #page: ReadonlyMap<string, PageFile> = readPage();
  readonly #document: string;

  constructor(options: AdminOptions) {
    this.#options = options;
    this.#gate = new Gate(options);
    this.#document = JSON.stringify(openApiDocument(urlTable, options.version));
  }

  /** Decides before any body is read whether this caller may ask this. */
  admit(request: AdminRequest): AdminReply | Admitted {
    try {
      const { path, header } = request;
      const segments = segmentsOf(path);
      const rows = rowsFor(segments);
      const row = rows.find(({ method }) => method === (request.method === 'HEAD' ? 'GET' : request.method));
      const passed = this.#gate.pass({ ...request, role: roleOf(row, rows) });
      if ('error' in passed) return this.#refused(passed);
      const reply = rows.length === 0 ? this.#failure(new GatewayError('NOT_FOUND', 'Not Found')) : notAllowed(rows);
      if (row === undefined) return this.#malformed(reply, request, passed.name);
      return {
        answer: (body) => this.#answer({ row, segments, caller: passed, header, request, body }),
        refuse: (status, { message }) => this.#malformed(failure(status, message), request, passed.name),
      };
    } catch (error) {
      return this.#malformed(this.#failure(GatewayError.from(error)), request, '');
    }
  }

  async #answer(asked: Asked): Promise<AdminReply> {
    try {
      return await this.#route(asked);
    } catch (thrown) {
      const error = GatewayError.from(thrown);
      const reply = this.#failure(error);
      return error.code === 'INVALID_ARGUMENT' ? this.#malformed(reply, asked.request, asked.caller.name) : reply;
    }
  }

  #malformed(reply: AdminReply, request: AdminRequest, caller: string): AdminReply {
    const { status } = reply;
    // Whose client is gone has said nothing wrong.
    const isTold = status !== 499 && this.#gate.takeLine(request.peer);
    if (isTold) this.#options.onMalformed({ status, ...lineOf(request), caller });
    return reply;
  }

  async #route(asked: Asked): Promise<AdminReply> {
    const { row, segments, caller, header, body } = asked;
    const { served, activity, hook } = this.#options;
    if (row.path.startsWith('/v2/health/')) return this.#health(row.path);
    switch (row.path) {
      case '/livez':
      case '/readyz':
        return this.#health(row.path);
      case '/metrics':
        return { status: 200, headers: answerHeaders, ...(await this.#options.metrics(header('accept'))) };
      case '/openapi.json':
        return { status: 200, contentType: json, body: this.#document, headers: answerHeaders };
      case '/admin/me':
        return this.#said({ ...caller, needs_token: !this.#gate.isOpen });
      case '/admin/models':
        return this.#said(served());
      case '/admin/activity':
        return this.#said(await activity());
      case '/hooks/{source}':
      case '/hooks/mlflow/{source}':
        return this.#said(await hook(segments.slice(1), header, body), 202);
    }
    if (segments[0] === 'admin') return this.#operate(asked);
    return segments[0] === 'v2' ? this.#relay(asked) : this.#file(row.path);
  }

  async #operate({ row, segments, caller, request, body }: Asked): Promise<AdminReply> {
    const query = new URLSearchParams(request.query);
    const operation = operationOf(row.method, segments.slice(1), query, bodyOf(body));
    if (operation === undefined) throw new GatewayError('NOT_FOUND', 'Not Found');
    return this.#said(await this.#options.operate(operation, actorOf(caller), caller.role));
  }

  async #relay({ row, segments, caller, body }: Asked): Promise<AdminReply> {
    const call = relayOf(row.method, segments.slice(1), bodyOf(body));
    if (call === undefined) throw new GatewayError('NOT_FOUND', 'Not Found');
    const value = await this.#options.relay(call, actorOf(caller));
    const isLoad = call.call === 'load' || call.call === 'unload';
    return this.#said(value ?? (isLoad ? { name: call.model, [call.call]: true } : {}));
  }

  #file(path: string): AdminReply {
    const file = this.#page.get(path);
    if (file === undefined) throw new GatewayError('NOT_FOUND', 'the files of the console are not installed');
    return { status: 200, headers: pageHeaders, ...file };
  }

  #health(path: string): AdminReply {
    const { isReady, reason } = this.#options.state();
    if (path.endsWith('live') || path === '/livez') return this.#said({ live: true });
    return isReady ? this.#said({ ready: true }) : this.#said({ ready: false, error: reason }, 503);
  }

  #said(value: unknown, status = 200): AdminReply {
    return { status, contentType: json, body: this.#options.jsonText(value ?? {}), headers: answerHeaders };
  }

  #refused({ error, headers }: Refused): AdminReply {
    const reply = this.#failure(error);
    return { ...reply, headers: [...reply.headers, ...headers] };
  }

  #failure({ code, message }: GatewayError): AdminReply {
    return failure(this.#options.statusOf[code], message);
  }
}

function failure(status: number, error: string): AdminReply {
  return { status, contentType: json, body: JSON.stringify({ error }), headers: answerHeaders };
}

interface Asked {
  readonly row: Row;
  readonly segments: readonly string[];
  readonly caller: Principal;
  readonly header: AdminRequest['header'];
  readonly request: AdminRequest;
  readonly body: Uint8Array;
}

function actorOf({ name }: Principal): string {
  return `operator:${name}`;
}

/** Who knows nothing of a path must not learn from the answer whether there is one. */
function roleOf(row: Row | undefined, rows: readonly Row[]): Row['role'] {
  if (row !== undefined) return row.role;
  return rows.some(({ role }) => role === 'open') ? 'open' : 'viewer';
}

function notAllowed(rows: readonly Row[]): AdminReply {
  const allow = ['Allow', rows.map(({ method }) => method).join(', ')] as const;
  return {
    status: 405,
    contentType: json,
    body: '{"error":"Method Not Allowed"}',
    headers: [...answerHeaders, allow],
  };
}

/** Split first, then decoded exactly once. What does not begin with a slash leads nowhere. */
function segmentsOf(path: string): string[] {
  if (!path.startsWith('/')) return [];
  try {
    return path.slice(1).split('/').map(decodeURIComponent);
  } catch {
    throw invalid(`the path is not valid percent-encoded UTF-8`);
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function bodyOf(body: Uint8Array): unknown {
  if (body.length === 0) return undefined;
  try {
    return JSON.parse(utf8.decode(body));
  } catch (error) {
    throw invalid(`failed to parse the request JSON buffer: ${(error as Error).message}`);
  }
}
