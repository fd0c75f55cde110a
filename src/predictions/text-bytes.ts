/**
 * A text in a frame: its length in bytes as u16, then its UTF-8. None at all is a length that no text has.
 *
 * Must not know which texts a frame has.
 */
import type { Bytes } from './chunk.js';
import { noText, textCharsMax } from './layout.js';

/** A text was cut since it was last forgotten. One flag for all, so that a text costs no object. */
let wasCut = false;

export function forgetCut(): void {
  wasCut = false;
}

export function isCut(): boolean {
  return wasCut;
}

/** A call into the runtime costs as much as so many characters here (0.1 µs, bench/micro/prediction-row). */
const shortCharsMax = 64;
const asciiMax = 0x7f;

/** @returns where it ends */
export function putText(chunk: Bytes, at: number, text: string | undefined): number {
  const { view } = chunk;
  if (text === undefined) {
    view.setUint16(at, noText, true);
    return at + 2;
  }
  const { length } = text;
  if (length > shortCharsMax) return putLongText(chunk, at, text);
  const start = at + 2;
  let all = 0;
  let i = 0;
  // Four characters a store; what does not fit into a byte is seen afterwards, and all of it written anew.
  for (; i + 3 < length; i += 4) {
    const a = text.charCodeAt(i);
    const b = text.charCodeAt(i + 1);
    const c = text.charCodeAt(i + 2);
    const d = text.charCodeAt(i + 3);
    all |= a | b | c | d;
    view.setUint32(start + i, a | (b << 8) | (c << 16) | (d << 24), true);
  }
  for (; i < length; i++) {
    const code = text.charCodeAt(i);
    all |= code;
    view.setUint8(start + i, code);
  }
  if (all > asciiMax) return putLongText(chunk, at, text);
  view.setUint16(at, length, true);
  return start + length;
}

function putLongText(chunk: Bytes, at: number, text: string): number {
  let kept = text;
  if (text.length > textCharsMax) {
    kept = text.slice(0, textCharsMax);
    wasCut = true;
  }
  const length = chunk.bytes.write(kept, at + 2, 'utf8');
  chunk.view.setUint16(at, length, true);
  return at + 2 + length;
}
