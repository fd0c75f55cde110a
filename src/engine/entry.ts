/**
 * A request in a queue, or in a batch that runs: answered once, by whoever is first.
 *
 * It is what the caller's cancellation calls, as an object: a closure over it stayed alive until the collection after next,
 * with the request it had captured.
 *
 * Must not know batches or lanes.
 */
import type { GatewayError } from '../core/errors.js';
import type { Holder, InferenceReply, InferenceRequest } from '../core/inference.js';

/** Where an entry waits. */
export interface Queue {
  /** The entry's caller has gone. */
  leave(entry: Entry): void;
}

/** Times are milliseconds of the process's clock. */
export interface Place {
  readonly level: number;
  readonly queuedAt: number;
  readonly expiresAt: number;
}

export class Entry implements Holder {
  readonly request: InferenceRequest;
  readonly rows: number;
  /** Requests of one bucket may share a run; undefined = this one runs alone. */
  readonly bucket: string | undefined;
  readonly level: number;
  readonly queuedAt: number;
  /** When the queue gives up on it; moved to the deadline by timeout action DELAY. */
  expiresAt: number;
  isDelayed = false;
  isDone = false;
  /** What the caller waits for. */
  readonly reply: Promise<InferenceReply>;
  readonly #queue: Queue;
  #resolve!: (reply: InferenceReply) => void;
  #reject!: (error: GatewayError) => void;

  constructor(queue: Queue, request: InferenceRequest, bucket: string | undefined, place: Place) {
    this.request = request;
    this.rows = request.rows;
    this.bucket = bucket;
    this.level = place.level;
    this.queuedAt = place.queuedAt;
    this.expiresAt = place.expiresAt;
    this.#queue = queue;
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    request.cancellation.holder = this;
  }

  onCancel(): void {
    this.#queue.leave(this);
  }

  answer(reply: InferenceReply): void {
    if (this.isDone) return;
    this.#end();
    this.#resolve(reply);
  }

  refuse(error: GatewayError): void {
    if (this.isDone) return;
    this.#end();
    this.#reject(error);
  }

  /** The connection may live on and must not hold what is answered. */
  #end(): void {
    this.isDone = true;
    this.request.cancellation.holder = undefined;
  }
}
