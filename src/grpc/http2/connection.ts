/**
 * One HTTP/2 connection of a server (RFC 9113): frames in, calls out, over one socket.
 *
 *   socket ─▶ FrameReader ─┬▶ HEADERS ─▶ BlockReader ─▶ open(stream, list) ─▶ StreamUser
 *                          ├▶ DATA ─▶ StreamUser, as it lies in the chunk
 *                          └▶ SETTINGS, WINDOW_UPDATE, PING, RST_STREAM, GOAWAY
 *
 * What a peer may make us keep, or do without asking for an answer, is limited: by windows, by not reading from a peer that
 * does not read, and by patience.
 *
 * Must not know gRPC, listening sockets or timers: it is told when to look at its streams.
 */
import type { Socket } from 'node:net';
import { BlockReader, interrupted } from './block-reader.js';
import { FrameReader, type FrameSink } from './frame-reader.js';
import {
  ConnectionFault,
  calmDown,
  cancelled,
  flagAck,
  flagEnd,
  flowControlError,
  frameGoAway,
  frameHeaders,
  framePing,
  framePriority,
  frameReset,
  frameSettings,
  frameSizeError,
  frameWindow,
  noError,
  protocolError,
  refusedStream,
  settingHeaderList,
  settingStreams,
  settingWindow,
  streamClosed,
  streamLimit,
  windowLimit,
  windowUsual,
} from './frames.js';
import type { HeaderList } from './header-list.js';
import { Outbox, type Turn } from './outbox.js';
import { Patience } from './patience.js';
import { SendRoom } from './send-room.js';
import { readSettings, writeSettings } from './settings.js';
import { Stream, type StreamHost, type StreamUser } from './stream.js';
import { StreamTable } from './stream-table.js';

export interface ConnectionOptions {
  readonly now: () => number;
  readonly turn: Turn;
  /** Streams at once. */
  readonly streamsMax: number;
  /** A new stream; whoever answers it. */
  readonly open: (stream: Stream, head: HeaderList) => StreamUser;
  /** A stream has ended, or a ping was answered. */
  readonly onProgress: () => void;
}

/** Offered to peers and held against them: 16 KiB of fields (protocol §2.7). */
const listBytesMax = 16_384;
/** Of one stream. With 256 streams that are not read, a connection can make us keep 64 MiB. */
const streamWindow = 262_144;
/** Of the whole connection, and given back at once: a stream that is not read must not stop the others. */
const connectionWindow = 4_194_304;
/** What a socket may hold before its peer is not listened to any more. */
const unreadBytesMax = 2 ** 20;

export class Connection implements StreamHost, FrameSink {
  readonly outbox: Outbox;
  readonly room: SendRoom;
  readonly peer: string;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #frames = new FrameReader(this);
  readonly #blocks = new BlockReader(listBytesMax);
  readonly #streams = new StreamTable<Stream>();
  /** Streams that are reset before they are answered, by either end (CVE-2023-44487). As many as nghttp2 bears. */
  readonly #resets: Patience;
  /** Chosen: frames that lead to nothing, among them resets that cross our answer. */
  readonly #idles: Patience;
  /** The stream that opened last: most DATA is its. */
  #newest: Stream | undefined = undefined;
  /** Whose DATA is being read, if that stream is open. */
  #reading: Stream | undefined = undefined;
  #isReadingEnd = false;
  #lastId = 0;
  /** Streams beyond it are not served: we have said so. */
  #servedMax = streamLimit;
  #receiveLeft = connectionWindow;
  #peerWindow = windowUsual;
  #isGreeted = false;
  #isEnding = false;
  #isHeard = false;
  #framesRead = 0;
  #pingAcks = 0;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.outbox = new Outbox(socket, options.turn);
    this.room = new SendRoom(this.outbox);
    this.peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#resets = new Patience(1000, 100, options.now);
    this.#idles = new Patience(10_000, 1000, options.now);
    socket.on('data', (chunk: Buffer) => this.take(chunk));
    socket.on('drain', () => this.#drained());
    writeSettings(this.outbox, [
      [settingStreams, options.streamsMax],
      [settingWindow, streamWindow],
      [settingHeaderList, listBytesMax],
    ]);
    this.#grant(0, connectionWindow - windowUsual);
  }

  /** Streams that are open. */
  get size(): number {
    return this.#streams.size;
  }

  /** The peer has said what every client must say first. */
  get isGreeted(): boolean {
    return this.#isGreeted;
  }

  /** A frame or a header block has begun and is not whole. */
  get isWaiting(): boolean {
    return this.#frames.isWaiting || this.#blocks.isOpen;
  }

  /** Frames that have begun, but for those of header blocks: whether `isWaiting` is about the same one. */
  get framesRead(): number {
    return this.#framesRead;
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
    return this.#pingAcks;
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

  /** @see FrameSink: whoever speaks another protocol would not understand a GOAWAY. */
  foreign(): void {
    this.destroy();
  }

  /** @see FrameSink */
  frame(bytes: Buffer, start: number, end: number, kind: number, stream: number): void {
    if (this.#blocks.isOpen) return this.#list(this.#blocks.go(bytes, start, end, kind, stream), stream);
    this.#framesRead++;
    const flags = kind & 0xff;
    const type = kind >>> 8;
    if (!this.#isGreeted && (type !== frameSettings || (flags & flagAck) !== 0)) throw violation('SETTINGS expected');
    switch (type) {
      case frameHeaders:
        if ((stream & 1) === 0) throw violation(`HEADERS of stream ${stream}`);
        return this.#list(this.#blocks.begin(bytes, start, end, flags, stream), stream);
      case frameWindow:
        if (end - start !== 4) throw wrongSize('WINDOW_UPDATE');
        return this.#window(bytes.readUInt32BE(start) & windowLimit, stream);
      case frameReset:
        if (end - start !== 4) throw wrongSize('RST_STREAM');
        return this.#reset(stream);
      case framePing:
        if (stream !== 0) throw violation('PING of a stream');
        if (end - start !== 8) throw wrongSize('PING');
        return this.#ping(bytes.subarray(start, end), flags);
      case frameSettings:
        if (stream !== 0) throw violation('SETTINGS of a stream');
        return this.#settings(bytes, start, end, flags);
      case frameGoAway:
        if (stream !== 0) throw violation('GOAWAY of a stream');
        if (end - start < 8) throw wrongSize('GOAWAY');
        return this.#bear();
      case framePriority:
        if (stream === 0) throw violation('PRIORITY of the connection');
        if (end - start !== 5) throw wrongSize('PRIORITY');
        return this.#bear();
      default:
        // PUSH_PROMISE is a server's, and CONTINUATION continues nothing. Frames of no meaning are to be ignored.
        if (type < 10) throw violation(`frame ${type}`);
        return this.#bear();
    }
  }

  /** A frame that costs its sender less than us. */
  #bear(): void {
    if (!this.#idles.spend()) throw new ConnectionFault(calmDown, 'too many frames that mean nothing');
  }

  /** @see FrameSink */
  dataHead(size: number, flags: number, id: number): void {
    if (this.#blocks.isOpen) throw interrupted();
    if (!this.#isGreeted) throw violation('SETTINGS expected');
    this.#framesRead++;
    this.#receiveLeft -= size;
    if (this.#receiveLeft < 0) throw new ConnectionFault(flowControlError, 'the window of the connection');
    if (this.#receiveLeft < connectionWindow / 2) {
      this.#grant(0, connectionWindow - this.#receiveLeft);
      this.#receiveLeft = connectionWindow;
    }
    const newest = this.#newest;
    const stream = newest !== undefined && newest.id === id ? newest : this.#streams.get(id);
    this.#isReadingEnd = (flags & flagEnd) !== 0;
    this.#reading = undefined;
    if (stream === undefined) return this.#checkOld(id);
    if (stream.isPeerDone) return this.resetStream(stream, streamClosed);
    stream.receiveLeft -= size;
    if (stream.receiveLeft < 0) return this.resetStream(stream, flowControlError);
    this.#reading = stream;
  }

  /** @see FrameSink */
  dataPart(bytes: Buffer, start: number, end: number, isLast: boolean): void {
    if (start === end && !this.#isReadingEnd) this.#bear();
    const stream = this.#reading;
    if (stream === undefined) return;
    if (end > start && !stream.isDone) stream.user!.data(bytes, start, end);
    if (!isLast) return;
    this.#reading = undefined;
    if (this.#isReadingEnd) this.#ended(stream);
    else this.grant(stream);
  }

  #ended(stream: Stream): void {
    stream.isPeerDone = true;
    if (!stream.isDone) stream.user!.end();
  }

  grant(stream: Stream): void {
    if (stream.isHeld || stream.isPeerDone || stream.isClosed || stream.receiveLeft >= streamWindow / 2) return;
    this.#grant(stream.id, streamWindow - stream.receiveLeft);
    stream.receiveLeft = streamWindow;
  }

  #grant(stream: number, bytes: number): void {
    const at = this.outbox.frame(frameWindow, 0, stream, 4);
    this.outbox.bytes.writeUInt32BE(bytes, at);
  }

  /** A header block: a new stream, or the trailers of one; undefined while it is not whole. */
  #list(list: HeaderList | undefined, id: number): void {
    if (list === undefined) return;
    const isEnd = (this.#blocks.flags & flagEnd) !== 0;
    if (id > this.#lastId) return this.#open(list, isEnd, id);
    const stream = this.#streams.get(id);
    // It was answered or reset while these trailers were on their way.
    if (stream === undefined) return this.#bear();
    if (stream.isPeerDone) return this.resetStream(stream, streamClosed);
    if (!isEnd || list.trailersFault !== '') return this.resetStream(stream, protocolError);
    this.#ended(stream);
  }

  #open(list: HeaderList, isEnd: boolean, id: number): void {
    this.#lastId = id;
    if (id > this.#servedMax) return this.#bear();
    if (this.#streams.size >= this.#options.streamsMax) return this.#refuse(id, refusedStream);
    if (list.headFault !== '') return this.#refuse(id, protocolError);
    const stream = new Stream(id, this, this.#peerWindow, streamWindow);
    this.#streams.add(stream);
    this.#newest = stream;
    stream.isPeerDone = isEnd;
    stream.user = this.#options.open(stream, list);
    if (isEnd && !stream.isDone) stream.user.end();
  }

  /** A stream that never was. */
  #refuse(id: number, code: number): void {
    if (!this.#resets.spend()) throw new ConnectionFault(calmDown, 'too many streams that are refused');
    this.#sendReset(id, code);
  }

  #sendReset(id: number, code: number): void {
    const at = this.outbox.frame(frameReset, 0, id, 4);
    this.outbox.bytes.writeUInt32BE(code, at);
  }

  /** A frame of a stream that is not open: it was once, or the peer is wrong. */
  #checkOld(id: number): void {
    if ((id & 1) === 0 || id > this.#lastId) throw violation(`stream ${id} is idle`);
  }

  #reset(id: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      this.#checkOld(id);
      return this.#bear();
    }
    this.#drop(stream);
    if (!this.#resets.spend()) throw new ConnectionFault(calmDown, 'too many streams that are reset');
  }

  #settings(bytes: Buffer, start: number, end: number, flags: number): void {
    if ((flags & flagAck) !== 0) {
      if (end !== start) throw wrongSize('SETTINGS with ACK');
      return this.#bear();
    }
    const window = readSettings(bytes, start, end);
    this.#isGreeted = true;
    this.outbox.frame(frameSettings, flagAck, 0, 0);
    if (window === undefined || window === this.#peerWindow) return;
    this.#bear();
    const more = window - this.#peerWindow;
    this.#peerWindow = window;
    for (const stream of this.#streams.entries()) {
      if (stream.sendLeft + more > windowLimit) throw new ConnectionFault(flowControlError, 'the window of a stream');
      stream.sendLeft += more;
      stream.pump();
    }
  }

  #ping(payload: Buffer, flags: number): void {
    if ((flags & flagAck) === 0) return this.outbox.payload(framePing, flagAck, 0, payload);
    this.#pingAcks++;
    this.#options.onProgress();
  }

  #window(more: number, id: number): void {
    if (id === 0) {
      if (more === 0) throw violation('WINDOW_UPDATE of 0');
      return this.room.grow(more);
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) return this.#checkOld(id);
    if (more === 0) return this.resetStream(stream, protocolError);
    stream.sendLeft += more;
    if (stream.sendLeft > windowLimit) return this.resetStream(stream, flowControlError);
    stream.pump();
  }

  #drained(): void {
    this.room.pump();
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  resetStream(stream: Stream, code: number): void {
    this.#sendReset(stream.id, code);
    this.#drop(stream);
    if (!this.#resets.spend()) this.fail(calmDown);
  }

  forget(stream: Stream): void {
    // The rest of what the peer wanted to say is of no use: it is told so without blame (RFC 9113 §8.1).
    if (!stream.isPeerDone) this.#sendReset(stream.id, noError);
    this.#drop(stream);
  }

  #drop(stream: Stream): void {
    this.#streams.delete(stream.id);
    if (this.#newest === stream) this.#newest = undefined;
    if (this.#reading === stream) this.#reading = undefined;
    stream.close();
    this.#options.onProgress();
  }

  ping(): void {
    const at = this.outbox.frame(framePing, 0, 0, 8);
    this.outbox.bytes.fill(0, at, at + 8);
  }

  /** Asks the peer to open no more streams here. */
  announceEnd(): void {
    this.#goAway(streamLimit, noError);
  }

  /** Streams that come from now on are not served; those that are open are. */
  refuseNew(): void {
    this.#servedMax = this.#lastId;
    this.#goAway(this.#lastId, noError);
  }

  #goAway(last: number, code: number): void {
    const at = this.outbox.frame(frameGoAway, 0, 0, 8);
    this.outbox.bytes.writeUInt32BE(last, at);
    this.outbox.bytes.writeUInt32BE(code, at + 4);
  }

  /** Ends the connection for its peer's fault, and says so. */
  fail(code: number): void {
    if (this.#isEnding) return;
    this.#goAway(Math.min(this.#lastId, this.#servedMax), code);
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
    for (const stream of this.#streams.entries()) {
      this.#streams.delete(stream.id);
      stream.close();
    }
    this.#newest = undefined;
    this.#reading = undefined;
  }

  destroy(): void {
    this.lose();
    this.#socket.destroy();
  }

  /** Gives up streams of which nothing has moved for `stallMs`. */
  dropStalled(now: number, stallMs: number): void {
    if (this.room.queueBytes === 0) return;
    for (const stream of this.#streams.entries()) {
      if (stream.queueBytes === 0) continue;
      if (stream.stalledAt === 0) stream.stalledAt = now;
      else if (now - stream.stalledAt >= stallMs) this.resetStream(stream, cancelled);
    }
  }
}

function violation(message: string): ConnectionFault {
  return new ConnectionFault(protocolError, message);
}

function wrongSize(frame: string): ConnectionFault {
  return new ConnectionFault(frameSizeError, `${frame} of another size`);
}
