/**
 * The short frames by which a connection steers its peer: how much it may send, which stream is given up, that we listen, that
 * we end (RFC 9113 §6).
 *
 * Must not know why they are sent.
 */
import { frameGoAway, framePing, frameReset, frameWindow } from './frames.js';
import type { Outbox } from './outbox.js';

/** @param stream 0 = the whole connection */
export function writeWindow(outbox: Outbox, stream: number, bytes: number): void {
  const at = outbox.frame(frameWindow, 0, stream, 4);
  outbox.bytes.writeUInt32BE(bytes, at);
}

export function writeReset(outbox: Outbox, stream: number, code: number): void {
  const at = outbox.frame(frameReset, 0, stream, 4);
  outbox.bytes.writeUInt32BE(code, at);
}

export function writePing(outbox: Outbox): void {
  const at = outbox.frame(framePing, 0, 0, 8);
  outbox.bytes.fill(0, at, at + 8);
}

/** @param last the highest stream that is served */
export function writeGoAway(outbox: Outbox, last: number, code: number): void {
  const at = outbox.frame(frameGoAway, 0, 0, 8);
  outbox.bytes.writeUInt32BE(last, at);
  outbox.bytes.writeUInt32BE(code, at + 4);
}
