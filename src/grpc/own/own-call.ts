/**
 * One call of gRPC on a stream of HTTP/2: its messages, its deadline, its end.
 *
 *   HEADERS, DATA …, end ─▶ MessageReader ─▶ CallUser
 *   reply | send …, finish | fail ─▶ HEADERS, DATA …, trailers; or trailers only
 *
 * A unary call begins for its method when the caller has sent everything, because a second message would make it another
 * call. Of a stream no more is read while too many of its requests are unanswered, or its caller does not take the answers.
 * Statuses and texts are those of grpc-js.
 *
 * Must not know what messages mean.
 */
import type { Call, CallUser, Message, Method, ReplyNames } from '../call.js';
import { decompressed, type Encoding } from '../compression.js';
import type { Payload, Stream, StreamUser } from '../http2/stream.js';
import { statusOf } from '../status.js';
import type { Status } from '../terms.js';
import type { CallHead } from './call-head.js';
import type { Deadlines, Due } from './deadlines.js';
import { type Budget, MessageReader, type MessageSink, prefixBytes } from './message-reader.js';
import { failureBlock, failureTrailers, type ReplyHeaders, successTrailers } from './reply-block.js';

export interface OwnCallOptions {
  readonly now: () => number;
  readonly deadlines: Deadlines;
  readonly headers: ReplyHeaders;
  readonly budget: Budget;
  readonly messageBytesMax: number;
  /** Requests of one stream at once. */
  readonly inFlightMax: number;
  /** For a unary call to be sent. */
  readonly requestTimeoutMs: number;
}

/** Answers of a stream that wait for its caller, before no more of its requests are read. */
const unsentBytesMax = 262_144;
/** Pieces of a stream that is not read: beyond it they are put together, for each costs more than its bytes. */
const piecesMax = 64;

const noNames: ReplyNames = { requestId: '', model: '', version: '' };

/** A message behind its prefix. */
class Framed implements Payload {
  readonly size: number;
  readonly #message: Message;

  constructor(message: Message) {
    this.size = prefixBytes + message.size;
    this.#message = message;
  }

  write(out: Buffer, at: number): void {
    out[at] = this.#message.isCompressed ? 1 : 0;
    out.writeUInt32BE(this.#message.size, at + 1);
    this.#message.write(out, at + prefixBytes);
  }
}

export class OwnCall implements Call, StreamUser, MessageSink, Due {
  readonly deadlineAt: number;
  dueRow: Due['dueRow'] = undefined;
  duePlace = 0;
  readonly #stream: Stream;
  readonly #head: CallHead;
  readonly #method: Method;
  readonly #options: OwnCallOptions;
  readonly #messages: MessageReader;
  #user: CallUser | undefined = undefined;
  /** The message of a unary call. */
  #only: Buffer | undefined = undefined;
  #isOnlyCompressed = false;
  /** Requests of a stream that are not answered. */
  #unanswered = 0;
  /** What has come of a stream that is not read. */
  #pieces: Buffer[] | undefined = undefined;
  #isPeerDone = false;
  /** What was given to the user last: compressed requests keep their order. */
  #last: Promise<void> | undefined = undefined;
  #encoding: Encoding | undefined = undefined;
  #hasHeaders = false;
  /** Answered, or nobody waits. */
  #isOver = false;

  constructor(stream: Stream, head: CallHead, method: Method, options: OwnCallOptions) {
    this.#stream = stream;
    this.#head = head;
    this.#method = method;
    this.#options = options;
    this.#messages = new MessageReader(options.messageBytesMax, this, options.budget);
    const openedAt = options.now();
    this.deadlineAt = openedAt + head.timeoutMs;
    if (method.isRequestStream) {
      if (head.timeoutMs !== Infinity) options.deadlines.add(this, this.deadlineAt);
      this.#user = method.open(this);
    } else options.deadlines.add(this, openedAt + Math.min(head.timeoutMs, options.requestTimeoutMs));
  }

  get peer(): string {
    return this.#stream.host.peer;
  }

  text(key: string): string {
    return this.#head.text(key);
  }

  /** @see StreamUser */
  data(chunk: Buffer, start: number, end: number): void {
    if (this.#isOver) return;
    if (this.#pieces !== undefined) return this.#hold(chunk, start, end);
    const at = this.#messages.take(chunk, start, end);
    if (at < end && !this.#isOver) this.#hold(chunk, at, end);
  }

  #hold(chunk: Buffer, start: number, end: number): void {
    this.#pieces ??= [];
    this.#pieces.push(chunk.subarray(start, end));
    if (this.#pieces.length > piecesMax) this.#pieces = [Buffer.concat(this.#pieces)];
  }

  /** @see MessageSink */
  message(bytes: Buffer, isCompressed: boolean): void {
    if (this.#isOver) return;
    if (this.#method.isRequestStream) {
      this.#unanswered++;
      if (!this.#isReadable()) this.#pause();
      return this.#pass(bytes, isCompressed);
    }
    if (this.#only === undefined) {
      this.#only = bytes;
      this.#isOnlyCompressed = isCompressed;
      return;
    }
    const details = `Received a second request message for server streaming method ${this.#method.path}`;
    this.fail({ code: statusOf.UNIMPLEMENTED, details }, '');
  }

  /** @see MessageSink */
  tooLarge(size: number): void {
    const details = `Received message larger than max (${size} vs ${this.#options.messageBytesMax})`;
    this.fail({ code: statusOf.RESOURCE_EXHAUSTED, details }, '');
  }

  /** @see MessageSink */
  noRoom(): void {
    const details = 'Too many large messages are being received';
    this.fail({ code: statusOf.RESOURCE_EXHAUSTED, details }, '');
  }

  /** Gives a message to the user, after those before it. */
  #pass(bytes: Buffer, isCompressed: boolean): void {
    const isPacked = isCompressed && this.#head.encoding !== 'identity';
    if (!isPacked && this.#last === undefined) return this.#user!.message(bytes);
    const unpacked = isPacked ? decompressed(bytes, this.#head.encoding, this.#options.messageBytesMax) : bytes;
    this.#last = (this.#last ?? Promise.resolve()).then(async () => {
      const result = await unpacked;
      if (this.#isOver) return;
      if (Buffer.isBuffer(result)) this.#user!.message(result);
      else this.#abort(result);
    });
  }

  #abort(status: Status): void {
    this.fail(status, '');
    this.#user?.cancel();
  }

  /** @see StreamUser */
  end(): void {
    this.#isPeerDone = true;
    if (this.#isOver || this.#pieces !== undefined) return;
    if (this.#method.isRequestStream) return this.#halfClose();
    const only = this.#only;
    if (only === undefined) {
      const details = `Received no request message for server streaming method ${this.#method.path}`;
      return this.fail({ code: statusOf.UNIMPLEMENTED, details }, '');
    }
    this.#only = undefined;
    // From here on whoever holds the request has its time limit; the caller's own deadline stays.
    if (this.#head.timeoutMs > this.#options.requestTimeoutMs) this.#options.deadlines.remove(this);
    this.#user = this.#method.open(this);
    this.#pass(only, this.#isOnlyCompressed);
  }

  #halfClose(): void {
    if (this.#last === undefined) this.#user!.end();
    else {
      this.#last = this.#last.then(() => {
        if (!this.#isOver) this.#user!.end();
      });
    }
  }

  #isReadable(): boolean {
    return this.#unanswered < this.#options.inFlightMax && this.#stream.queueBytes < unsentBytesMax;
  }

  #pause(): void {
    this.#messages.stop();
    this.#pieces ??= [];
    this.#stream.isHeld = true;
  }

  /** @see StreamUser */
  sent(): void {
    if (this.#pieces !== undefined && !this.#isOver && this.#isReadable()) this.#resume();
  }

  /** Reads on, as far as that is allowed. */
  #resume(): void {
    const pieces = this.#pieces!;
    this.#pieces = undefined;
    this.#stream.isHeld = false;
    this.#messages.go();
    for (const piece of pieces) this.data(piece, 0, piece.length);
    if (this.#pieces !== undefined || this.#isOver) return;
    this.#stream.release();
    if (this.#isPeerDone) this.#halfClose();
  }

  reply(names: ReplyNames, message: Message): void {
    if (this.#isOver || this.#isTooLong(message, names.requestId)) return;
    this.#over();
    this.#options.headers.send(this.#stream, this.#stream.host.outbox, names);
    this.#stream.send(new Framed(message));
    this.#stream.trailers(successTrailers);
  }

  announce(encoding: Encoding): void {
    this.#encoding = encoding;
  }

  send(message: Message): void {
    if (this.#isOver || this.#isTooLong(message, '')) return;
    this.#begin();
    this.#stream.send(new Framed(message));
    if (this.#unanswered === 0) return;
    this.#unanswered--;
    this.sent();
  }

  finish(): void {
    if (this.#isOver) return;
    this.#begin();
    this.#over();
    this.#stream.trailers(successTrailers);
  }

  fail(status: Status, requestId: string): void {
    if (this.#isOver) return;
    this.#over();
    this.#stream.trailers(this.#hasHeaders ? failureTrailers(status) : failureBlock(status, requestId));
  }

  #isTooLong({ size }: Message, requestId: string): boolean {
    const { messageBytesMax } = this.#options;
    if (size <= messageBytesMax) return false;
    const details = `Sent message larger than max (${prefixBytes + size} vs. ${messageBytesMax})`;
    const user = this.#user;
    this.fail({ code: statusOf.RESOURCE_EXHAUSTED, details }, requestId);
    user?.cancel();
    return true;
  }

  #begin(): void {
    if (this.#hasHeaders) return;
    this.#hasHeaders = true;
    const names = this.#encoding === undefined ? noNames : { ...noNames, encoding: this.#encoding };
    this.#options.headers.send(this.#stream, this.#stream.host.outbox, names);
  }

  /** @see Due */
  expire(): void {
    this.#abort({ code: statusOf.DEADLINE_EXCEEDED, details: 'Deadline exceeded' });
  }

  /** @see StreamUser */
  close(): void {
    if (this.#isOver) return;
    this.#over();
    this.#user?.cancel();
  }

  #over(): void {
    this.#isOver = true;
    this.#options.deadlines.remove(this);
    this.#messages.drop();
    this.#pieces = undefined;
    this.#only = undefined;
    this.#stream.isHeld = false;
  }
}
