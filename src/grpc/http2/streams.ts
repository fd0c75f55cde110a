/**
 * The streams of one connection: opened by header blocks, fed by DATA, ended by either side.
 *
 *   header block ─▶ open(stream, list) ─▶ StreamUser ◀─ DATA, as it lies in the chunk
 *
 * What a peer may make us keep, or do without asking for an answer, is limited: by windows and by patience.
 *
 * Must not know gRPC, sockets or frames of other kinds. It asks its connection to end, and is told when to look for stalls.
 */
import { BlockReader, interrupted } from './block-reader.js';
import { writeReset, writeWindow } from './control-frames.js';
import type { DataSink } from './frame-reader.js';
import {
  ConnectionFault,
  calmDown,
  cancelled,
  flagEnd,
  flowControlError,
  noError,
  protocolError,
  refusedStream,
  settingHeaderList,
  settingStreams,
  settingWindow,
  streamClosed,
  streamLimit,
  violation,
  windowLimit,
  windowUsual,
} from './frames.js';
import type { HeaderList } from './header-list.js';
import type { Outbox } from './outbox.js';
import { Patience } from './patience.js';
import { SendRoom } from './send-room.js';
import { writeSettings } from './settings.js';
import { Stream, type StreamHost, type StreamUser } from './stream.js';
import { StreamTable } from './stream-table.js';

export interface StreamsOptions {
  readonly now: () => number;
  /** Streams at once. */
  readonly streamsMax: number;
  /** A new stream; whoever answers it. */
  readonly open: (stream: Stream, head: HeaderList) => StreamUser;
  /** A stream has ended, or a ping was answered. */
  readonly onProgress: () => void;
}

/** What streams need of their connection. */
interface StreamsHost {
  readonly outbox: Outbox;
  readonly peer: string;
  /** Ends for its peer's fault, and says so. */
  fail(code: number): void;
}

/** Offered to peers and held against them: 16 KiB of fields (protocol §2.7). */
const listBytesMax = 16_384;
/** Of one stream. With 256 streams that are not read, a connection can make us keep 64 MiB. */
const streamWindow = 262_144;
/** Of the whole connection, and given back at once: a stream that is not read must not stop the others. */
const connectionWindow = 4_194_304;

export class Streams implements StreamHost, DataSink {
  readonly outbox: Outbox;
  readonly room: SendRoom;
  readonly peer: string;
  readonly blocks = new BlockReader(listBytesMax);
  /** The peer has said what every client must say first. */
  isGreeted = false;
  /** Frames that have begun, of any kind, but for those that go on with a header block. */
  framesRead = 0;
  readonly #options: StreamsOptions;
  readonly #host: StreamsHost;
  readonly #table = new StreamTable<Stream>();
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

  constructor(options: StreamsOptions, host: StreamsHost) {
    this.outbox = host.outbox;
    this.room = new SendRoom(host.outbox);
    this.peer = host.peer;
    this.#options = options;
    this.#host = host;
    this.#resets = new Patience(1000, 100, options.now);
    this.#idles = new Patience(10_000, 1000, options.now);
    writeSettings(this.outbox, [
      [settingStreams, options.streamsMax],
      [settingWindow, streamWindow],
      [settingHeaderList, listBytesMax],
    ]);
    writeWindow(this.outbox, 0, connectionWindow - windowUsual);
  }

  /** Streams that are open. */
  get size(): number {
    return this.#table.size;
  }

  /** The highest stream that is or was served. */
  get servedLast(): number {
    return Math.min(this.#lastId, this.#servedMax);
  }

  /** A frame that costs its sender less than us. */
  bear(): void {
    if (!this.#idles.spend()) throw new ConnectionFault(calmDown, 'too many frames that mean nothing');
  }

  /** @see DataSink */
  dataHead(size: number, flags: number, id: number): void {
    if (this.blocks.isOpen) throw interrupted();
    if (!this.isGreeted) throw violation('SETTINGS expected');
    this.framesRead++;
    this.#receiveLeft -= size;
    if (this.#receiveLeft < 0) throw new ConnectionFault(flowControlError, 'the window of the connection');
    if (this.#receiveLeft < connectionWindow / 2) {
      writeWindow(this.outbox, 0, connectionWindow - this.#receiveLeft);
      this.#receiveLeft = connectionWindow;
    }
    const newest = this.#newest;
    const stream = newest !== undefined && newest.id === id ? newest : this.#table.get(id);
    this.#isReadingEnd = (flags & flagEnd) !== 0;
    this.#reading = undefined;
    if (stream === undefined) return this.#checkOld(id);
    if (stream.isPeerDone) return this.resetStream(stream, streamClosed);
    stream.receiveLeft -= size;
    if (stream.receiveLeft < 0) return this.resetStream(stream, flowControlError);
    this.#reading = stream;
  }

  /** @see DataSink */
  dataPart(bytes: Buffer, start: number, end: number, isLast: boolean): void {
    if (start === end && !this.#isReadingEnd) this.bear();
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
    writeWindow(this.outbox, stream.id, streamWindow - stream.receiveLeft);
    stream.receiveLeft = streamWindow;
  }

  /** A header block: a new stream, or the trailers of one; undefined while it is not whole. */
  takeList(list: HeaderList | undefined, id: number): void {
    if (list === undefined) return;
    const isEnd = (this.blocks.flags & flagEnd) !== 0;
    if (id > this.#lastId) return this.#open(list, isEnd, id);
    const stream = this.#table.get(id);
    // It was answered or reset while these trailers were on their way.
    if (stream === undefined) return this.bear();
    if (stream.isPeerDone) return this.resetStream(stream, streamClosed);
    if (!isEnd || list.trailersFault !== '') return this.resetStream(stream, protocolError);
    this.#ended(stream);
  }

  #open(list: HeaderList, isEnd: boolean, id: number): void {
    this.#lastId = id;
    if (id > this.#servedMax) return this.bear();
    if (this.#table.size >= this.#options.streamsMax) return this.#refuse(id, refusedStream);
    if (list.headFault !== '') return this.#refuse(id, protocolError);
    const stream = new Stream(id, this, this.#peerWindow, streamWindow);
    this.#table.add(stream);
    this.#newest = stream;
    stream.isPeerDone = isEnd;
    stream.user = this.#options.open(stream, list);
    if (isEnd && !stream.isDone) stream.user.end();
  }

  /** A stream that never was. */
  #refuse(id: number, code: number): void {
    if (!this.#resets.spend()) throw new ConnectionFault(calmDown, 'too many streams that are refused');
    writeReset(this.outbox, id, code);
  }

  /** A frame of a stream that is not open: it was once, or the peer is wrong. */
  #checkOld(id: number): void {
    if ((id & 1) === 0 || id > this.#lastId) throw violation(`stream ${id} is idle`);
  }

  /** The peer gives up a stream. */
  takeReset(id: number): void {
    const stream = this.#table.get(id);
    if (stream === undefined) {
      this.#checkOld(id);
      return this.bear();
    }
    this.#drop(stream);
    if (!this.#resets.spend()) throw new ConnectionFault(calmDown, 'too many streams that are reset');
  }

  /** The peer gives every stream another window to begin with. */
  resize(window: number): void {
    if (window === this.#peerWindow) return;
    this.bear();
    const more = window - this.#peerWindow;
    this.#peerWindow = window;
    for (const stream of this.#table.entries()) {
      if (stream.sendLeft + more > windowLimit) throw new ConnectionFault(flowControlError, 'the window of a stream');
      stream.sendLeft += more;
      stream.pump();
    }
  }

  /** The peer has room for `more`, on a stream or, by 0, in all. */
  takeWindow(more: number, id: number): void {
    if (id === 0) {
      if (more === 0) throw violation('WINDOW_UPDATE of 0');
      return this.room.grow(more);
    }
    const stream = this.#table.get(id);
    if (stream === undefined) return this.#checkOld(id);
    if (more === 0) return this.resetStream(stream, protocolError);
    stream.sendLeft += more;
    if (stream.sendLeft > windowLimit) return this.resetStream(stream, flowControlError);
    stream.pump();
  }

  resetStream(stream: Stream, code: number): void {
    writeReset(this.outbox, stream.id, code);
    this.#drop(stream);
    if (!this.#resets.spend()) this.#host.fail(calmDown);
  }

  forget(stream: Stream): void {
    // The rest of what the peer wanted to say is of no use: it is told so without blame (RFC 9113 §8.1).
    if (!stream.isPeerDone) writeReset(this.outbox, stream.id, noError);
    this.#drop(stream);
  }

  #drop(stream: Stream): void {
    this.#table.delete(stream.id);
    if (this.#newest === stream) this.#newest = undefined;
    if (this.#reading === stream) this.#reading = undefined;
    stream.close();
    this.#options.onProgress();
  }

  /** Streams that come from now on are not served; those that are open are. @returns the last of them */
  refuseNew(): number {
    this.#servedMax = this.#lastId;
    return this.#lastId;
  }

  /** Nobody waits for what is open. */
  giveUp(): void {
    for (const stream of this.#table.entries()) {
      this.#table.delete(stream.id);
      stream.close();
    }
    this.#newest = undefined;
    this.#reading = undefined;
  }

  /** Gives up streams of which nothing has moved for `stallMs`. */
  dropStalled(now: number, stallMs: number): void {
    if (this.room.queueBytes === 0) return;
    for (const stream of this.#table.entries()) {
      if (stream.queueBytes === 0) continue;
      if (stream.stalledAt === 0) stream.stalledAt = now;
      else if (now - stream.stalledAt >= stallMs) this.resetStream(stream, cancelled);
    }
  }
}
