/**
 * Sends what is due, and writes down what came of it.
 *
 *   wake ─▶ first of each subject that is due ─▶ posted ─▶ 2xx: ended · 410: disabled · else: tried, or dead after the last try
 *    ▲                                                        │
 *    └───────── when it is over, or the next is due ◀─────────┘
 *
 * Must not know how events come, or what they mean.
 */
import { GatewayError } from '../core/errors.js';
import { attempt, type Endpoint, type PostWebhook } from './attempt.js';
import type { Clocks, Deliveries, Delivery, OutboxRecord } from './deliveries.js';
import type { Journal } from './journal.js';

export type DeliveryResult = 'delivered' | 'failed' | 'dead' | 'disabled' | 'refused';

export interface CourierOptions extends Clocks {
  readonly endpoints: readonly Endpoint[];
  readonly post: PostWebhook;
  readonly random: () => number;
  /** Calls `work` once, later. @returns what takes it back */
  readonly after: (delayMs: number, work: () => void) => () => void;
  readonly onResult: (result: DeliveryResult, endpoint: string, error: string) => void;
}

const delaysMs = [5000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000];
/** When a result cannot be written down, nothing is sent for so long. */
const brokenMs = 5000;
const atOnceMax = 4;
const gone = 410;

export class Courier {
  readonly #options: CourierOptions;
  readonly #deliveries: Deliveries;
  readonly #journal: Journal<OutboxRecord>;
  /** Under way, with what ends them. */
  readonly #running = new Map<Delivery, AbortController>();
  readonly #ended = new Set<Promise<void>>();
  #cancelTimer: () => void = () => {};
  #isClosed = false;

  constructor(options: CourierOptions, deliveries: Deliveries, journal: Journal<OutboxRecord>) {
    this.#options = options;
    this.#deliveries = deliveries;
    this.#journal = journal;
  }

  /** Starts what is due, and comes back when the next thing is. */
  wake(): void {
    if (this.#isClosed) return;
    this.#cancelTimer();
    this.#cancelTimer = () => {};
    const nowMs = this.#options.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const endpoint of this.#options.endpoints) {
      const running = [...this.#running.keys()].filter((one) => one.endpoint === endpoint.name);
      const subjects = new Set(running.map(({ event }) => event.subject));
      let free = atOnceMax - running.length;
      for (const head of this.#deliveries.heads(endpoint.name)) {
        if (subjects.has(head.event.subject)) continue;
        if (head.dueMs > nowMs) nextMs = Math.min(nextMs, head.dueMs);
        else if (free > 0) {
          free--;
          this.#start(head, endpoint);
        }
      }
    }
    if (nextMs < Number.POSITIVE_INFINITY)
      this.#cancelTimer = this.#options.after(Math.max(1, nextMs - nowMs), () => this.wake());
  }

  #start(delivery: Delivery, endpoint: Endpoint): void {
    const controller = new AbortController();
    this.#running.set(delivery, controller);
    const ended = this.#deliver(delivery, endpoint, controller).finally(() => {
      this.#running.delete(delivery);
      this.#ended.delete(ended);
      this.wake();
    });
    this.#ended.add(ended);
  }

  async #deliver(delivery: Delivery, endpoint: Endpoint, controller: AbortController): Promise<void> {
    const answer = await attempt(delivery.event, endpoint, { ...this.#options, controller });
    if (this.#isClosed && 'error' in answer) return;
    try {
      if ('error' in answer) await this.#missed(delivery, answer.error);
      else if (answer.status >= 200 && answer.status <= 299) {
        await this.#journal.append({ kind: 'ended', seq: delivery.seq, endpoint: endpoint.name });
        this.#options.onResult('delivered', endpoint.name, '');
      } else if (answer.status === gone) await this.#disable(endpoint);
      else await this.#missed(delivery, `it answers ${answer.status}`);
    } catch (error) {
      // It stays pending, and is sent again under the same id.
      delivery.dueMs = this.#options.now() + brokenMs;
      this.#options.onResult('failed', endpoint.name, GatewayError.from(error).message);
    }
  }

  async #missed({ seq, endpoint, tries: before }: Delivery, error: string): Promise<void> {
    const { random, epochNow, onResult } = this.#options;
    const tries = before + 1;
    const delayMs = delaysMs[before];
    if (delayMs === undefined) await this.#journal.append({ kind: 'dead', seq, endpoint, tries, error });
    else {
      const dueEpochMs = Math.round(epochNow() + delayMs * (0.9 + 0.2 * random()));
      await this.#journal.append({ kind: 'tried', seq, endpoint, tries, error, dueEpochMs });
    }
    onResult(delayMs === undefined ? 'dead' : 'failed', endpoint, error);
  }

  async #disable({ name, place }: Endpoint): Promise<void> {
    await this.#journal.append({ kind: 'disabled', endpoint: name, place });
    this.#options.onResult('disabled', name, `it answers ${gone}`);
  }

  /** What is under way is given up: it stays pending. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer();
    for (const controller of this.#running.values()) controller.abort(new Error('the server stops'));
    await Promise.all(this.#ended);
  }
}
