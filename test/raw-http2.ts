/**
 * HTTP/2 without a library: frames as bytes, a client that sends what it is told, and a socket for a connection without a port.
 */
import { type AddressInfo, connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import {
  callHead,
  flagEnd,
  forStream,
  frame,
  frameData,
  frameHead,
  frameHeaders,
  frameSettings,
  messageFrames,
} from '../bench/suite/http2-frames.js';
import { fieldBlock } from '../src/grpc/http2/field-block.js';
import { preface } from '../src/grpc/http2/frames.js';

export const frameReset = 3;
export const framePush = 5;
export const framePing = 6;
export const frameGoAway = 7;
export const frameWindow = 8;
export const frameContinuation = 9;
export const flagHeadersEnd = 4;
export const flagPadded = 8;
export const inferPath = '/inference.GRPCInferenceService/ModelInfer';
export const streamPath = '/inference.GRPCInferenceService/ModelStreamInfer';

const none = Buffer.alloc(0);

/** Preface and settings. */
export function hello(...settings: [setting: number, value: number][]): Buffer {
  return Buffer.concat([preface, settingsFrame(...settings)]);
}

export function settingsFrame(...settings: [setting: number, value: number][]): Buffer {
  const payload = Buffer.alloc(settings.length * 6);
  settings.forEach(([setting, value], index) => {
    payload.writeUInt16BE(setting, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  });
  return frame(frameSettings, 0, 0, payload);
}

export function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

type Fields = readonly (readonly [string, string])[];

/** The fields of a call; `:authority` and all that is not asked for is left out. */
export const usualFields: Fields = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', inferPath],
  ['content-type', 'application/grpc'],
  ['te', 'trailers'],
];

export function headers(stream: number, fields: Fields = usualFields, flags = flagHeadersEnd): Buffer {
  return frame(frameHeaders, flags, stream, fieldBlock(fields));
}

/** A whole call with one message. */
export function call(stream: number, message: Uint8Array, path = inferPath): Buffer {
  return forStream(Buffer.concat([callHead(path, 'test'), messageFrames(message, true)]), stream);
}

export function data(stream: number, payload: Uint8Array, flags = flagEnd): Buffer {
  return frame(frameData, flags, stream, payload);
}

/** A message behind its prefix. */
export function framed(message: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(0), number(message.length), message]);
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The number in a frame that ends a stream or a connection. */
export function codeOf({ type, payload }: Frame): number {
  return payload.readUInt32BE(type === frameGoAway ? 4 : 0);
}

export class RawClient {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  readonly closed: Promise<void>;
  #rest: Buffer = none;
  #isClosed = false;
  #onChange: () => void = () => {};

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk) => this.#take(chunk));
    this.closed = new Promise((resolve) => {
      this.socket.on('close', () => {
        this.#isClosed = true;
        resolve();
        this.#onChange();
      });
    });
  }

  send(...frames: Uint8Array[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  /** The first frame of those that have come or will come that `match` accepts. @throws when the connection closes first */
  async until(match: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(match);
      if (found !== undefined) return found;
      if (this.#isClosed) throw new Error(`closed after ${this.frames.map(({ type }) => type)}`);
      await new Promise<void>((resolve) => {
        this.#onChange = resolve;
      });
    }
  }

  untilReset(stream: number): Promise<Frame> {
    return this.until((one) => one.type === frameReset && one.stream === stream);
  }

  /** The header block that ends a stream, as text. */
  async untilStatus(stream: number): Promise<string> {
    const found = await this.until(
      (one) => one.type === frameHeaders && one.stream === stream && (one.flags & flagEnd) !== 0,
    );
    return found.payload.toString('latin1');
  }

  bodyOf(stream: number): Buffer {
    const parts = this.frames.filter((one) => one.type === frameData && one.stream === stream);
    return Buffer.concat(parts.map(({ payload }) => payload));
  }

  #take(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= frameHead && bytes.length >= frameHead + bytes.readUIntBE(0, 3)) {
      const end = frameHead + bytes.readUIntBE(0, 3);
      const stream = bytes.readUInt32BE(5);
      this.frames.push({ type: bytes[3]!, flags: bytes[4]!, stream, payload: bytes.subarray(frameHead, end) });
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
    this.#onChange();
  }
}

/** A socket whose other end is a test. */
export class FakeSocket extends Duplex {
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 1;
  readonly sent: Buffer[] = [];
  bytesWritten = 0;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    // The sender may use its buffer again.
    this.sent.push(Buffer.from(chunk));
    this.bytesWritten += chunk.length;
    done();
  }

  /** As what it stands for. */
  get asSocket(): Socket {
    return this as unknown as Socket;
  }
}

export function portOf(server: { address(): unknown }): number {
  return (server.address() as AddressInfo).port;
}
