/**
 * A text in a frame: its length in bytes as u16, then its UTF-8. None at all is a length that no text has.
 *
 * Must not know which texts a frame has.
 */
import type { Chunk } from './chunk.js';
import { noText, textCharsMax } from './layout.js';

/** A text was cut since it was last forgotten. One flag for all, so that a text costs no object. */
let wasCut = false;

export function forgetCut(): void {
  wasCut = false;
}

export function isCut(): boolean {
  return wasCut;
}

/** @returns where it ends */
export function putText(chunk: Chunk, at: number, text: string | undefined): number {
  if (text === undefined) {
    chunk.view.setUint16(at, noText, true);
    return at + 2;
  }
  const { length } = text;
  const { bytes } = chunk;
  // A call into the runtime costs as much as 60 characters here (0.1 µs, bench/micro/prediction-row).
  if (length > 64) return putLongText(chunk, at, text);
  const start = at + 2;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return putLongText(chunk, at, text);
    bytes[start + i] = code;
  }
  chunk.view.setUint16(at, length, true);
  return start + length;
}

function putLongText(chunk: Chunk, at: number, text: string): number {
  let kept = text;
  if (text.length > textCharsMax) {
    kept = text.slice(0, textCharsMax);
    wasCut = true;
  }
  const length = chunk.bytes.write(kept, at + 2, 'utf8');
  chunk.view.setUint16(at, length, true);
  return at + 2 + length;
}
