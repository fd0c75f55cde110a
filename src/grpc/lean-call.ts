/**
 * One unary call on a bare HTTP/2 stream, with the statuses and texts of grpc-js.
 *
 *   HEADERS, DATA (one message), end ─▶ InferCall ─▶ HEADERS, DATA, trailers
 *                                              └▶ trailers only: the status of an error
 *
 * As in grpc-js the call begins when its caller has sent everything, because a second message would make it another call.
 *
 * Must not know V2 messages.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { encodeReply } from './codec.js';
import type { Answer } from './infer.js';
import { type CallEnds, type CallOptions, InferCall, type ReplyNames } from './infer-call.js';
import { OnlyMessage, prefixBytes } from './only-message.js';
import { checkedTerms, type Status } from './terms.js';
import { timeoutMsOf } from './timeout.js';

export interface LeanOptions extends CallOptions {
  readonly messageBytesMax: number;
}

const code = { deadlineExceeded: 4, resourceExhausted: 8, unimplemented: 12, internal: 13 };
const method = '/inference.GRPCInferenceService/ModelInfer';
/** The longest time that a timer can hold. */
const timerMsMax = 2 ** 31 - 1;
/** What grpc-js takes as the value of a text key; it leaves out anything else. */
const metadataText = /^[ -~]*$/;

const replyOptions = { waitForTrailers: true, sendDate: false };
const failureOptions = { endStream: true, sendDate: false };
const successTrailers = { 'grpc-status': '0' };

function ignore(): void {
  // A broken stream also closes, and that is listened to.
}

function sendSuccess(this: ServerHttp2Stream): void {
  this.sendTrailers(successTrailers);
}

/** Answers the call that `stream` is. */
export function startLeanCall(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, options: LeanOptions): void {
  new LeanCall(stream, headers, options).listen();
}

class LeanCall implements CallEnds {
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #options: LeanOptions;
  readonly #message: OnlyMessage;
  /** On the clock of `DataPlane.now`. */
  #deadlineAt = Infinity;
  #timer: NodeJS.Timeout | undefined = undefined;
  #call: InferCall | undefined = undefined;
  /** Answered, or nobody waits. */
  #isOver = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, options: LeanOptions) {
    this.#stream = stream;
    this.#headers = headers;
    this.#options = options;
    this.#message = new OnlyMessage(options.messageBytesMax);
  }

  listen(): void {
    const stream = this.#stream;
    stream.on('error', ignore);
    stream.on('close', () => this.#close());
    stream.on('data', (chunk: Buffer) => this.#take(chunk));
    stream.on('end', () => this.#begin());
    const timeout = this.#headers['grpc-timeout'];
    if (timeout !== undefined) this.#setDeadline(String(timeout));
  }

  reply({ requestId, model, version, id }: ReplyNames, { outputs }: Answer): void {
    if (this.#isOver) return;
    const bytes = encodeReply({ modelName: model, modelVersion: version, id }, outputs, prefixBytes);
    const size = bytes.length - prefixBytes;
    if (size > this.#options.messageBytesMax) {
      const details = `Sent message larger than max (${bytes.length} vs. ${this.#options.messageBytesMax})`;
      return this.fail({ code: code.resourceExhausted, details }, requestId);
    }
    this.#end();
    bytes[0] = 0;
    bytes.writeUInt32BE(size, 1);
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    stream.on('wantTrailers', sendSuccess);
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc+proto',
        'grpc-accept-encoding': 'identity,deflate,gzip',
        'grpc-encoding': 'identity',
        'x-request-id': requestId,
        'x-sluice-model': model,
        'x-sluice-version': version,
      },
      replyOptions,
    );
    stream.end(bytes);
  }

  fail({ code, details }: Status, requestId: string): void {
    if (this.#isOver) return;
    this.#end();
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    const headers: OutgoingHttpHeaders = {
      ':status': 200,
      'content-type': 'application/grpc+proto',
      'grpc-status': code,
      'grpc-message': encodeURI(details),
    };
    if (requestId !== '') headers['x-request-id'] = requestId;
    stream.respond(headers, failureOptions);
  }

  #take(chunk: Buffer): void {
    if (this.#isOver) return;
    const excess = this.#message.take(chunk);
    if (excess === undefined) return;
    if (excess === 'second message') {
      const details = `Received a second request message for server streaming method ${method}`;
      return this.fail({ code: code.unimplemented, details }, '');
    }
    const details = `Received message larger than max (${this.#message.size} vs ${this.#options.messageBytesMax})`;
    this.fail({ code: code.resourceExhausted, details }, '');
  }

  #begin(): void {
    if (this.#isOver) return;
    const { bytes } = this.#message;
    if (bytes === undefined) {
      const details = `Received no request message for server streaming method ${method}`;
      return this.fail({ code: code.unimplemented, details }, '');
    }
    const receivedAt = this.#options.plane.now();
    const terms = checkedTerms((key) => this.#text(key), receivedAt, this.#deadlineAt);
    this.#call = new InferCall(this.#options, terms, receivedAt, this);
    this.#call.run(bytes);
  }

  #text(key: string): string {
    const value = this.#headers[key];
    return typeof value === 'string' && metadataText.test(value) ? value : '';
  }

  #setDeadline(text: string): void {
    const timeoutMs = timeoutMsOf(text);
    if (timeoutMs === undefined) {
      return this.fail({ code: code.internal, details: `Invalid grpc-timeout value "${text}"` }, '');
    }
    this.#deadlineAt = this.#options.plane.now() + timeoutMs;
    if (timeoutMs <= timerMsMax) this.#timer = setTimeout(this.#expire, timeoutMs);
  }

  readonly #expire = (): void => {
    this.fail({ code: code.deadlineExceeded, details: 'Deadline exceeded' }, '');
    this.#call?.cancel();
  };

  /** Also the end of every answered call. */
  #close(): void {
    if (this.#isOver) return;
    this.#end();
    this.#call?.cancel();
  }

  #end(): void {
    this.#isOver = true;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
  }
}
