/**
 * What a peer says on a connection, but for DATA (RFC 9113 §6): each frame is looked at by its form and passed on.
 *
 *   HEADERS, CONTINUATION ─▶ BlockReader ─▶ Streams ◀─ RST_STREAM, WINDOW_UPDATE, SETTINGS
 *
 * Must not know what becomes of streams.
 */
import type { FrameSink } from './frame-reader.js';
import {
  flagAck,
  frameGoAway,
  frameHeaders,
  framePing,
  framePriority,
  frameReset,
  frameSettings,
  frameWindow,
  violation,
  windowLimit,
  wrongSize,
} from './frames.js';
import { readSettings } from './settings.js';
import type { Streams } from './streams.js';

interface InboxOptions {
  /** A ping of ours was answered. */
  readonly onProgress: () => void;
  /** The peer does not speak HTTP/2. */
  readonly onForeign: () => void;
}

export class Inbox implements FrameSink {
  /** Pings of ours that were answered. */
  pingAcks = 0;
  readonly #streams: Streams;
  readonly #options: InboxOptions;

  constructor(streams: Streams, options: InboxOptions) {
    this.#streams = streams;
    this.#options = options;
  }

  /** @see FrameSink */
  foreign(): void {
    this.#options.onForeign();
  }

  /** @see FrameSink */
  frame(bytes: Buffer, start: number, end: number, kind: number, stream: number): void {
    const streams = this.#streams;
    const { blocks } = streams;
    if (blocks.isOpen) return streams.takeList(blocks.go(bytes, start, end, kind, stream), stream);
    streams.framesRead++;
    const flags = kind & 0xff;
    const type = kind >>> 8;
    if (!streams.isGreeted && (type !== frameSettings || (flags & flagAck) !== 0)) throw violation('SETTINGS expected');
    switch (type) {
      case frameHeaders:
        if ((stream & 1) === 0) throw violation(`HEADERS of stream ${stream}`);
        return streams.takeList(blocks.begin(bytes, start, end, flags, stream), stream);
      case frameWindow:
        if (end - start !== 4) throw wrongSize('WINDOW_UPDATE');
        return streams.takeWindow(bytes.readUInt32BE(start) & windowLimit, stream);
      case frameReset:
        if (end - start !== 4) throw wrongSize('RST_STREAM');
        return streams.takeReset(stream);
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
        return streams.bear();
      case framePriority:
        if (stream === 0) throw violation('PRIORITY of the connection');
        if (end - start !== 5) throw wrongSize('PRIORITY');
        return streams.bear();
      default:
        // PUSH_PROMISE is a server's, and CONTINUATION continues nothing. Frames of no meaning are to be ignored.
        if (type < 10) throw violation(`frame ${type}`);
        return streams.bear();
    }
  }

  #settings(bytes: Buffer, start: number, end: number, flags: number): void {
    const streams = this.#streams;
    if ((flags & flagAck) !== 0) {
      if (end !== start) throw wrongSize('SETTINGS with ACK');
      return streams.bear();
    }
    const window = readSettings(bytes, start, end);
    streams.isGreeted = true;
    streams.outbox.frame(frameSettings, flagAck, 0, 0);
    if (window !== undefined) streams.resize(window);
  }

  #ping(payload: Buffer, flags: number): void {
    if ((flags & flagAck) === 0) return this.#streams.outbox.payload(framePing, flagAck, 0, payload);
    this.pingAcks++;
    this.#options.onProgress();
  }
}
