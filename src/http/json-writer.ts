/**
 * Writes JSON texts: tensor elements fast, everything else simply, 64-bit integers exactly.
 *
 * One scan decides whether an array of floats may be joined natively: NaN, the infinities and −0 are written wrongly by
 * `join` and JSON.stringify.
 *
 * Must not know V2: no member name.
 */
import type { TypedArray } from '../core/tensor.js';

/** How a reply writes NaN and the infinities: as bare tokens, as null, or as strings. */
export type NonFinite = 'bare' | 'null' | 'string';

const plain = /^[\w .:/@+-]*$/;

/** `text` as a JSON string. Most names need no escape, and a look is cheaper than JSON.stringify. */
export function quoted(text: string): string {
  return plain.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** The elements of a JSON array of floats, without its brackets. */
export function floatsText(values: Float32Array | Float64Array, nonFinite: NonFinite): string {
  if (isOrdinary(values)) return values.join(',');
  const texts: string[] = [];
  for (const value of values) texts.push(floatText(value, nonFinite));
  return texts.join(',');
}

/** Neither NaN nor an infinity nor −0 among them. */
function isOrdinary(values: Float32Array | Float64Array): boolean {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value - value !== 0 || (value === 0 && 1 / value < 0)) return false;
  }
  return true;
}

export function floatText(value: number, nonFinite: NonFinite): string {
  if (Object.is(value, -0)) return '-0.0';
  if (Number.isFinite(value)) return String(value);
  if (nonFinite === 'null') return 'null';
  return nonFinite === 'string' ? `"${value}"` : String(value);
}

export function integersText(values: TypedArray): string {
  return values.join(',');
}

export function booleansText(values: Uint8Array): string {
  let text = '';
  for (let i = 0; i < values.length; i++) text += `${i === 0 ? '' : ','}${values[i] !== 0}`;
  return text;
}

export function stringsText(values: readonly string[]): string {
  const texts: string[] = [];
  for (const value of values) texts.push(JSON.stringify(value));
  return texts.join(',');
}

/** Any plain value as JSON; bigint as digits. Members that are undefined are left out. */
export function jsonText(value: unknown): string {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`;
  const members: string[] = [];
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined) members.push(`${JSON.stringify(name)}:${jsonText(member)}`);
  }
  return `{${members.join(',')}}`;
}
