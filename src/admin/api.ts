/**
 * The URL table of the control port: metrics, health, the V2 calls about the whole, and what the command line asks.
 *
 * Must not know sockets, the registry or processes: it is given functions.
 */
import { type Code, GatewayError, invalid } from '../core/errors.js';
import type { ServedListing } from '../core/listing.js';
import { isChange, type RelayCall, relayOf } from '../core/relay.js';
import { mayPass } from './auth.js';
import { type Operation, operationOf } from './operations.js';

export interface AdminRequest {
  readonly method: string;
  /** Raw, without the query. */
  readonly path: string;
  readonly query?: string;
  readonly authorization: string | undefined;
}

export interface AdminCaller extends AdminRequest {
  readonly header: (name: string) => string | undefined;
}

export interface AdminReply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: readonly (readonly [string, string])[];
}

export interface AdminOptions {
  readonly token: string;
  /** Let /metrics be read without the token. */
  readonly isMetricsOpen: boolean;
  /** @param accept which form of the text the caller wants */
  readonly metrics: (accept: string | undefined) => Promise<{ readonly contentType: string; readonly body: string }>;
  readonly state: () => { readonly isReady: boolean; readonly reason: string };
  readonly served: () => ServedListing;
  readonly relay: (call: RelayCall) => Promise<unknown>;
  readonly operate: (operation: Operation) => Promise<unknown>;
  /** A source says that something has changed; what it says is checked by its own secret. */
  readonly hook: (
    segments: readonly string[],
    headers: (name: string) => string | undefined,
    body: Uint8Array,
  ) => Promise<unknown>;
  readonly jsonText: (value: unknown) => string;
  readonly statusOf: Readonly<Record<Code, number>>;
}

const json = 'application/json';
/** Health answers without a token: a probe has none. */
const healthPaths = ['/livez', '/readyz', '/v2/health/live', '/v2/health/ready'];

export class Admin {
  readonly #options: AdminOptions;

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  /** An answer at once when this caller may not pass, before any body is read. */
  refusal({ path, authorization }: AdminRequest): AdminReply | undefined {
    const { token, isMetricsOpen } = this.#options;
    // A hook brings a secret of its own.
    const isOpen = healthPaths.includes(path) || path.startsWith('/hooks/') || (isMetricsOpen && path === '/metrics');
    if (isOpen || mayPass(token, authorization)) return undefined;
    return {
      ...this.#failure(new GatewayError('UNAUTHENTICATED', 'expected "Authorization: Bearer <token>"')),
      headers: [['WWW-Authenticate', 'Bearer']],
    };
  }

  async answer(request: AdminCaller, body: Uint8Array): Promise<AdminReply> {
    try {
      return await this.#route(request, body);
    } catch (error) {
      return this.#failure(GatewayError.from(error));
    }
  }

  async #route({ method, path, query, header }: AdminCaller, body: Uint8Array): Promise<AdminReply> {
    const { metrics, served, jsonText } = this.#options;
    if (healthPaths.includes(path)) return this.#health(path);
    if (path === '/metrics') return { status: 200, ...(await metrics(header('accept'))) };
    if (path === '/admin/models') return { status: 200, contentType: json, body: jsonText(served()) };
    if (path.startsWith('/hooks/') && method === 'POST') return this.#hook(path, header, body);
    if (path.startsWith('/admin/')) return this.#operate(method, path, query ?? '', body);
    if (!path.startsWith('/v2/')) return this.#failure(new GatewayError('NOT_FOUND', 'Not Found'));
    if (method !== 'GET' && method !== 'POST')
      return {
        status: 405,
        contentType: json,
        body: '{"error":"Method Not Allowed"}',
        headers: [['Allow', 'GET, POST']],
      };
    const call = relayOf(method, segmentsOf(path, '/v2/'), bodyOf(body));
    if (call === undefined) return this.#failure(new GatewayError('NOT_FOUND', 'Not Found'));
    if (method === 'GET' && isChange(call))
      return { status: 405, contentType: json, body: '{"error":"Method Not Allowed"}', headers: [['Allow', 'POST']] };
    const value = await this.#options.relay(call);
    return {
      status: 200,
      contentType: json,
      body: jsonText(
        value ?? (call.call === 'load' || call.call === 'unload' ? { name: call.model, [call.call]: true } : {}),
      ),
    };
  }

  async #operate(method: string, path: string, query: string, body: Uint8Array): Promise<AdminReply> {
    if (method !== 'GET' && method !== 'POST')
      return {
        status: 405,
        contentType: json,
        body: '{"error":"Method Not Allowed"}',
        headers: [['Allow', 'GET, POST']],
      };
    const operation = operationOf(method, segmentsOf(path, '/admin/'), new URLSearchParams(query), bodyOf(body));
    if (operation === undefined) return this.#failure(new GatewayError('NOT_FOUND', 'Not Found'));
    const value = await this.#options.operate(operation);
    return { status: 200, contentType: json, body: this.#options.jsonText(value ?? {}) };
  }

  async #hook(path: string, header: AdminCaller['header'], body: Uint8Array): Promise<AdminReply> {
    const value = await this.#options.hook(segmentsOf(path, '/hooks/'), header, body);
    return { status: 202, contentType: json, body: this.#options.jsonText(value ?? {}) };
  }

  #failure({ code, message }: GatewayError): AdminReply {
    return { status: this.#options.statusOf[code], contentType: json, body: JSON.stringify({ error: message }) };
  }

  #health(path: string): AdminReply {
    if (path.endsWith('live') || path === '/livez') return { status: 200, contentType: json, body: '{"live":true}' };
    const { isReady, reason } = this.#options.state();
    const body = isReady ? '{"ready":true}' : JSON.stringify({ ready: false, error: reason });
    return { status: isReady ? 200 : 503, contentType: json, body };
  }
}

/** Split first, then decoded exactly once. */
function segmentsOf(path: string, prefix: string): string[] {
  try {
    return path.slice(prefix.length).split('/').map(decodeURIComponent);
  } catch {
    throw invalid(`the path is not valid percent-encoded UTF-8`);
  }
}

function bodyOf(body: Uint8Array): unknown {
  if (body.length === 0) return undefined;
  try {
    return JSON.parse(Buffer.from(body).toString('utf8'));
  } catch (error) {
    throw invalid(`failed to parse the request JSON buffer: ${(error as Error).message}`);
  }
}
