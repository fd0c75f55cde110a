/**
 * How much DATA a connection may send, and which streams wait for it.
 *
 *   room = what the peer's window holds, or nothing while the socket is full
 *
 * Must not know frames.
 */
import { ConnectionFault, flowControlError, windowLimit, windowUsual } from './frames.js';
import type { Outbox } from './outbox.js';

/** What waits for room, in all streams; one more reply is dropped with its stream (reliability §5.4). */
const queueBytesMax = 64 * 2 ** 20;
/** What the socket may hold before DATA waits. */
const socketBytesMax = 262_144;

export interface Waiter {
  readonly isClosed: boolean;
  isWanting: boolean;
  pump(): void;
}

export class SendRoom {
  readonly #outbox: Outbox;
  #left = windowUsual;
  #queueBytes = 0;
  #wanting: Waiter[] = [];

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
  }

  get left(): number {
    return this.#outbox.size < socketBytesMax ? this.#left : 0;
  }

  /** Bytes of all streams that wait. */
  get queueBytes(): number {
    return this.#queueBytes;
  }

  sent(bytes: number): void {
    this.#left -= bytes;
  }

  /** `bytes` more wait. @returns false when that are too many; one reply alone may be larger than all together */
  enqueue(bytes: number): boolean {
    if (this.#queueBytes > 0 && this.#queueBytes + bytes > queueBytesMax) return false;
    this.#queueBytes += bytes;
    return true;
  }

  dequeue(bytes: number): void {
    this.#queueBytes -= bytes;
  }

  /** The peer has room for more. */
  grow(bytes: number): void {
    this.#left += bytes;
    if (this.#left > windowLimit) throw new ConnectionFault(flowControlError, 'the window of the connection');
    this.pump();
  }

  /** `waiter.pump` is called when there is room again. */
  want(waiter: Waiter): void {
    if (waiter.isWanting) return;
    waiter.isWanting = true;
    this.#wanting.push(waiter);
  }

  pump(): void {
    const wanting = this.#wanting;
    if (wanting.length === 0) return;
    this.#wanting = [];
    for (const waiter of wanting) {
      waiter.isWanting = false;
      if (!waiter.isClosed) waiter.pump();
    }
  }
}
