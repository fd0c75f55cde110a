/**
 * The headers that a reply carries beside those of the protocol: request id, the version that answered, the encoding.
 *
 * It stands where grpc-js expects a Metadata and has only what grpc-js asks of one when it sends: the headers themselves.
 * Filling a Metadata checks every key and value by regular expression and copies them twice.
 *
 * Must not know the gRPC library.
 */
import type { Encoding } from './compression.js';

export class ReplyHeaders {
  encoding: Encoding | undefined = undefined;
  readonly #requestId: string;
  readonly #model: string;
  readonly #version: string;

  /** Empty = left out. Every text must be fit for a header. */
  constructor(requestId: string, model: string, version: string) {
    this.#requestId = requestId;
    this.#model = model;
    this.#version = version;
  }

  clone(): ReplyHeaders {
    return this;
  }

  toHttp2Headers(): Record<string, string> {
    const headers: Record<string, string> = {};
    if (this.#requestId !== '') headers['x-request-id'] = this.#requestId;
    if (this.#model !== '') {
      headers['x-sluice-model'] = this.#model;
      headers['x-sluice-version'] = this.#version;
    }
    if (this.encoding !== undefined) headers['grpc-encoding'] = this.encoding;
    return headers;
  }
}
