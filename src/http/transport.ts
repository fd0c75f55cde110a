/**
 * HTTP as bytes in, bytes out: the one interface in front of three HTTP engines, and the choice between them.
 *
 *   socket → engine → Route(head) → answer at once
 *                                 → BodyConsumer → bytes, within limits → answer
 *
 * A route sees a request's head before its body is read, so that whoever may not call is refused at no cost. Every engine
 * passes the same cases: framing, limits, deadlines and what happens to a client that is gone.
 *
 * Must not know URLs, JSON bodies or models.
 */
import type { DoorLoad } from '../core/door-load.js';
import type { GatewayError } from '../core/errors.js';
import type { Cancellation } from '../core/inference.js';
import { listenNode } from './node.js';
import type { CommonHeaders } from './response-bytes.js';
import { listenUws } from './uws.js';
import { loadUws } from './uws-build.js';

export interface HttpRequest {
  /** As it was sent; case matters. */
  readonly method: string;
  /** Raw: neither decoded nor normalised, without the query. ASCII only. */
  readonly path: string;
  readonly query: string;
  readonly receivedAt: number;
  /** Cancelled when the client's connection closes before the answer was sent. */
  readonly cancellation: Cancellation;
  /** Address of the other end, as text. To be read before the body only. */
  readonly peer: string;
  /** @param name in lower case */
  header(name: string): string | undefined;
}

export type Header = readonly [name: string, value: string];

export interface HttpResponse {
  readonly status: number;
  /** One at least, where there are common ones. */
  readonly headers: readonly Header[];
  readonly common?: CommonHeaders | undefined;
  /** Several parts are sent one after the other. */
  readonly body: string | Uint8Array | readonly (string | Uint8Array)[];
  /** The connection ends with this answer. */
  readonly isLast?: boolean;
}

/** What a route wants done with the body. Exactly one of the two is called, once. */
export interface BodyConsumer {
  /** The whole body; the bytes are the consumer's to keep. */
  consume(body: Buffer): HttpResponse | Promise<HttpResponse>;
  /** The body could not be had: too large, too slow, in too many pieces, or its client is gone (499, never sent). */
  refuse(status: number, error: GatewayError): HttpResponse;
}

export type Decision = HttpResponse | BodyConsumer;

/** Decides from method, path and headers. It is called before the body is read, and should not throw. */
export type Route = (request: HttpRequest) => Decision | Promise<Decision>;

export type Engine = 'uws' | 'uws-glibc227' | 'node';

export interface HttpOptions {
  readonly host: string;
  /** 0 = any free one, which no other process can share. */
  readonly port: number;
  readonly engine: Engine | 'auto';
  readonly now: () => number;
  /** Bytes of one body as sent, before inflation. */
  readonly bodyBytesMax: number;
  /** Bytes of bodies and of unsent answers that this door holds at once, each. */
  readonly bufferedBytesMax: number;
  /** Time to receive a body. */
  readonly bodyTimeoutMs: number;
  /** Time that an answer may stand still while it is written. */
  readonly writeTimeoutMs: number;
}

/** An open port. */
export interface Door {
  readonly port: number;
  readonly engine: Engine;
  /** Requests that are not answered yet. */
  readonly inFlight: number;
  readonly load: DoorLoad;
  /** Closes the port for new connections. Open ones are served on. */
  stopListening(): void;
  /** Closes the port. Requests in flight are answered; those that still arrive on open connections get 503. */
  stopAccepting(): void;
  /** Closes the port and every connection, answered or not. */
  close(): Promise<void>;
}

/** Opens a door on the best engine that loads, or on the one asked for. @throws when the port cannot be bound */
export async function listenHttp(route: Route, options: HttpOptions): Promise<Door> {
  if (options.engine === 'node') return listenNode(route, options);
  for (const engine of options.engine === 'auto' ? (['uws', 'uws-glibc227'] as const) : [options.engine]) {
    const build = loadUws(engine);
    if (build !== undefined) return listenUws(build, engine, route, options);
  }
  if (options.engine === 'auto') return listenNode(route, options);
  throw new Error(`the HTTP engine '${options.engine}' does not load on this system`);
}
