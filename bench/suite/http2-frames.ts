/**
 * The frames of HTTP/2 that a gRPC client with one fixed request needs: written as bytes made once, read without looking
 * into header blocks.
 *
 * Must not know sockets or what the messages mean.
 */

export const frameHead = 9;
export const frameData = 0;
export const frameHeaders = 1;
export const frameReset = 3;
export const frameSettings = 4;
export const framePing = 6;
export const frameGoAway = 7;
export const frameWindow = 8;

export const flagEnd = 1;
export const flagAck = 1;
export const flagPadded = 8;
const flagHeadersEnd = 4;

/** What every server must take without being asked (RFC 9113 §4.2). */
const frameBytesMax = 16_384;
const windowMax = 2 ** 31 - 1;
export const windowUsual = 65_535;

export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(frameHead + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, frameHead);
  return bytes;
}

/** Preface, settings without a header table or a limit of what we receive. */
export function opening(): Buffer {
  const settings = Buffer.alloc(18);
  settings.writeUInt16BE(1, 0); // HEADER_TABLE_SIZE 0
  settings.writeUInt16BE(2, 6); // ENABLE_PUSH 0
  settings.writeUInt16BE(4, 12); // INITIAL_WINDOW_SIZE
  settings.writeUInt32BE(windowMax, 14);
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  return Buffer.concat([preface, frame(frameSettings, 0, 0, settings), windowUpdate(windowMax - windowUsual)]);
}

/** More room for what the server sends on the whole connection. */
export function windowUpdate(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(frameWindow, 0, 0, payload);
}

/** The head of a gRPC call, in literals without a table (RFC 7541 §6.2.2). */
export function callHead(path: string, authority: string): Buffer {
  const block = Buffer.concat([
    Buffer.of(0x83, 0x86, 0x04),
    literal(path),
    Buffer.of(0x01),
    literal(authority),
    Buffer.of(0x0f, 0x10),
    literal('application/grpc'),
    Buffer.of(0x00),
    literal('te'),
    literal('trailers'),
  ]);
  return frame(frameHeaders, flagHeadersEnd, 0, block);
}

function literal(text: string): Buffer {
  if (text.length > 126) throw new Error(`a header of ${text.length} bytes is too long for this client`);
  return Buffer.concat([Buffer.of(text.length), Buffer.from(text)]);
}

/** A gRPC message, with its prefix, in as many frames as it takes; the stream is filled in by `setStream`. */
export function messageFrames(message: Uint8Array, isLast: boolean): Buffer {
  const prefixed = Buffer.alloc(5 + message.length);
  prefixed.writeUInt32BE(message.length, 1);
  prefixed.set(message, 5);
  const frames: Buffer[] = [];
  for (let at = 0; at < prefixed.length; at += frameBytesMax) {
    const part = prefixed.subarray(at, at + frameBytesMax);
    const isEnd = isLast && at + part.length === prefixed.length;
    frames.push(frame(frameData, isEnd ? flagEnd : 0, 0, part));
  }
  return Buffer.concat(frames);
}

/** A copy of frames with their stream filled in. */
export function forStream(frames: Buffer, stream: number): Buffer {
  const bytes = Buffer.from(frames);
  for (let at = 0; at < bytes.length; at += frameHead + bytes.readUIntBE(at, 3)) bytes.writeUInt32BE(stream, at + 5);
  return bytes;
}
