/**
 * The frames of HTTP/2 (RFC 9113): their numbers, and what is wrong with those that end a connection.
 *
 *   length (24 bits) · type (8) · flags (8) · stream (31, after a reserved bit) · payload
 *
 * Must not know connections or what a payload means.
 */

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export const headBytes = 9;

export const frameData = 0;
export const frameHeaders = 1;
export const framePriority = 2;
export const frameReset = 3;
export const frameSettings = 4;
export const framePing = 6;
export const frameGoAway = 7;
export const frameWindow = 8;
export const frameContinuation = 9;

/** Of DATA and HEADERS. */
export const flagEnd = 1;
/** Of SETTINGS and PING. */
export const flagAck = 1;
export const flagHeadersEnd = 4;
export const flagPadded = 8;
export const flagPriority = 0x20;

/** The largest payload without another agreement; we agree to no other. */
export const payloadUsual = 16_384;
export const payloadLimit = 2 ** 24 - 1;
export const windowUsual = 65_535;
export const windowLimit = 2 ** 31 - 1;
export const streamLimit = 2 ** 31 - 1;

export const settingPush = 2;
export const settingStreams = 3;
export const settingWindow = 4;
export const settingPayload = 5;
export const settingHeaderList = 6;

export const noError = 0;
export const protocolError = 1;
export const flowControlError = 3;
export const streamClosed = 5;
export const frameSizeError = 6;
export const refusedStream = 7;
export const cancelled = 8;
export const compressionError = 9;
export const calmDown = 11;

/** What ends a connection: thrown where a frame is read, caught where its bytes came in. */
export class ConnectionFault extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export function violation(message: string): ConnectionFault {
  return new ConnectionFault(protocolError, message);
}

export function wrongSize(frame: string): ConnectionFault {
  return new ConnectionFault(frameSizeError, `${frame} of another size`);
}
