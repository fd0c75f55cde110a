/**
 * Cuts what comes from a socket into frames, wherever it was split.
 *
 *   preface ─▶ head, payload, head, … ─┬▶ DATA, as far as it has come, where it lies in the chunk
 *                                      └▶ every other frame when it is whole, which is 16 KiB at most
 *
 * Must not know what frames mean.
 */
import {
  ConnectionFault,
  flagPadded,
  frameData,
  frameSizeError,
  headBytes,
  payloadUsual,
  preface,
  protocolError,
} from './frames.js';

/** Who is given DATA. Bytes do not change afterwards. */
export interface DataSink {
  /** DATA of `size` bytes begins, padding included: what flow control counts. */
  dataHead(size: number, flags: number, stream: number): void;
  /** Bytes of that DATA, without its padding; `isLast` with the last of them, of which there may be none. */
  dataPart(bytes: Buffer, start: number, end: number, isLast: boolean): void;
}

/** Who is given every other frame. */
export interface FrameSink {
  frame(bytes: Buffer, start: number, end: number, kind: number, stream: number): void;
  /** The peer does not speak HTTP/2. */
  foreign(): void;
}

const none = Buffer.alloc(0);

export class FrameReader {
  readonly #sink: FrameSink;
  readonly #data: DataSink;
  #prefaceAt = 0;
  /** The beginning of a frame that is not whole. */
  #rest: Buffer = none;
  /** What is still to come of DATA. */
  #dataLeft = 0;
  #isStopped = false;

  constructor(sink: FrameSink, data: DataSink) {
    this.#sink = sink;
    this.#data = data;
  }

  /** Something has begun and is not whole. */
  get isWaiting(): boolean {
    return this.#rest.length > 0 || this.#dataLeft > 0;
  }

  /** Reads no further, not even what is at hand. */
  stop(): void {
    this.#isStopped = true;
  }

  /** @throws ConnectionFault, also that of a sink; nothing can be read afterwards */
  take(chunk: Buffer): void {
    let at = 0;
    if (this.#prefaceAt < preface.length) {
      at = this.#readPreface(chunk);
      if (at < 0) return;
    }
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = Buffer.concat([this.#rest, chunk]);
      this.#rest = none;
    } else if (this.#dataLeft > 0) at = this.#readData(chunk, at);
    at = this.#readFrames(bytes, at);
    if (at < bytes.length) this.#rest = bytes.subarray(at);
  }

  #readPreface(chunk: Buffer): number {
    const start = this.#prefaceAt;
    const end = Math.min(chunk.length, preface.length - start);
    this.#prefaceAt += end;
    if (chunk.compare(preface, start, start + end, 0, end) !== 0) {
      this.#isStopped = true;
      this.#sink.foreign();
    }
    return this.#isStopped || this.#prefaceAt < preface.length ? -1 : end;
  }

  /** @returns where it stopped */
  #readFrames(bytes: Buffer, start: number): number {
    const { length } = bytes;
    let at = start;
    while (length - at >= headBytes && !this.#isStopped) {
      const size = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
      if (size > payloadUsual) throw new ConnectionFault(frameSizeError, `a frame of ${size} bytes`);
      const type = bytes[at + 3]!;
      const flags = bytes[at + 4]!;
      const stream = ((bytes[at + 5]! & 0x7f) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!;
      const payload = at + headBytes;
      const end = payload + size;
      if (end > length && (type !== frameData || (flags & flagPadded) !== 0)) return at;
      if (type !== frameData) this.#sink.frame(bytes, payload, end, (type << 8) | flags, stream);
      else {
        this.#data.dataHead(size, flags, stream);
        if ((flags & flagPadded) !== 0) this.#padded(bytes, payload, end);
        else if (end <= length) this.#data.dataPart(bytes, payload, end, true);
        else {
          this.#dataLeft = end - length;
          if (length > payload) this.#data.dataPart(bytes, payload, length, false);
          return length;
        }
      }
      at = end;
    }
    return at;
  }

  /** DATA goes on. @returns where the next frame begins */
  #readData(chunk: Buffer, start: number): number {
    const end = Math.min(chunk.length, start + this.#dataLeft);
    this.#dataLeft -= end - start;
    this.#data.dataPart(chunk, start, end, this.#dataLeft === 0);
    return end;
  }

  #padded(bytes: Buffer, start: number, end: number): void {
    if (start === end) throw new ConnectionFault(frameSizeError, 'padded DATA without a length');
    const last = end - bytes[start]!;
    if (last < start + 1) throw new ConnectionFault(protocolError, 'padding longer than its frame');
    this.#data.dataPart(bytes, start + 1, last, true);
  }
}
