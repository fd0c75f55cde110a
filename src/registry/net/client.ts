/**
 * The only way out to the network for sources: asks, follows, tries again, all within limits.
 *
 *   ask ─▶ try ─▶ may this URL be asked? ─▶ exchange ─▶ 3xx? the next URL, checked like the first
 *           ▲                                         └▶ 408, 429, 5xx, no connection: wait ─┐
 *           └────────────────────────────────────────────────────────────────────────────────┘
 *
 * Credentials go where they were meant for: as soon as a redirect leaves the origin, only headers that describe the wanted
 * bytes go along, and they do not come back on a later hop. Proxies named in the environment are ignored.
 *
 * Must not know what is fetched.
 */
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { rootCertificates } from 'node:tls';
import { GatewayError } from '../../core/errors.js';
import { Refusal } from '../refusal.js';
import { type ExchangeLimits, exchange, type OpenAnswer } from './exchange.js';
import type { Answer, Ask, Http } from './http.js';
import { Life } from './life.js';
import { Reach, redirected } from './reach.js';
import { isPassing, isPassingStatus, retryDelayMs } from './retry.js';

export interface HttpLimits extends ExchangeLimits {
  /** From the first try to the last byte. */
  readonly totalTimeoutMs: number;
  readonly triesMax: number;
}

export const httpLimits: HttpLimits = {
  connectTimeoutMs: 5000,
  headerTimeoutMs: 10_000,
  stallTimeoutMs: 30_000,
  stallBytesPerS: 10_240,
  totalTimeoutMs: 1_800_000,
  triesMax: 7,
};

export interface HttpOptions extends Partial<HttpLimits> {
  /** The source's own url. An address that stands there (or in `allowHosts`) is allowed on that port. */
  readonly origin: URL;
  /** Plain http. A loopback address in `origin` may be asked by it anyway. */
  readonly allowHttp: boolean;
  /** Ranges like `10.0.0.0/8` that may be connected to besides public addresses. */
  readonly allowPrivate: readonly string[];
  /** `name` or `name:port`, each treated like the host of `origin`. */
  readonly allowHosts: readonly string[];
  /** PEM certificates, trusted besides those of the system. */
  readonly caFile?: string | undefined;
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly epochNow: () => number;
  readonly random: () => number;
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<void>;
  /** A request was not made, or not followed, because of where it led. */
  readonly onRefused?: ((refusal: Refusal) => void) | undefined;
  /** Addresses of a name; default: as the system answers. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

/** Cause of the UNAVAILABLE that is thrown when every try was answered like this. */
export interface LastAnswer {
  readonly status: number;
  readonly contentType: string;
  /** Its beginning. For the source to understand, never for a client to see. */
  readonly text: string;
}

const redirectsMax = 3;
const socketsMax = 64;
const lastTextBytesMax = 4096;
const keptAcrossOrigins = /^(accept|range|if-[a-z-]+)$/;

/** @throws INVALID_ARGUMENT when a range of `allowPrivate` is not one; FAILED_PRECONDITION when `caFile` cannot be read */
export function createHttp(options: HttpOptions): Http {
  return new Client(options);
}

class Client implements Http {
  readonly #options: HttpOptions & HttpLimits;
  readonly #reach: Reach;
  readonly #plain: HttpAgent;
  readonly #tls: HttpsAgent;

  constructor(options: HttpOptions) {
    this.#options = { ...httpLimits, ...options };
    this.#reach = new Reach({ resolve: systemAddresses, ...options });
    const kept = { keepAlive: true, maxSockets: socketsMax, maxFreeSockets: 8, scheduling: 'lifo' } as const;
    this.#plain = new HttpAgent(kept);
    this.#tls = new HttpsAgent({ ...kept, ca: authorities(options.caFile) });
  }

  async ask(ask: Ask): Promise<Answer> {
    const { totalTimeoutMs } = this.#options;
    const life = new Life({ host: ask.url.host, signal: ask.signal, totalTimeoutMs });
    try {
      const answer = await this.#answer(ask, life);
      answer.onClose(() => life.end());
      return answer;
    } catch (error) {
      life.end();
      if (error instanceof Refusal) this.#options.onRefused?.(error);
      throw error;
    }
  }

  close(): void {
    this.#plain.destroy();
    this.#tls.destroy();
  }

  async #answer(ask: Ask, life: Life): Promise<OpenAnswer> {
    const { triesMax, random, epochNow, sleep } = this.#options;
    for (let index = 0; ; index++) {
      life.signal.throwIfAborted();
      let fault: unknown;
      let retryAfter: string | undefined;
      try {
        const answer = await this.#follow(ask, life);
        if (!isPassingStatus(answer.status)) return answer;
        retryAfter = answer.headers['retry-after'];
        fault = await refusedFor(answer, index + 1 === triesMax);
      } catch (error) {
        life.signal.throwIfAborted();
        if (!isPassing(error)) throw error;
        fault = error;
      }
      if (index + 1 >= triesMax) throw fault;
      const delayMs = retryDelayMs({ index, retryAfter, epochMs: epochNow(), chance: random() });
      await sleep(delayMs, life.signal).catch(() => life.signal.throwIfAborted());
    }
  }

  /** One try: the request and its redirects. */
  async #follow(ask: Ask, life: Life): Promise<OpenAnswer> {
    const method = ask.method ?? 'GET';
    let { url, headers = {} } = ask;
    for (let hops = 0; ; hops++) {
      this.#reach.check(url);
      const answer = await this.#exchange(url, { ...ask, method, headers }, life);
      const place = answer.headers.location;
      if (place === undefined || ![301, 302, 303, 307, 308].includes(answer.status)) return answer;
      answer.dispose();
      if (method === 'POST' || method === 'PUT') throw new Refusal('redirect', `${url.host} redirects a ${method}`);
      if (hops === redirectsMax) throw new Refusal('redirect', `${url.host} redirects more than ${redirectsMax} times`);
      const next = redirected(url, place);
      if (next.origin !== url.origin) headers = keptOf(headers);
      url = next;
    }
  }

  #exchange(url: URL, { method, headers, body }: Ask & Required<Pick<Ask, 'method' | 'headers'>>, life: Life) {
    return exchange({
      url,
      method,
      headers,
      body,
      agent: url.protocol === 'https:' ? this.#tls : this.#plain,
      lookup: this.#reach.lookup(url),
      limits: this.#options,
      life,
      now: this.#options.now,
    });
  }
}

function keptOf(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => keptAcrossOrigins.test(name)));
}

/** What a try that was answered "not now" amounts to; the text is read of the last one only. */
async function refusedFor(answer: Answer, isLast: boolean): Promise<GatewayError> {
  const { status, headers, url } = answer;
  const text = isLast ? await beginningOf(answer) : '';
  if (!isLast) answer.dispose();
  const cause: LastAnswer = { status, contentType: headers['content-type'] ?? '', text };
  return new GatewayError('UNAVAILABLE', `${url.host} answers ${status}`, { cause });
}

async function beginningOf(answer: Answer): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of answer.body) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= lastTextBytesMax) break;
    }
  } catch {
    // What came before the cut is as good a beginning as any.
  }
  return Buffer.concat(chunks).subarray(0, lastTextBytesMax).toString();
}

async function systemAddresses(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

function authorities(caFile: string | undefined): string[] | undefined {
  if (caFile === undefined) return undefined;
  try {
    return [...rootCertificates, readFileSync(caFile, 'utf8')];
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new GatewayError('FAILED_PRECONDITION', `the CA file cannot be read: ${code}`);
  }
}
