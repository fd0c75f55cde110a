/**
 * One request on one connection, and its answer as it comes: node:http with a limit on every wait.
 *
 *   asked ─ connect (name, TCP, TLS) ─▶ sent ─ header ─▶ answered ─ stall ─▶ read to the end
 *
 * The one place where errors of the network become ours.
 *
 * Must not know retries, redirects or who may be asked.
 */
import { type ClientRequest, type Agent as HttpAgent, type IncomingMessage, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { GatewayError } from '../../core/errors.js';
import type { Answer, Ask } from './http.js';
import type { Life } from './life.js';
import { Pace, type PaceLimit } from './pace.js';

export interface ExchangeLimits extends PaceLimit {
  readonly connectTimeoutMs: number;
  readonly headerTimeoutMs: number;
}

export interface Exchanged {
  readonly url: URL;
  readonly method: NonNullable<Ask['method']>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Ask['body'] | undefined;
  readonly agent: HttpAgent;
  readonly lookup: LookupFunction;
  readonly limits: ExchangeLimits;
  readonly life: Life;
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
}

export interface OpenAnswer extends Answer {
  /** Calls once, when the answer has been read, given up or lost. */
  onClose(listener: () => void): void;
}

/** A body no longer than this is read to its end rather than lose its connection. */
const skippedBytesMax = 64 * 1024;

/** @throws GatewayError UNAVAILABLE, the reason of `life`, or what `lookup` threw */
export function exchange(asked: Exchanged): Promise<OpenAnswer> {
  const { url, life, limits } = asked;
  return new Promise((resolve, reject) => {
    const request = requestOf(asked);
    const expire = (what: string, limitMs: number) =>
      setTimeout(
        () => request.destroy(new GatewayError('UNAVAILABLE', `${url.host}: ${what} within ${limitMs / 1000} s`)),
        limitMs,
      );
    let timer = expire('no connection', limits.connectTimeoutMs);
    const abort = () => request.destroy(life.signal.reason);
    life.signal.addEventListener('abort', abort, { once: true });
    const settle = () => {
      clearTimeout(timer);
      life.signal.removeEventListener('abort', abort);
    };
    const connected = () => {
      clearTimeout(timer);
      timer = expire('no answer', limits.headerTimeoutMs);
    };
    request.once('socket', (socket) => {
      const { secureConnecting = false } = socket as { secureConnecting?: boolean };
      if (!socket.connecting && !secureConnecting) connected();
      else socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', connected);
    });
    request.once('response', (message) => {
      settle();
      resolve(new Received(message, asked));
    });
    request.on('error', (error) => {
      settle();
      reject(faultOf(error, url));
    });
    send(request, asked.body);
    if (life.signal.aborted) abort();
  });
}

function requestOf({ url, method, headers, body, agent, lookup }: Exchanged): ClientRequest {
  // Bytes are hashed as they come, so nobody may compress them on the way.
  const sent: Record<string, string | number> = { 'user-agent': 'sluice', 'accept-encoding': 'identity', ...headers };
  if (body !== undefined) sent['content-length'] = typeof body === 'string' ? Buffer.byteLength(body) : body.bytes;
  const open = url.protocol === 'https:' ? tlsRequest : plainRequest;
  try {
    return open(url, { method, headers: sent, agent, lookup });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'ERR_INVALID';
    throw new GatewayError('FAILED_PRECONDITION', `${url.host}: the request cannot be sent: ${code}`);
  }
}

function send(request: ClientRequest, body: Ask['body'] | undefined): void {
  if (body === undefined || typeof body === 'string') {
    request.end(body);
    return;
  }
  const source = body.read();
  source.once('error', (error) => request.destroy(error));
  request.once('close', () => source.destroy());
  source.pipe(request);
}

class Received implements OpenAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly url: URL;
  readonly body: AsyncIterable<Uint8Array>;
  readonly #message: IncomingMessage;
  readonly #asked: Exchanged;
  #fault: unknown;

  constructor(message: IncomingMessage, asked: Exchanged) {
    this.status = message.statusCode!;
    this.headers = headersOf(message);
    this.url = asked.url;
    this.#message = message;
    this.#asked = asked;
    const isEmpty = asked.method === 'HEAD' || this.status === 304 || this.status === 204;
    this.body = { [Symbol.asyncIterator]: () => (isEmpty ? nothing() : this.#chunks()) };
    const { life } = asked;
    const abort = () => this.#stop(life.signal.reason);
    life.signal.addEventListener('abort', abort, { once: true });
    message.on('error', () => {});
    message.once('close', () => life.signal.removeEventListener('abort', abort));
    // The connection is given back at once, because few callers think of reading what cannot be there.
    if (isEmpty) message.resume();
  }

  onClose(listener: () => void): void {
    if (this.#message.closed) listener();
    else this.#message.once('close', listener);
  }

  dispose(): void {
    if (this.#message.readableEnded) return;
    if (Number(this.headers['content-length'] ?? Number.NaN) <= skippedBytesMax) this.#message.resume();
    else this.#message.destroy();
  }

  /** Chunks while the sender keeps its pace. */
  async *#chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    const { limits, now, url } = this.#asked;
    const pace = new Pace(limits);
    const source = this.#message[Symbol.asyncIterator]();
    let timer: NodeJS.Timeout | undefined;
    let armedAt = 0;
    const arm = () => {
      armedAt = now();
      timer = setTimeout(() => {
        if (pace.isStalledAfter(pace.remainingMs(), 0)) this.#stop(stalled(url, limits));
        else arm();
      }, pace.remainingMs());
    };
    let bytes = 0;
    try {
      for (;;) {
        arm();
        const { done, value } = await source.next();
        clearTimeout(timer);
        if (this.#fault !== undefined) throw this.#fault;
        if (done) return;
        bytes += value.length;
        if (pace.isStalledAfter(now() - armedAt, value.length)) throw stalled(url, limits);
        yield value;
      }
    } catch (error) {
      throw this.#fault ?? cutOff(error, url, bytes);
    } finally {
      clearTimeout(timer);
      this.#message.destroy();
    }
  }

  #stop(reason: unknown): void {
    this.#fault ??= reason;
    this.#message.destroy(reason as Error);
  }
}

async function* nothing(): AsyncGenerator<Uint8Array, void, undefined> {}

function stalled(url: URL, { stallBytesPerS, stallTimeoutMs }: PaceLimit): GatewayError {
  const text = `${url.host}: fewer than ${stallBytesPerS} bytes a second for ${stallTimeoutMs / 1000} s`;
  return new GatewayError('UNAVAILABLE', text);
}

function headersOf(message: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, values] of Object.entries(message.headersDistinct)) headers[name] = values!.join(', ');
  return headers;
}

function cutOff(error: unknown, url: URL, bytes: number): GatewayError {
  if (error instanceof GatewayError) return error;
  const text = `${url.host}: the connection was cut after ${bytes} bytes`;
  return new GatewayError('UNAVAILABLE', text, { cause: error });
}

const wordsOf: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was reset',
  ENOTFOUND: 'there is no such name',
  EAI_AGAIN: 'the name cannot be looked up now',
  ETIMEDOUT: 'no connection in time',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no way to it',
};

function faultOf(error: Error, url: URL): GatewayError {
  if (error instanceof GatewayError) return error;
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown fault';
  return new GatewayError('UNAVAILABLE', `${url.host}: ${wordsOf[code] ?? code}`, { cause: error });
}
