/**
 * Cuts the bytes of a call into messages, wherever they were split.
 *
 *   flag (1 byte) · length (4 bytes, big endian) · message
 *
 * A message that lies whole in a chunk is a view of it. Others are copied together as they come: the length is compared with
 * the limit before anything of that size is kept, and what is kept grows with what has come, not with what was announced.
 *
 * Must not know streams or what a message means.
 */

/** Who is given the messages. */
export interface MessageSink {
  message(bytes: Buffer, isCompressed: boolean): void;
  /** A message of `size` bytes is announced, which is too large; nothing is read any more. */
  tooLarge(size: number): void;
  /** All calls together keep too much. */
  noRoom(): void;
}

/** Bytes of unfinished messages that may be kept, in all calls of a listener. */
export interface Budget {
  bytes: number;
}

export const prefixBytes = 5;
/** Kept at once when a message is announced: no more than the window of its stream. */
const firstBytes = 262_144;

export class MessageReader {
  readonly #bytesMax: number;
  readonly #sink: MessageSink;
  readonly #budget: Budget;
  #prefix = 0;
  #prefixLength = 0;
  #isCompressed = false;
  #size = 0;
  /** The message that is put together, as far as `#length`. */
  #bytes: Buffer | undefined = undefined;
  #length = 0;
  #isStopped = false;

  constructor(bytesMax: number, sink: MessageSink, budget: Budget) {
    this.#bytesMax = bytesMax;
    this.#sink = sink;
    this.#budget = budget;
  }

  /** Something has begun and is not whole. */
  get isWaiting(): boolean {
    return this.#prefixLength > 0;
  }

  /** @returns where it stopped, which is before `end` only when `stop` was called */
  take(chunk: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && !this.#isStopped) {
      if (this.#prefixLength === 0 && end - at >= prefixBytes) {
        const size = chunk.readUInt32BE(at + 1);
        const from = at + prefixBytes;
        if (size <= end - from && size <= this.#bytesMax) {
          at = from + size;
          this.#sink.message(chunk.subarray(from, at), chunk[from - prefixBytes] === 1);
          continue;
        }
      }
      at = this.#prefixLength < prefixBytes ? this.#takePrefix(chunk, at) : this.#takePart(chunk, at, end);
    }
    return at;
  }

  /** Gives no more messages, until `go`. */
  stop(): void {
    this.#isStopped = true;
  }

  go(): void {
    this.#isStopped = false;
  }

  /** Nothing is kept any more. */
  drop(): void {
    this.#isStopped = true;
    this.#keep(undefined);
  }

  #takePrefix(chunk: Buffer, at: number): number {
    const byte = chunk[at]!;
    if (this.#prefixLength++ === 0) this.#isCompressed = byte === 1;
    else this.#prefix = this.#prefix * 256 + byte;
    if (this.#prefixLength < prefixBytes) return at + 1;
    this.#size = this.#prefix;
    this.#prefix = 0;
    this.#length = 0;
    if (this.#size > this.#bytesMax) {
      this.#isStopped = true;
      this.#sink.tooLarge(this.#size);
    } else if (this.#size === 0) this.#complete(Buffer.alloc(0));
    return at + 1;
  }

  #takePart(chunk: Buffer, at: number, end: number): number {
    const length = Math.min(end - at, this.#size - this.#length);
    if (!this.#grow(this.#length + length)) return end;
    chunk.copy(this.#bytes!, this.#length, at, at + length);
    this.#length += length;
    if (this.#length === this.#size) this.#complete(this.#bytes!);
    return at + length;
  }

  #grow(length: number): boolean {
    const kept = this.#bytes?.length ?? 0;
    if (length <= kept) return true;
    const wanted = Math.min(this.#size, Math.max(firstBytes, kept * 2, length));
    if (wanted - kept > this.#budget.bytes) {
      this.drop();
      this.#sink.noRoom();
      return false;
    }
    const bytes = Buffer.allocUnsafeSlow(wanted);
    this.#bytes?.copy(bytes, 0, 0, this.#length);
    this.#keep(bytes);
    return true;
  }

  #keep(bytes: Buffer | undefined): void {
    this.#budget.bytes += (this.#bytes?.length ?? 0) - (bytes?.length ?? 0);
    this.#bytes = bytes;
  }

  #complete(bytes: Buffer): void {
    this.#prefixLength = 0;
    this.#keep(undefined);
    this.#sink.message(bytes, this.#isCompressed);
  }
}
