/**
 * The file that rows are first written to.
 *
 *   header 32 bytes   magic `SLSEG001` │ u32 schema │ u32 0 │ u64 incarnation │ u64 created µs
 *   records           u32 payload length │ u32 CRC-32 over seq and payload │ u64 seq │ payload
 *
 *   <gateway>-<incarnation>-<number>.open ── closed, or recovered ──▶ ….seg ── converted ──▶ deleted
 *
 * Names are unique in an incarnation, and what is made of a segment is named after it.
 *
 * Must not know what a payload means, except that a record is an event, a marker or neither.
 */
import { crc32 } from 'node:zlib';
import { headBytes, putSeq, seqAt, viewOf } from './layout.js';

export const segmentHeaderBytes = 32;
export const payloadBytesMax = 16 * 1024 * 1024;
const schema = 2;
const magic = 'SLSEG001';

export interface SegmentName {
  readonly gatewayId: string;
  readonly incarnation: number;
  readonly number: number;
}

const named = /^([A-Za-z0-9_.]{1,64})-([0-9]{1,16})-([0-9]{6,10})\.(open|seg)$/;

export function isGatewayId(text: string): boolean {
  return /^[A-Za-z0-9_.]{1,64}$/.test(text);
}

/** Without its ending. */
export function segmentStem({ gatewayId, incarnation, number }: SegmentName): string {
  return `${gatewayId}-${incarnation}-${String(number).padStart(6, '0')}`;
}

/** What a file's name says; undefined when it is none of ours. */
export function segmentNamed(file: string): (SegmentName & { readonly isOpen: boolean }) | undefined {
  const match = named.exec(file);
  if (match === null) return undefined;
  const [, gatewayId, incarnation, number, ending] = match;
  return {
    gatewayId: gatewayId!,
    incarnation: Number(incarnation),
    number: Number(number),
    isOpen: ending === 'open',
  };
}

export function segmentHeader(incarnation: number, createdUs: number): Buffer {
  const header = Buffer.alloc(segmentHeaderBytes);
  header.write(magic, 0, 'latin1');
  header.writeUInt32LE(schema, 8);
  putSeq(viewOf(header), 16, incarnation);
  putSeq(viewOf(header), 24, createdUs);
  return header;
}

/** Of what follows the checksum of a record: its number, and its payload. */
export function checksumOf(sealed: Uint8Array): number {
  return crc32(sealed);
}

export interface RecordPlace {
  readonly seq: number;
  readonly start: number;
  readonly end: number;
  readonly kind: number;
}

export interface SegmentScan {
  readonly incarnation: number;
  readonly createdUs: number;
  readonly records: readonly RecordPlace[];
  /** Where the last whole record ends: what follows was torn off, or is damaged. */
  readonly wholeBytes: number;
}

/** The whole records of a segment, up to the first whose length or checksum is wrong; undefined when it is no segment. */
export function scanSegment(bytes: Buffer): SegmentScan | undefined {
  if (bytes.length < segmentHeaderBytes || bytes.toString('latin1', 0, 8) !== magic) return undefined;
  if (bytes.readUInt32LE(8) !== schema) return undefined;
  const view = viewOf(bytes);
  const records: RecordPlace[] = [];
  let start = segmentHeaderBytes;
  while (start + headBytes < bytes.length) {
    const length = bytes.readUInt32LE(start);
    const end = start + headBytes + length;
    if (length === 0 || length > payloadBytesMax || end > bytes.length) break;
    if (bytes.readUInt32LE(start + 4) !== crc32(bytes.subarray(start + 8, end))) break;
    records.push({ seq: seqAt(view, start + 8), start, end, kind: bytes[start + headBytes]! });
    start = end;
  }
  return { incarnation: seqAt(view, 16), createdUs: seqAt(view, 24), records, wholeBytes: start };
}
