/**
 * One connection of the gRPC load: keeps a number of calls, or messages of one stream, in flight.
 *
 * It exists because stock clients need several times the CPU of the servers that they load, on the same cores. Success is
 * told without reading header blocks: a call that fails ends without a message, and a message of ModelStreamInfer that
 * carries an error begins with field 1.
 *
 * Must not know how many others there are, or time beyond `now`.
 */
import { connect, type Socket } from 'node:net';
import {
  callHead,
  flagAck,
  flagEnd,
  flagPadded,
  forStream,
  frame,
  frameData,
  frameGoAway,
  frameHead,
  frameHeaders,
  framePing,
  frameReset,
  frameSettings,
  frameWindow,
  messageFrames,
  opening,
  windowUpdate,
  windowUsual,
} from './http2-frames.js';

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  /** A whole ModelInferRequest without an id. */
  readonly message: Buffer;
  readonly inFlight: number;
  readonly isStream: boolean;
  readonly now: () => number;
  readonly onAnswer: (ms: number, isSuccess: boolean) => void;
  readonly onClose: (unanswered: number) => void;
}

const none = Buffer.alloc(0);
const streamPath = '/inference.GRPCInferenceService/ModelStreamInfer';
const callPath = '/inference.GRPCInferenceService/ModelInfer';
/** What was received before the server is told that it may send as much again. */
const receivedMax = 2 ** 28;
const settingInitialWindow = 4;

/** Bytes of the DATA frames among `frames`: what flow control counts, exactly, or the window would leak away. */
function dataBytesOf(frames: Buffer): number {
  let bytes = 0;
  for (let at = 0; at + frameHead <= frames.length; ) {
    const length = frames.readUIntBE(at, 3);
    if (frames[at + 3] === frameData) bytes += length;
    at += frameHead + length;
  }
  return bytes;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #head: Buffer;
  readonly #call: Buffer;
  /** What a call takes of the server's window. */
  readonly #callBytes: number;
  /** When each call in flight was sent, by stream; or each message of the one stream, by its slot. */
  readonly #sentAt = new Map<number, number>();
  /** Calls that have had their message. */
  readonly #answered = new Set<number>();
  #rest: Buffer = none;
  #partial: Buffer = none;
  #nextStream = 1;
  #window = windowUsual;
  #streamWindow = windowUsual;
  #received = 0;
  #isStopped = false;
  #isOpen = false;
  readonly #blocked: number[] = [];

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { host, port, message, isStream } = options;
    this.#head = callHead(isStream ? streamPath : callPath, `${host}:${port}`);
    this.#call = Buffer.concat([this.#head, messageFrames(message, true)]);
    this.#callBytes = dataBytesOf(this.#call);
    this.#socket = connect({ host, port, noDelay: true });
    this.#socket.write(opening());
    this.#socket.on('data', (bytes) => this.#take(bytes));
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => options.onClose(this.#isStopped ? 0 : Math.max(1, this.#sentAt.size)));
  }

  /** Sends nothing more and hangs up. */
  stop(): void {
    this.#isStopped = true;
    this.#socket.destroy();
  }

  #begin(): void {
    this.#isOpen = true;
    if (this.#options.isStream) this.#socket.write(forStream(this.#head, 1));
    for (let slot = 0; slot < this.#options.inFlight; slot++) this.#send(slot);
  }

  /** The next request; it waits when the server has not made room for it. */
  #send(slot: number): void {
    if (this.#isStopped) return;
    const bytes = this.#options.isStream ? dataBytesOf(this.#messageOf(slot)) : this.#callBytes;
    if (this.#window < bytes || this.#streamWindow < bytes) {
      this.#blocked.push(slot);
      return;
    }
    this.#window -= bytes;
    if (this.#options.isStream) {
      this.#streamWindow -= bytes;
      this.#sentAt.set(slot, this.#options.now());
      this.#socket.write(forStream(this.#messageOf(slot), 1));
    } else {
      this.#sentAt.set(this.#nextStream, this.#options.now());
      this.#socket.write(forStream(this.#call, this.#nextStream));
      this.#nextStream += 2;
    }
  }

  readonly #messages = new Map<number, Buffer>();

  /** Replies of a stream come in any order, so each message carries its slot as the id (field 3). */
  #messageOf(slot: number): Buffer {
    let frames = this.#messages.get(slot);
    if (frames === undefined) {
      const id = Buffer.from(String(slot));
      frames = messageFrames(Buffer.concat([this.#options.message, Buffer.of(0x1a, id.length), id]), false);
      this.#messages.set(slot, frames);
    }
    return frames;
  }

  #take(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    this.#socket.cork();
    while (all.length - at >= frameHead) {
      const length = all.readUIntBE(at, 3);
      const end = at + frameHead + length;
      if (end > all.length) break;
      const flags = all[at + 4]!;
      if ((flags & flagPadded) !== 0 && all[at + 3]! <= frameHeaders)
        throw new Error('padded frames are not understood');
      this.#frame(all[at + 3]!, flags, all.readUInt32BE(at + 5), all.subarray(at + frameHead, end));
      at = end;
    }
    this.#socket.uncork();
    this.#rest = at === all.length ? none : all.subarray(at);
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer): void {
    switch (type) {
      case frameData:
        this.#data(stream, payload);
        if ((flags & flagEnd) !== 0) this.#ended(stream);
        return;
      case frameHeaders:
        if ((flags & flagEnd) !== 0) this.#ended(stream);
        return;
      case frameReset:
        return this.#ended(stream);
      case frameSettings:
        if ((flags & flagAck) === 0) this.#settings(payload);
        return;
      case framePing:
        if ((flags & flagAck) === 0) this.#socket.write(frame(framePing, flagAck, 0, payload));
        return;
      case frameWindow:
        return this.#room(stream, payload.readUInt32BE(0));
      case frameGoAway:
        return void this.#socket.destroy();
    }
  }

  #settings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      if (payload.readUInt16BE(at) === settingInitialWindow)
        this.#streamWindow += payload.readUInt32BE(at + 2) - windowUsual;
    }
    this.#socket.write(frame(frameSettings, flagAck, 0, none));
    if (!this.#isOpen) this.#begin();
  }

  #room(stream: number, bytes: number): void {
    if (stream === 0) this.#window += bytes;
    else if (this.#options.isStream) this.#streamWindow += bytes;
    for (const slot of this.#blocked.splice(0)) this.#send(slot);
  }

  #data(stream: number, payload: Buffer): void {
    this.#received += payload.length;
    if (this.#received > receivedMax) {
      this.#socket.write(windowUpdate(this.#received));
      this.#received = 0;
    }
    if (this.#options.isStream) this.#messagesIn(payload);
    else if (payload.length > 5) this.#answered.add(stream);
  }

  #messagesIn(payload: Buffer): void {
    let bytes = this.#partial.length === 0 ? payload : Buffer.concat([this.#partial, payload]);
    while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt32BE(1)) {
      const end = 5 + bytes.readUInt32BE(1);
      this.#reply(bytes.subarray(5, end));
      bytes = bytes.subarray(end);
    }
    this.#partial = bytes;
  }

  #reply(message: Buffer): void {
    const slot = Number(idOf(message));
    const sentAt = this.#sentAt.get(slot);
    this.#sentAt.delete(slot);
    this.#options.onAnswer(this.#options.now() - (sentAt ?? 0), message[0] === 0x12 && sentAt !== undefined);
    this.#send(slot);
  }

  #ended(stream: number): void {
    if (this.#options.isStream) return void this.#socket.destroy();
    const sentAt = this.#sentAt.get(stream);
    if (sentAt === undefined) return;
    this.#sentAt.delete(stream);
    this.#options.onAnswer(this.#options.now() - sentAt, this.#answered.delete(stream));
    this.#send(0);
  }
}

/** Field 3 of the ModelInferResponse inside a ModelStreamInferResponse; empty when there is none. */
function idOf(message: Buffer): string {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const length = varint();
    if (tag === 0x12 && at + length === message.length) continue;
    if (tag === 0x1a) return message.toString('latin1', at, at + length);
    at += length;
  }
  return '';
}
