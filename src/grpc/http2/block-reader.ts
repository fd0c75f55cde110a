/**
 * Puts header blocks together from HEADERS and CONTINUATION frames and has them decoded.
 *
 * Must not know streams: only that nothing may come between the frames of a block.
 */
import {
  ConnectionFault,
  calmDown,
  flagHeadersEnd,
  flagPadded,
  flagPriority,
  frameContinuation,
  frameSizeError,
  protocolError,
} from './frames.js';
import type { HeaderList } from './header-list.js';
import { HpackDecoder } from './hpack.js';

/** A block is still read when its list is too large, so that the peer gets an answer; beyond this the connection ends. */
const blockBytesMax = 65_536;
const framesMax = 32;
const priorityBytes = 5;

export class BlockReader {
  readonly #hpack: HpackDecoder;
  #parts: Buffer[] | undefined = undefined;
  #bytes = 0;
  #stream = 0;
  /** Flags of the HEADERS frame with which the block began that was read last. */
  flags = 0;

  constructor(listBytesMax: number) {
    this.#hpack = new HpackDecoder(listBytesMax);
  }

  /** A block has begun and not ended. */
  get isOpen(): boolean {
    return this.#parts !== undefined;
  }

  /** A HEADERS frame. @returns its list, unless CONTINUATION follows */
  begin(bytes: Buffer, start: number, end: number, flags: number, stream: number): HeaderList | undefined {
    let from = start;
    let to = end;
    if ((flags & flagPadded) !== 0) {
      if (from === to) throw new ConnectionFault(frameSizeError, 'padded HEADERS without a length');
      to -= bytes[from++]!;
    }
    if ((flags & flagPriority) !== 0) from += priorityBytes;
    if (to < from) throw new ConnectionFault(protocolError, 'padding longer than its frame');
    this.flags = flags;
    if ((flags & flagHeadersEnd) !== 0) return this.#hpack.decode(bytes, from, to);
    this.#parts = [bytes.subarray(from, to)];
    this.#bytes = to - from;
    this.#stream = stream;
    return undefined;
  }

  /** Any frame while a block is open. @returns the list at its end */
  go(bytes: Buffer, start: number, end: number, kind: number, stream: number): HeaderList | undefined {
    if (kind >>> 8 !== frameContinuation || stream !== this.#stream) throw interrupted();
    const parts = this.#parts!;
    parts.push(bytes.subarray(start, end));
    this.#bytes += end - start;
    if (this.#bytes > blockBytesMax || parts.length > framesMax) {
      throw new ConnectionFault(calmDown, 'a header block without an end');
    }
    if ((kind & flagHeadersEnd) === 0) return undefined;
    this.#parts = undefined;
    return this.#hpack.decode(Buffer.concat(parts), 0, this.#bytes);
  }
}

export function interrupted(): ConnectionFault {
  return new ConnectionFault(protocolError, 'a header block was interrupted');
}
