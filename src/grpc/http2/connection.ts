/**
 * One HTTP/2 connection of a server: its socket, what is seen of it, and how it ends.
 *
 *   socket ─▶ FrameReader ─┬▶ Inbox ─┬▶ Streams ─▶ calls ─▶ Outbox ─▶ socket
 *                          └─ DATA ──┘
 *
 * Who does not read is not read from. A peer that is at fault is told so and hung up on.
 *
 * Must not know gRPC, listening sockets or timers: it is told when to look at its streams.
 */
import type { Socket } from 'node:net';
import { writeGoAway, writePing } from './control-frames.js';
import { FrameReader } from './frame-reader.js';
import { ConnectionFault, noError, streamLimit } from './frames.js';
import { Inbox } from './inbox.js';
import { Outbox, type Turn } from './outbox.js';
import { Streams, type StreamsOptions } from './streams.js';

export interface ConnectionOptions extends StreamsOptions {
  readonly turn: Turn;
}

/** What a socket may hold before its peer is not listened to any more. */
const unreadBytesMax = 2 ** 20;

export class Connection {
  readonly outbox: Outbox;
  readonly #socket: Socket;
  readonly #streams: Streams;
  readonly #inbox: Inbox;
  readonly #frames: FrameReader;
  #isEnding = false;
  #isHeard = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.outbox = new Outbox(socket, options.turn);
    this.#streams = new Streams(options, {
      outbox: this.outbox,
      peer: `${socket.remoteAddress}:${socket.remotePort}`,
      fail: (code) => this.fail(code),
    });
    this.#inbox = new Inbox(this.#streams, {
      onProgress: options.onProgress,
      // Whoever speaks another protocol would not understand a GOAWAY.
      onForeign: () => this.destroy(),
    });
    this.#frames = new FrameReader(this.#inbox, this.#streams);
    socket.on('data', (chunk: Buffer) => this.take(chunk));
    socket.on('drain', () => this.#drained());
  }

  /** Streams that are open. */
  get size(): number {
    return this.#streams.size;
  }

  /** The peer has said what every client must say first. */
  get isGreeted(): boolean {
    return this.#streams.isGreeted;
  }

  /** A frame or a header block has begun and is not whole. */
  get isWaiting(): boolean {
    return this.#frames.isWaiting || this.#streams.blocks.isOpen;
  }

  /** Frames that have begun, but for those of header blocks: whether `isWaiting` is about the same one. */
  get framesRead(): number {
    return this.#streams.framesRead;
  }

  /** Bytes that the peer does not take. */
  get unsent(): number {
    return this.#socket.writableLength;
  }

  /** Bytes that the system has taken. */
  get sent(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  /** Pings of ours that were answered. */
  get pingAcks(): number {
    return this.#inbox.pingAcks;
  }

  /** Bytes have come since the last call. */
  takeHeard(): boolean {
    const isHeard = this.#isHeard;
    this.#isHeard = false;
    return isHeard;
  }

  /** Bytes from the socket. */
  take(chunk: Buffer): void {
    if (this.#isEnding) return;
    this.#isHeard = true;
    try {
      this.#frames.take(chunk);
    } catch (thrown) {
      if (!(thrown instanceof ConnectionFault)) throw thrown;
      this.fail(thrown.code);
    }
    if (this.outbox.size > unreadBytesMax) this.#socket.pause();
  }

  #drained(): void {
    this.#streams.room.pump();
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  ping(): void {
    writePing(this.outbox);
  }

  /** Asks the peer to open no more streams here. */
  announceEnd(): void {
    writeGoAway(this.outbox, streamLimit, noError);
  }

  /** Streams that come from now on are not served; those that are open are. */
  refuseNew(): void {
    writeGoAway(this.outbox, this.#streams.refuseNew(), noError);
  }

  /** Ends the connection for its peer's fault, and says so. */
  fail(code: number): void {
    if (this.#isEnding) return;
    writeGoAway(this.outbox, this.#streams.servedLast, code);
    this.end();
  }

  /** Sends what is to be sent and hangs up; open streams are given up. */
  end(): void {
    if (this.#isEnding) return;
    this.lose();
    this.outbox.flush();
    this.#socket.end();
    // Reading goes on, for unread bytes would make the system take back what was sent last.
    this.#socket.resume();
  }

  /** The socket is gone, or will be: nobody waits for what is open. */
  lose(): void {
    this.#isEnding = true;
    this.#frames.stop();
    this.#streams.giveUp();
  }

  destroy(): void {
    this.lose();
    this.#socket.destroy();
  }

  /** Gives up streams of which nothing has moved for `stallMs`. */
  dropStalled(now: number, stallMs: number): void {
    this.#streams.dropStalled(now, stallMs);
  }
}
