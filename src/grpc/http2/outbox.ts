/**
 * What a connection is about to send: everything of one turn of the event loop goes out in one write.
 *
 *   frame, frame, … ─▶ one buffer ─┬▶ end of the turn ─▶ socket
 *   large payload ─▶ as it is ─────┘
 *
 * Frames are written where they will be sent from, so a small reply costs no buffer of its own; when the socket has taken all
 * at once, the same buffer serves again.
 *
 * Must not know what frames mean.
 */
import type { Socket } from 'node:net';
import { headBytes } from './frames.js';

const firstBytes = 1024;
const bufferBytesMax = 65_536;
/** Chosen, not measured: so few bytes are copied rather than made a part of their own of the write. */
const copyBytesMax = 2048;

/** Writes what the outboxes of a listener hold at the end of the turn. */
export class Turn {
  #due: Outbox[] = [];

  add(outbox: Outbox): void {
    if (this.#due.push(outbox) === 1) process.nextTick(this.#end);
  }

  readonly #end = (): void => {
    const due = this.#due;
    this.#due = [];
    for (let i = 0; i < due.length; i++) due[i]!.flush();
  };
}

export class Outbox {
  /** Where frames are written. */
  bytes: Buffer = Buffer.allocUnsafeSlow(firstBytes);
  readonly #socket: Socket;
  readonly #turn: Turn;
  /** What is waiting and stands before `bytes`. */
  #parts: Buffer[] = [];
  #partBytes = 0;
  /** `[#from, #at)` of `bytes` is waiting. */
  #from = 0;
  #at = 0;
  #isDue = false;

  constructor(socket: Socket, turn: Turn) {
    this.#socket = socket;
    this.#turn = turn;
  }

  /** Bytes that the peer has not taken, here and in the socket. */
  get size(): number {
    return this.#socket.writableLength + this.#partBytes + this.#at - this.#from;
  }

  /** @returns where in `bytes` the payload must be written, at once */
  frame(type: number, flags: number, stream: number, length: number): number {
    const at = this.#room(headBytes + length);
    this.#head(at, (type << 8) | flags, stream, length);
    return at + headBytes;
  }

  /** A frame whose payload is at hand; it must not change afterwards. */
  payload(type: number, flags: number, stream: number, payload: Buffer): void {
    const { length } = payload;
    if (length <= copyBytesMax) {
      // First the frame: it may change `bytes`.
      const at = this.frame(type, flags, stream, length);
      this.bytes.set(payload, at);
      return;
    }
    this.#head(this.#room(headBytes), (type << 8) | flags, stream, length);
    this.#seal();
    this.#parts.push(payload);
    this.#partBytes += length;
  }

  #head(at: number, kind: number, stream: number, length: number): void {
    const { bytes } = this;
    bytes[at] = length >>> 16;
    bytes[at + 1] = length >>> 8;
    bytes[at + 2] = length;
    bytes[at + 3] = kind >>> 8;
    bytes[at + 4] = kind;
    bytes[at + 5] = stream >>> 24;
    bytes[at + 6] = stream >>> 16;
    bytes[at + 7] = stream >>> 8;
    bytes[at + 8] = stream;
  }

  #room(size: number): number {
    if (!this.#isDue) {
      this.#isDue = true;
      this.#turn.add(this);
    }
    if (this.#at + size > this.bytes.length) {
      this.#seal();
      this.bytes = Buffer.allocUnsafeSlow(Math.max(size, Math.min(this.bytes.length * 2, bufferBytesMax)));
      this.#from = 0;
      this.#at = 0;
    }
    const at = this.#at;
    this.#at += size;
    return at;
  }

  #seal(): void {
    if (this.#at === this.#from) return;
    this.#parts.push(this.bytes.subarray(this.#from, this.#at));
    this.#partBytes += this.#at - this.#from;
    this.#from = this.#at;
  }

  flush(): void {
    this.#isDue = false;
    const socket = this.#socket;
    const parts = this.#parts;
    if (!socket.writable) this.#from = this.#at;
    else if (parts.length === 0) {
      if (this.#at > this.#from) socket.write(this.bytes.subarray(this.#from, this.#at));
    } else {
      this.#seal();
      socket.cork();
      for (let i = 0; i < parts.length; i++) socket.write(parts[i]!);
      socket.uncork();
    }
    if (parts.length > 0) {
      this.#parts = [];
      this.#partBytes = 0;
    }
    // What the socket has not passed on it still reads from here.
    if (socket.writableLength > 0 || this.bytes.length > bufferBytesMax)
      this.bytes = Buffer.allocUnsafeSlow(firstBytes);
    this.#from = 0;
    this.#at = 0;
  }
}
