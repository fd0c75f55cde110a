/** What the tests of triggers share: a clock that is moved by hand, events, and a receiver on the loopback. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TriggerType } from '../src/core/trigger.js';
import type { Endpoint } from '../src/triggers/attempt.js';
import type { TriggerEvent } from '../src/triggers/event.js';

export const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

/** Time passes only when it is told to; timers run in their order. */
export class HandClock {
  #ms = 1000;
  readonly #epochMs: number;
  /** Whether something is under way that ends by itself, such as a write to the disk; time does not pass before. */
  isBusy: () => boolean = () => false;
  #timers: { readonly atMs: number; readonly work: () => void }[] = [];

  constructor(epochMs = Date.parse('2026-06-01T00:00:00Z')) {
    this.#epochMs = epochMs - this.#ms;
  }

  readonly now = () => this.#ms;
  readonly epochNow = () => this.#epochMs + this.#ms;

  readonly after = (delayMs: number, work: () => void): (() => void) => {
    const timer = { atMs: this.#ms + delayMs, work };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  };

  /** Lets what is under way settle between timers. */
  async pass(ms: number): Promise<void> {
    const until = this.#ms + ms;
    for (;;) {
      do await turnsPassed();
      while (this.isBusy());
      const [next] = this.#timers.filter(({ atMs }) => atMs <= until).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((one) => one !== next);
      this.#ms = Math.max(this.#ms, next.atMs);
      next.work();
    }
    this.#ms = until;
  }
}

/** Promises that wait for nothing outside have gone on as far as they can. */
async function turnsPassed(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export function eventOf(
  id: string,
  subject = 'digits@1',
  type: TriggerType = 'io.sluice.drift.detected',
): TriggerEvent {
  return { id, type, subject, source: '/sluice/test', time: '2026-06-01T00:00:00.000Z', data: { score: 0.4 } };
}

export function endpointOf(change: Partial<Endpoint> = {}): Endpoint {
  const name = change.name ?? 'ops';
  return {
    name,
    place: 'p1',
    types: [],
    format: 'cloudevents',
    hasHubSignature: false,
    secret: () => secret,
    ...change,
  };
}

export interface Received {
  readonly id: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  /** Resolves when so many have come. */
  count(least: number): Promise<void>;
}

/** @param answer what is done with a request; without an answer it hangs */
export async function receiver(
  context: { after(work: () => void): void },
  answer: (response: ServerResponse, received: Received) => void = (response) => response.writeHead(204).end(),
): Promise<Receiver> {
  const received: Received[] = [];
  const waiting = new Set<() => void>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const one = {
        id: String(request.headers['webhook-id']),
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      };
      received.push(one);
      answer(response, one);
      for (const look of waiting) look();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    count: (least) =>
      new Promise((resolve) => {
        const look = () => {
          if (received.length < least) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}
