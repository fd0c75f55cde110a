/**
 * Records of an append-only file: u32 length, u32 CRC-32 of what follows, payload; little-endian.
 *
 * A file ends at the first record that is not whole: the rest of one that is being written, or what a crash left.
 *
 * Must not know what is in a record.
 */
import { crc32 } from 'node:zlib';

export const frameHeadBytes = 8;
/** A batch of 10,000 items with short labels. */
export const payloadBytesMax = 1024 * 1024;

/** Fills in the head of a record whose payload lies where it belongs. */
export function sealFrame(into: Buffer, at: number, end: number): void {
  const length = end - at - frameHeadBytes;
  into.writeUInt32LE(length, at);
  into.writeUInt32LE(crc32(new Uint8Array(into.buffer, into.byteOffset + at + frameHeadBytes, length)), at + 4);
}

/** @returns where the record ends */
function putFrame(into: Buffer, at: number, payload: Uint8Array): number {
  const end = at + frameHeadBytes + payload.length;
  into.set(payload, at + frameHeadBytes);
  sealFrame(into, at, end);
  return end;
}

export function framed(payloads: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.allocUnsafe(payloads.reduce((sum, { length }) => sum + frameHeadBytes + length, 0));
  let at = 0;
  for (const payload of payloads) at = putFrame(bytes, at, payload);
  return bytes;
}

export type Frame =
  | { readonly is: 'whole'; readonly payload: Buffer; readonly end: number }
  /** More bytes are needed: so many in all, as far as is known. */
  | { readonly is: 'cut'; readonly bytes: number }
  | { readonly is: 'bad' };

export function frameAt(bytes: Buffer, at: number): Frame {
  if (at + frameHeadBytes > bytes.length) return { is: 'cut', bytes: frameHeadBytes };
  const length = bytes.readUInt32LE(at);
  if (length === 0 || length > payloadBytesMax) return { is: 'bad' };
  const end = at + frameHeadBytes + length;
  if (end > bytes.length) return { is: 'cut', bytes: frameHeadBytes + length };
  const payload = bytes.subarray(at + frameHeadBytes, end);
  return crc32(payload) === bytes.readUInt32LE(at + 4) ? { is: 'whole', payload, end } : { is: 'bad' };
}

const readBytes = 1024 * 1024;

export interface Stretch {
  readonly from: number;
  /** Of the file. */
  readonly size: number;
  readonly read: (position: number, length: number) => Buffer;
}

/**
 * Tells of every whole record of a stretch; what is told of is only good until the next one.
 * @returns false when something other than a record follows
 */
export function eachFrame(
  { from, size, read }: Stretch,
  onFrame: (payload: Buffer, offset: number, end: number) => void,
): boolean {
  let want = readBytes;
  while (from < size) {
    const bytes = read(from, Math.min(want, size - from));
    let at = 0;
    let frame = frameAt(bytes, at);
    for (; frame.is === 'whole'; frame = frameAt(bytes, at)) {
      onFrame(frame.payload, from + at, from + frame.end);
      at = frame.end;
    }
    if (frame.is === 'bad') return false;
    // The rest is still being written.
    if (from + at + frame.bytes > size) return true;
    from += at;
    want = Math.max(readBytes, frame.bytes);
  }
  return true;
}
