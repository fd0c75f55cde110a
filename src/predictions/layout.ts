/**
 * The bytes of a record: the same in a chunk on its way to the observer and in a segment, so that nothing is translated.
 *
 *   0 u32 payload length │ 4 u32 CRC-32 over what follows │ 8 u64 seq │ 16 payload: u8 kind …
 *
 *   event     fixed numbers, then texts (u16 length, bytes; 0xffff = none), then the tensors
 *   drops     one gap in the numbers: reason, first, last, count
 *   subject   JSON of what many events have in common; its seq is 0
 *   end       JSON of the final counts of an incarnation that stopped orderly; its seq is the last one
 *
 * Little-endian. The checksum is filled in by whoever writes the file.
 *
 * Must not know who writes or reads.
 */
import type { Role } from './event.js';

export const headBytes = 16;

export const kinds = { event: 1, drops: 2, subject: 3, end: 4 } as const;

/** Offsets in an event, from the start of its record. */
export const place = {
  kind: 16,
  role: 17,
  attempt: 18,
  flags: 19,
  subject: 20,
  ts: 24,
  latency: 32,
  queue: 36,
  upstream: 40,
  batchSize: 44,
  status: 46,
  items: 48,
  inputBytes: 52,
  outputBytes: 56,
  phase: 60,
  sampleRate: 64,
  payloadRate: 72,
  score: 80,
  /** The key of the unit as the number that the tap tells units apart by; 0 in a segment. */
  unit: 88,
  /** Length of the texts, so that what follows them is found without reading them. */
  textBytes: 92,
  /** Of the key under which the unit's was hashed; 0 = not yet: it follows the payload as it came (unit-key.ts). */
  keyGeneration: 96,
  unitKeyHash: 100,
  marks: 116,
  texts: 120,
} as const;

export const flags = {
  cacheHit: 1,
  sticky: 2,
  truncated: 4,
  redacted: 8,
  score: 16,
  assignment: 32,
  unitKey: 64,
  /** Inputs and outputs are there for the tap only and must not be kept. */
  tapOnly: 128,
} as const;

export const marks = {
  /** The prediction is the score, as text. */
  scoreIsPrediction: 1,
} as const;

export const unitKeyHashBytes = 16;

/** What stands after the texts: nothing, tensors in their own bytes, or JSON with redactions made. */
export const payloads = { none: 0, tensors: 1, json: 2 } as const;

export const noText = 0xffff;
export const textCharsMax = 1024;
export const tensorsMax = 64;
export const markerBytes = headBytes + 32;

/** The order is the number under which a role is written. */
export const roles: readonly Role[] = ['primary', 'shadow', 'fallback'];

/** Numbers up to 2^53 as two halves: BigInt would allocate. */
export function putSeq(view: DataView, at: number, seq: number): void {
  view.setUint32(at, seq >>> 0, true);
  view.setUint32(at + 4, Math.floor(seq / 2 ** 32), true);
}

export function seqAt(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
