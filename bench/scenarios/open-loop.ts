/**
 * Requests at a rate, whether or not earlier ones are answered; their time counts from when they were due.
 *
 * Must not know what is asked for.
 */
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpBody } from '../suite/bodies.js';
import { post } from './clients.js';

export interface Answer {
  readonly status: number;
  readonly ms: number;
}

export interface OpenLoopOptions {
  readonly origin: string;
  readonly body: HttpBody;
  readonly rate: number;
  readonly seconds: number;
  /** Ends it earlier. */
  readonly isOver?: () => boolean;
  /** Requests in flight; one that finds no room counts as status −1. */
  readonly inFlightMax: number;
}

/** Resolves when the last request is answered. */
export async function openLoop({
  origin,
  body,
  rate,
  seconds,
  isOver = () => false,
  inFlightMax,
}: OpenLoopOptions): Promise<Answer[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: inFlightMax });
  const answers: Answer[] = [];
  const startedAt = performance.now();
  const total = Math.round(rate * seconds);
  let inFlight = 0;
  for (let sent = 0; sent < total && !isOver(); ) {
    for (const due = ((performance.now() - startedAt) / 1000) * rate; sent < Math.min(due, total); sent++) {
      if (inFlight >= inFlightMax) {
        answers.push({ status: -1, ms: 0 });
        continue;
      }
      const dueAt = startedAt + (sent / rate) * 1000;
      inFlight++;
      void post(origin, body, agent).then(({ status }) => {
        inFlight--;
        answers.push({ status, ms: performance.now() - dueAt });
      });
    }
    await sleep(1);
  }
  while (inFlight > 0) await sleep(10);
  agent.destroy();
  return answers;
}
