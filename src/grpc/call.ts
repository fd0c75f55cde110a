/**
 * A call as the methods see it, whichever engine brought it; and a method as the engines see it.
 *
 *   engine ─ open(call) ─▶ CallUser ◀─ message, end, cancel        method ─▶ call.reply | send …, finish | fail
 *
 * The engine keeps the rules of gRPC: one message where one is expected, sizes, compression, the caller's deadline, how
 * messages and statuses are framed. What a message means is the method's.
 *
 * Must not know an engine.
 */
import type { Assignment } from '../core/route.js';
import type { Encoding } from './compression.js';
import type { Status } from './terms.js';

/** A message that knows its size before it is written, so that it is written where it is sent from. */
export interface Message {
  readonly size: number;
  readonly isCompressed: boolean;
  /** Writes exactly `size` bytes. */
  write(out: Buffer, at: number): void;
}

/** What a reply says in its headers; empty = left out. */
export interface ReplyNames {
  readonly requestId: string;
  readonly model: string;
  readonly version: string;
  readonly encoding?: Encoding | undefined;
  /** What the model's route decided. */
  readonly assignment?: Assignment | undefined;
  /** Where the time went, when the caller asked. */
  readonly timing?: string | undefined;
}

/** What a route's decision says in a reply, as names after `x-sluice-` or `sluice_`, and their values. */
export function assignmentTexts(assignment: Assignment | undefined): readonly (readonly [string, string])[] {
  if (assignment === undefined) return [];
  const { experiment, variant, reason } = assignment;
  const texts = [
    ['experiment', experiment],
    ['reason', reason],
  ] as const;
  return variant === '' ? texts : [...texts, ['variant', variant]];
}

export interface Call {
  /** When the caller stops waiting, on the clock of `DataPlane.now`. Infinity = never. */
  readonly deadlineAt: number;
  /** `address:port` of the caller. */
  readonly peer: string;
  /** First value of a metadata key; empty when there is none that is text. */
  text(key: string): string;
  /** The one answer of a unary call. */
  reply(names: ReplyNames, message: Message): void;
  /** One of several answers. */
  send(message: Message): void;
  /** Announces `encoding` for the answers of `send`, before the first. */
  announce(encoding: Encoding): void;
  /** The end after `send`. */
  finish(): void;
  fail(status: Status, requestId: string): void;
}

/** Whoever answers a call. */
export interface CallUser {
  /** A request; of a unary call the only one, when the caller has sent everything. */
  message(bytes: Buffer): void;
  /** The caller sends nothing more. */
  end(): void;
  /** The caller has gone, or its deadline has passed. */
  cancel(): void;
}

export interface Method {
  /** `/package.Service/Name`. */
  readonly path: string;
  /** Any number of requests, each of which gets one answer; else exactly one request. */
  readonly isRequestStream: boolean;
  readonly isResponseStream: boolean;
  open(call: Call): CallUser;
}

/** Bytes that are a message. */
export class Bytes implements Message {
  readonly size: number;
  readonly isCompressed: boolean;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, isCompressed = false) {
    this.size = bytes.length;
    this.isCompressed = isCompressed;
    this.#bytes = bytes;
  }

  write(out: Buffer, at: number): void {
    out.set(this.#bytes, at);
  }
}

/** Any message as bytes of its own. */
export function bytesOf(message: Message): Buffer {
  const out = Buffer.allocUnsafe(message.size);
  message.write(out, 0);
  return out;
}
