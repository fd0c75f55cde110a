/**
 * One stream of a connection: how much either end may send, what waits for room, and how the stream ends.
 *
 *   HEADERS, DATA …, end ─▶ StreamUser        headers, send …, trailers ─┬▶ outbox
 *                                                                       └▶ queue, while the peer has no room
 *
 * Must not know frames of other kinds, or what is sent.
 */
import { cancelled, flagEnd, flagHeadersEnd, frameData, frameHeaders, payloadUsual } from './frames.js';
import type { Outbox } from './outbox.js';
import type { SendRoom } from './send-room.js';

/** What the layer above is told. After `close` it is told nothing more. */
export interface StreamUser {
  /** Bytes `[start, end)` of `chunk` have come; they do not change. */
  data(chunk: Buffer, start: number, end: number): void;
  /** The peer sends nothing more. */
  end(): void;
  /** Some of what waited for room has been sent. */
  sent(): void;
  /** The stream has ended before we had sent everything. */
  close(): void;
}

/** A payload that knows its size before it is written, so that it is written where it is sent from. */
export interface Payload {
  readonly size: number;
  /** Writes exactly `size` bytes. */
  write(out: Buffer, at: number): void;
}

/** What a stream needs of its connection. */
export interface StreamHost {
  readonly outbox: Outbox;
  readonly room: SendRoom;
  readonly peer: string;
  resetStream(stream: Stream, code: number): void;
  /** We have sent everything. */
  forget(stream: Stream): void;
  /** The peer may send more, if it has used much of what it had. */
  grant(stream: Stream): void;
}

export class Stream {
  readonly id: number;
  readonly host: StreamHost;
  user: StreamUser | undefined = undefined;
  /** What the peer has room for on this stream; negative when it took room back. */
  sendLeft: number;
  /** What the peer may send. */
  receiveLeft: number;
  /** The peer is given no more room. */
  isHeld = false;
  isPeerDone = false;
  isDone = false;
  isClosed = false;
  isWanting = false;
  /** When it was first seen that nothing moves; 0 = something did, or nothing waits. */
  stalledAt = 0;
  #queue: Buffer[] | undefined = undefined;
  #queueBytes = 0;
  #trailers: Buffer | undefined = undefined;

  constructor(id: number, host: StreamHost, sendLeft: number, receiveLeft: number) {
    this.id = id;
    this.host = host;
    this.sendLeft = sendLeft;
    this.receiveLeft = receiveLeft;
  }

  /** Bytes that wait for room. */
  get queueBytes(): number {
    return this.#queueBytes;
  }

  /** A header block of `size` bytes, which must be written to the outbox from the result on, at once. */
  headers(size: number): number {
    return this.host.outbox.frame(frameHeaders, flagHeadersEnd, this.id, size);
  }

  send(payload: Payload): void {
    if (this.isClosed) return;
    const { size } = payload;
    const { outbox, room } = this.host;
    if (this.#queue === undefined && size <= payloadUsual && size <= this.sendLeft && size <= room.left) {
      this.#charge(size);
      const at = outbox.frame(frameData, 0, this.id, size);
      payload.write(outbox.bytes, at);
      return;
    }
    if (!room.enqueue(size)) return this.host.resetStream(this, cancelled);
    const bytes = Buffer.allocUnsafeSlow(size);
    payload.write(bytes, 0);
    this.#queue ??= [];
    this.#queue.push(bytes);
    this.#queueBytes += size;
    this.pump();
  }

  /** The last header block, or the only one; it follows what waits. */
  trailers(block: Buffer): void {
    if (this.isClosed) return;
    if (this.#queue === undefined) this.#finish(block);
    else this.#trailers = block;
  }

  reset(code: number): void {
    if (!this.isClosed) this.host.resetStream(this, code);
  }

  /** Takes the peer's bytes again after `isHeld`. */
  release(): void {
    this.isHeld = false;
    this.host.grant(this);
  }

  /** Sends what there is room for. */
  pump(): void {
    if (this.#queue === undefined) return;
    const { queueBytes } = this;
    this.#sendQueue(this.#queue);
    if (this.queueBytes < queueBytes && !this.isDone) this.user?.sent();
  }

  #sendQueue(queue: Buffer[]): void {
    const { outbox, room } = this.host;
    while (queue.length > 0) {
      const bytes = queue[0]!;
      const size = Math.min(bytes.length, payloadUsual, this.sendLeft, room.left);
      if (size <= 0 && bytes.length > 0) {
        if (this.sendLeft > 0) room.want(this);
        return;
      }
      this.#charge(size);
      this.#queueBytes -= size;
      room.dequeue(size);
      this.stalledAt = 0;
      outbox.payload(frameData, 0, this.id, bytes.subarray(0, size));
      if (size < bytes.length) queue[0] = bytes.subarray(size);
      else queue.shift();
    }
    this.#queue = undefined;
    if (this.#trailers !== undefined) this.#finish(this.#trailers);
  }

  /** It has ended, one way or another: nothing of it waits any more. */
  close(): void {
    this.isClosed = true;
    this.host.room.dequeue(this.#queueBytes);
    this.#queue = undefined;
    this.#queueBytes = 0;
    if (this.isDone) return;
    this.isDone = true;
    this.user?.close();
  }

  #charge(size: number): void {
    this.sendLeft -= size;
    this.host.room.sent(size);
  }

  #finish(block: Buffer): void {
    this.isDone = true;
    this.host.outbox.payload(frameHeaders, flagHeadersEnd | flagEnd, this.id, block);
    this.host.forget(this);
  }
}
