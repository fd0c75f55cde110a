/**
 * A caller over gRPC on bare node:http2: unary calls one after another, or one stream whose messages take turns.
 *
 * Messages are framed in advance and replies are not decoded beyond their status, because the stock client would cost more
 * than the server it measures.
 *
 * Must not know loops or what is in a message, except where a stream's reply says it is an error.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { Caller, type CallerEvents, reopenDelayMs, wordOf } from './caller.js';
import { MessageFrames } from './grpc-frames.js';

export interface GrpcCallOptions {
  readonly url: string;
  readonly isStream: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

const names = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

/** A message with its five bytes in front: not compressed, length. */
export function frameOf(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

export class GrpcCaller extends Caller {
  readonly #url: string;
  readonly #isStream: boolean;
  readonly #head: OutgoingHttpHeaders;
  readonly #frames: readonly Buffer[];
  readonly #events: CallerEvents;
  #session: ClientHttp2Session | undefined;
  #stream: ClientHttp2Stream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** The server wants no further calls on this connection. */
  #isGoingAway = false;

  constructor({ url, isStream, headers }: GrpcCallOptions, frames: readonly Buffer[], events: CallerEvents) {
    super();
    this.#url = url;
    this.#isStream = isStream;
    this.#frames = frames;
    this.#events = events;
    this.#head = {
      ...headers,
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: `/inference.GRPCInferenceService/${isStream ? 'ModelStreamInfer' : 'ModelInfer'}`,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      te: 'trailers',
    };
  }

  open(): void {
    if (this.#isClosed) return;
    const session = connect(this.#url, { settings: { enablePush: false, initialWindowSize: 4 * 2 ** 20 } });
    this.#session = session;
    this.#isGoingAway = false;
    session.once('connect', () => {
      session.setLocalWindowSize(16 * 2 ** 20);
      this.isReady = true;
      this.#events.ready(this);
    });
    session.on('goaway', () => {
      this.#isGoingAway = true;
      if (session === this.#session && !this.isBusy) this.#renew();
    });
    session.on('error', (error) => this.#end(session, wordOf(error)));
    session.on('close', () => this.#end(session, 'closed'));
  }

  send(index: number): void {
    this.isBusy = true;
    if (this.#isStream) {
      this.#stream ??= this.#openStream();
      this.#stream.write(this.#frames[index]!);
    } else {
      this.#openUnary().end(this.#frames[index]!);
    }
  }

  abandon(): void {
    this.isBusy = false;
    this.#renew();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#drop();
  }

  #openUnary(): ClientHttp2Stream {
    const stream = this.#session!.request(this.#head);
    let status: string | undefined;
    const look = (headers: Record<string, unknown>) => {
      if (headers['grpc-status'] !== undefined) status = String(headers['grpc-status']);
      else if (headers[':status'] !== undefined && headers[':status'] !== 200) status = `HTTP ${headers[':status']}`;
    };
    stream.on('response', look);
    stream.on('trailers', look);
    stream.on('error', () => {});
    stream.on('close', () => {
      if (this.#stream === stream) this.#ended(stream, status);
    });
    stream.resume();
    this.#stream = stream;
    return stream;
  }

  #openStream(): ClientHttp2Stream {
    const stream = this.#session!.request(this.#head);
    const frames = new MessageFrames();
    let status: string | undefined;
    const look = (headers: Record<string, unknown>) => {
      if (headers['grpc-status'] !== undefined) status = String(headers['grpc-status']);
    };
    stream.on('response', look);
    stream.on('trailers', look);
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => {
      if (this.#stream !== stream) return;
      const replies = frames.take(chunk);
      if (replies > 0 && this.isBusy) this.#answered(frames.isError ? 'stream-error' : '');
    });
    stream.on('close', () => {
      if (this.#stream === stream) this.#ended(stream, status);
    });
    return stream;
  }

  /** A unary call is over, or a stream that should have gone on. */
  #ended(stream: ClientHttp2Stream, status: string | undefined): void {
    this.#stream = undefined;
    if (!this.isBusy) {
      if (this.#session !== undefined) this.#renew();
      return;
    }
    if (status === undefined || (status === '0' && this.#isStream)) {
      this.isBusy = false;
      this.#renew();
      this.#events.lost(this, stream.rstCode === 0 ? 'closed' : 'reset');
      return;
    }
    this.#answered(status === '0' ? '' : (names[Number(status)] ?? status));
  }

  #answered(code: string): void {
    this.isBusy = false;
    if (this.#isGoingAway) this.#renew();
    this.#events.answered(this, code);
  }

  #end(session: ClientHttp2Session, word: string): void {
    if (session !== this.#session) return;
    const { isBusy, isReady } = this;
    this.isBusy = false;
    this.#drop();
    this.#reopen(isReady && !isBusy ? 0 : reopenDelayMs);
    if (isBusy) this.#events.lost(this, word);
    else if (!isReady) this.#events.failed(word);
  }

  #renew(): void {
    this.#drop();
    this.#reopen(0);
  }

  #drop(): void {
    const session = this.#session;
    this.#session = undefined;
    this.#stream = undefined;
    this.isReady = false;
    session?.destroy();
  }

  #reopen(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => this.open(), delayMs);
  }
}
