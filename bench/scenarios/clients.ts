/**
 * Clients that behave as good ones do: keep-alive, a new connection when they are told to close, one request after the other.
 * They remember when each request that failed was sent.
 *
 * Must not know what happens to their server.
 */
import { Agent, type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpBody } from '../suite/bodies.js';

export interface Failure {
  readonly sentAt: number;
  readonly text: string;
}

export interface Clients {
  readonly answered: () => number;
  readonly failures: readonly Failure[];
  /** Resolves when the last request is answered. */
  stop(): Promise<void>;
}

export interface ClientsOptions {
  readonly origin: string;
  readonly body: HttpBody;
  readonly clients: number;
  readonly now: () => number;
}

/** A client whose request failed tries the next one after this. */
const pauseMs = 5;

export function startClients({ origin, body, clients, now }: ClientsOptions): Clients {
  const failures: Failure[] = [];
  let answered = 0;
  let isStopped = false;
  const loop = async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (!isStopped) {
      const sentAt = now();
      const { status, text } = await post(origin, body, agent);
      if (status === 200) {
        answered++;
        continue;
      }
      failures.push({ sentAt, text: `${status} ${text}`.slice(0, 200) });
      await sleep(pauseMs);
    }
    agent.destroy();
  };
  const loops = Array.from({ length: clients }, loop);
  return {
    answered: () => answered,
    failures,
    stop: async () => {
      isStopped = true;
      await Promise.all(loops);
    },
  };
}

/** Status 0 = there was no answer. */
export function post(
  origin: string,
  body: HttpBody,
  agent: Agent,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve) => {
    const headers = { ...body.headers, 'content-length': body.bytes.length };
    const sent = request(origin + body.path, { method: 'POST', agent, headers }, (response: IncomingMessage) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', (error) => resolve({ status: 0, text: error.message }));
    });
    sent.on('error', (error) => resolve({ status: 0, text: error.message }));
    sent.end(body.bytes);
  });
}
