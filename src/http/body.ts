/**
 * A request's body while it arrives: copied piece by piece into one buffer, within the limits on bytes and pieces.
 *
 * The buffer grows with what has come, not with what was announced: a Content-Length costs its sender nothing.
 *
 * Must not know engines or headers.
 */
import type { GatewayError } from '../core/errors.js';
import { bodyRefusals } from './framing.js';

/** Bytes that one door holds, against one limit. */
export class ByteBudget {
  readonly #bytesMax: number;
  #held = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Takes `bytes`, unless that were too many. */
  take(bytes: number): boolean {
    if (this.#held + bytes > this.#bytesMax) return false;
    this.#held += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }

  get held(): number {
    return this.#held;
  }
}

export interface BodyFault {
  readonly status: number;
  readonly error: GatewayError;
}

const chunksMax = 65_536;
const firstBytes = 64 * 1024;
const empty = Buffer.alloc(0);

export class BodyBuffer {
  readonly #budget: ByteBudget;
  readonly #bytesMax: number;
  readonly #isChunked: boolean;
  #bytes = empty;
  #length = 0;
  #chunks = 0;
  #held = 0;

  constructor(budget: ByteBudget, bytesMax: number, isChunked: boolean) {
    this.#budget = budget;
    this.#bytesMax = bytesMax;
    this.#isChunked = isChunked;
  }

  /** Copies a piece. @returns why not, after which the body is lost */
  add(piece: Uint8Array): BodyFault | undefined {
    if (piece.length === 0) return undefined;
    const length = this.#length + piece.length;
    if (length > this.#bytesMax) return { status: 413, error: bodyRefusals.tooLarge(length, this.#bytesMax) };
    if (this.#isChunked && ++this.#chunks > chunksMax)
      return { status: 400, error: bodyRefusals.tooManyChunks(chunksMax) };
    if (length > this.#bytes.length && !this.#grow(length)) return { status: 503, error: bodyRefusals.noMemory() };
    this.#bytes.set(piece, this.#length);
    this.#length = length;
    return undefined;
  }

  /** The first piece is taken at its size, since mostly it is the whole; from the second on the size doubles. */
  #grow(length: number): boolean {
    const size =
      this.#length === 0 ? length : Math.min(this.#bytesMax, Math.max(2 * this.#bytes.length, length, firstBytes));
    if (!this.#budget.take(size - this.#held)) return false;
    this.#held = size;
    const next = Buffer.allocUnsafe(size);
    if (this.#length > 0) next.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = next;
    return true;
  }

  whole(): Buffer {
    return this.#length === this.#bytes.length ? this.#bytes : this.#bytes.subarray(0, this.#length);
  }

  /** Gives its bytes back to the budget; the request is over. */
  release(): void {
    this.#budget.give(this.#held);
    this.#held = 0;
    this.#bytes = empty;
    this.#length = 0;
  }
}
