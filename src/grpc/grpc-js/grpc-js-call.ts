/**
 * A call of grpc-js as our methods see it.
 *
 * Replies can be compressed, which grpc-js does not know: the encoding is announced by a header of the reply, which it passes
 * on, and the flag is set while the message is framed: framing copies the message behind a head of five bytes that begins with
 * the flag, so a buffer whose own `copy` also sets the flag is framed as compressed. A test holds this against the library.
 *
 * Must not know what messages mean.
 */
import * as grpc from '@grpc/grpc-js';
import { assignmentTexts, bytesOf, type Call, type Message, type ReplyNames } from '../call.js';
import type { Encoding } from '../compression.js';
import type { Status } from '../terms.js';

/** How grpc-js is answered; it differs between unary calls and streams. */
export interface Ends {
  send(message: Buffer): void;
  finish(): void;
  fail(status: Partial<grpc.StatusObject>): void;
}

/** What is needed of any call of the library. */
export interface LibraryCall {
  readonly metadata: grpc.Metadata;
  getDeadline(): Date | number;
  getPeer(): string;
  sendMetadata(metadata: grpc.Metadata): void;
}

export interface Clocks {
  readonly now: () => number;
  /** Milliseconds since 1970: the clock of grpc-js deadlines. */
  readonly epochNow: () => number;
}

export class GrpcJsCall implements Call {
  readonly deadlineAt: number;
  readonly #call: LibraryCall;
  readonly #ends: Ends;

  constructor(call: LibraryCall, ends: Ends, { now, epochNow }: Clocks) {
    this.#call = call;
    this.#ends = ends;
    const deadline = Number(call.getDeadline());
    this.deadlineAt = deadline === Infinity ? Infinity : now() + (deadline - epochNow());
  }

  get peer(): string {
    return this.#call.getPeer();
  }

  text(key: string): string {
    const { metadata } = this.#call;
    const value = key === acceptEncoding ? metadata.getOpaque(key) : metadata.get(key)[0];
    return typeof value === 'string' ? value : '';
  }

  reply(names: ReplyNames, message: Message): void {
    this.#call.sendMetadata(metadataOf(names));
    this.#ends.send(framable(message));
  }

  announce(encoding: Encoding): void {
    this.#call.sendMetadata(metadataOf({ requestId: '', model: '', version: '', encoding }));
  }

  send(message: Message): void {
    this.#ends.send(framable(message));
  }

  finish(): void {
    this.#ends.finish();
  }

  fail(status: Status, requestId: string): void {
    this.#ends.fail({ ...status, metadata: metadataOf({ requestId, model: '', version: '' }) });
  }
}

function metadataOf({ requestId, model, version, encoding, assignment, timing }: ReplyNames): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (requestId !== '') metadata.set('x-request-id', requestId);
  if (encoding !== undefined) metadata.set('grpc-encoding', encoding);
  if (timing !== undefined) metadata.set('server-timing', timing);
  if (model === '') return metadata;
  metadata.set('x-sluice-model', model);
  metadata.set('x-sluice-version', version);
  for (const [name, text] of assignmentTexts(assignment)) metadata.set(`x-sluice-${name}`, text);
  return metadata;
}

function framable(message: Message): Buffer {
  const bytes = bytesOf(message);
  if (!message.isCompressed) return bytes;
  bytes.copy = function copy(target: Uint8Array, start = 0, from?: number, to?: number): number {
    target[start - 5] = 1;
    return Buffer.prototype.copy.call(this, target, start, from, to);
  };
  return bytes;
}

const acceptEncoding = 'grpc-accept-encoding';

/** What is needed of the library's Metadata. */
interface MetadataReader {
  fromHttp2Headers(headers: Record<string, unknown>): grpc.Metadata;
}

const patched = new WeakSet<MetadataReader>();

/** grpc-js takes `grpc-accept-encoding` away before a handler sees the metadata; from now on it is kept beside them. */
export function keepAcceptEncoding(metadata: MetadataReader): void {
  if (patched.has(metadata)) return;
  patched.add(metadata);
  const read = metadata.fromHttp2Headers;
  metadata.fromHttp2Headers = (headers) => {
    const result = read(headers);
    const accepted = headers[acceptEncoding];
    if (accepted !== undefined) result.setOpaque(acceptEncoding, accepted);
    return result;
  };
}
