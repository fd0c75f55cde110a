/**
 * Compression of messages, both ways: replies for callers that accept it, requests of callers that use it.
 *
 * Must not know an engine or what a message means.
 */
import { promisify } from 'node:util';
import { deflate, gunzip, gzip, inflate } from 'node:zlib';
import { Bytes, bytesOf, type Call, type Message, type ReplyNames } from './call.js';
import { statusOf } from './status.js';
import type { Status } from './terms.js';

export type CompressionLevel = 'none' | 'low' | 'medium' | 'high';
export type Encoding = 'gzip' | 'deflate';

/** Chosen: as `http.compression_min_bytes`; below it the result is hardly smaller. */
const bytesMin = 1024;
const zlibLevel = { low: 1, medium: 6, high: 9 };
const compressors = { gzip: promisify(gzip), deflate: promisify(deflate) };

/** The encoding to use for a caller that accepts those of `text`; undefined = none. */
export function encodingFor(text: string): Encoding | undefined {
  const accepted = text.split(',').map((name) => name.trim());
  if (accepted.includes('gzip')) return 'gzip';
  return accepted.includes('deflate') ? 'deflate' : undefined;
}

/** The bytes of a compressed message, or the status that refuses it. */
export function decompressed(bytes: Buffer, encoding: string, bytesMax: number): Promise<Buffer | Status> {
  if (encoding !== 'gzip' && encoding !== 'deflate') {
    const details = `Received message compressed with unsupported encoding "${encoding}"`;
    return Promise.resolve({ code: statusOf.UNIMPLEMENTED, details });
  }
  const decompress = encoding === 'gzip' ? gunzip : inflate;
  return new Promise((resolve) => {
    decompress(bytes, { maxOutputLength: Math.max(1, bytesMax) }, (error, result) => {
      if (error === null) return resolve(result);
      if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') {
        return resolve({ code: statusOf.INTERNAL, details: 'Failed to decompress message' });
      }
      const details = `Received message that decompresses to a size larger than ${bytesMax}`;
      resolve({ code: statusOf.RESOURCE_EXHAUSTED, details });
    });
  });
}

/** The call with its replies compressed, where the caller accepts it. */
export function compressing(call: Call, level: CompressionLevel): Call {
  const encoding = level === 'none' ? undefined : encodingFor(call.text('grpc-accept-encoding'));
  return encoding === undefined || level === 'none' ? call : new CompressingCall(call, encoding, level);
}

class CompressingCall implements Call {
  readonly deadlineAt: number;
  readonly peer: string;
  readonly #call: Call;
  readonly #encoding: Encoding;
  readonly #level: 'low' | 'medium' | 'high';
  #isAnnounced = false;
  /** What was given to the call last: answers keep their order. */
  #last: Promise<void> = Promise.resolve();

  constructor(call: Call, encoding: Encoding, level: 'low' | 'medium' | 'high') {
    this.#call = call;
    this.#encoding = encoding;
    this.#level = level;
    this.deadlineAt = call.deadlineAt;
    this.peer = call.peer;
  }

  text(key: string): string {
    return this.#call.text(key);
  }

  reply(names: ReplyNames, message: Message): void {
    void this.#pack(message).then((packed) => {
      const encoding = packed.isCompressed ? this.#encoding : undefined;
      this.#call.reply({ ...names, encoding }, packed);
    });
  }

  announce(encoding: Encoding): void {
    this.#call.announce(encoding);
  }

  send(message: Message): void {
    if (!this.#isAnnounced) this.#call.announce(this.#encoding);
    this.#isAnnounced = true;
    const packed = this.#pack(message);
    this.#last = this.#last.then(async () => this.#call.send(await packed));
  }

  finish(): void {
    this.#last = this.#last.then(() => this.#call.finish());
  }

  fail(status: Status, requestId: string): void {
    this.#last = this.#last.then(() => this.#call.fail(status, requestId));
  }

  async #pack(message: Message): Promise<Message> {
    if (message.size < bytesMin) return message;
    const bytes = await compressors[this.#encoding](bytesOf(message), { level: zlibLevel[this.#level] });
    return new Bytes(bytes, true);
  }
}
