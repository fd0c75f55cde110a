/**
 * What a source over the network may ask for: one request, one answer, under rules that are the same for all of them.
 *
 * Must not know what is fetched.
 */
import type { Readable } from 'node:stream';

/** A body that is read while it is sent. */
export interface BodyStream {
  readonly bytes: number;
  /** From its beginning, for every try. */
  read(): Readable;
}

export interface Ask {
  readonly url: URL;
  /** Default GET. */
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT';
  /** Lower-case names. `authorization` and every header but accept, range and conditions stay on the origin of `url`. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | BodyStream;
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  /** Lower-case names; those that came several times are joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  /** Where it came from, after redirects. */
  readonly url: URL;
  /** Must be read to its end or given up by `dispose`. */
  readonly body: AsyncIterable<Uint8Array>;
  dispose(): void;
}

/**
 * Sends a request. Any status that the server meant is an answer (404, 401, 304 …); retries, redirects, address checks,
 * time limits and 429/5xx are dealt with before.
 * @throws GatewayError UNAVAILABLE after the last try; Refusal `address` or `redirect`
 */
export interface Http {
  ask(ask: Ask): Promise<Answer>;
  close(): void;
}
