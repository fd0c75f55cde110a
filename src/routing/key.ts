/**
 * What a call carries at a place: the key of an experiment, or an attribute that it is targeted by (monitoring §2.3).
 *
 * A value is used as it is. One from a header or cookie must be printable ASCII, because HTTP engines decode other bytes
 * differently; parameters and claims are UTF-8 whichever way they came and may hold any text. One that is empty or too long
 * counts as missing, like a place that is not there.
 *
 * Must not know experiments.
 */
import type { CallTerms } from '../core/inference.js';
import type { CallPlace } from '../core/route.js';

/** Of a key or attribute in UTF-8. */
const valueBytesMax = 256;
const utf8 = new TextEncoder();
const room = new Uint8Array(valueBytesMax + 3);

/** What a verified token of the call says; undefined = nothing. */
export type ClaimOf = (terms: CallTerms, name: string) => string | undefined;

/** The first value that is there, or undefined. @param claimOf absent = no token is believed */
export function keyOf(places: readonly CallPlace[], terms: CallTerms, claimOf?: ClaimOf): string | undefined {
  for (let i = 0; i < places.length; i++) {
    const value = valueAt(places[i]!, terms, claimOf);
    if (value !== undefined) return value;
  }
  return undefined;
}

export function valueAt({ source, name }: CallPlace, terms: CallTerms, claimOf?: ClaimOf): string | undefined {
  if (source === 'param') {
    const value = terms.parameter(name);
    if (value === undefined) return undefined;
    const text = typeof value === 'string' ? value : String(value);
    return text === '' || isTooLong(text) ? undefined : text;
  }
  if (source === 'jwt') {
    const text = claimOf?.(terms, name);
    return text === undefined || text === '' || isTooLong(text) ? undefined : text;
  }
  const value = source === 'header' ? terms.header(name) : cookieOf(terms.header('cookie'), name);
  if (value === undefined || value === '' || value.length > valueBytesMax) return undefined;
  return isPrintable(value) ? value : undefined;
}

function isPrintable(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}

function isTooLong(text: string): boolean {
  if (text.length > valueBytesMax) return true;
  // No character of UTF-16 needs more than three bytes.
  return text.length * 3 > valueBytesMax && utf8.encodeInto(text, room).written > valueBytesMax;
}

/** The value of the first cookie of that name. */
function cookieOf(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  for (let start = 0; start < header.length; ) {
    const semicolon = header.indexOf(';', start);
    const end = semicolon === -1 ? header.length : semicolon;
    while (header[start] === ' ') start++;
    if (header.startsWith(name, start) && header[start + name.length] === '=') {
      return header.slice(start + name.length + 1, end).trimEnd();
    }
    start = end + 1;
  }
  return undefined;
}
