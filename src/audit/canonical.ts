/**
 * The one text of a JSON value (RFC 8785), so that a hash of it means the same everywhere.
 *
 * Keys are sorted by UTF-16 code units at every level, there is no whitespace, and non-ASCII stays as it is. Only values whose
 * text leaves no choice are taken: strings, booleans, null, safe integers, arrays and plain objects. Decimals are written as
 * strings by whoever has them, so that nobody who checks a hash needs the number formatting of JavaScript.
 *
 * Must not know what is hashed.
 */
import { invalid } from '../core/errors.js';

export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

const depthMax = 32;

/** @throws INVALID_ARGUMENT naming the place of the first value that is not allowed */
export function canonicalOf(value: unknown): string {
  return textOf(value, '', depthMax);
}

function textOf(value: unknown, place: string, depth: number): string {
  if (value === null || value === true || value === false) return String(value);
  if (typeof value === 'string') return quoted(value, place);
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return String(value);
    throw refused(place, 'a number that is no safe integer');
  }
  if (typeof value !== 'object') throw refused(place, `of type ${typeof value}`);
  if (depth === 0) throw refused(place, `nested more than ${depthMax} deep`);
  return Array.isArray(value) ? arrayText(value, place, depth) : objectText(value, place, depth);
}

function arrayText(array: readonly unknown[], place: string, depth: number): string {
  const elements: string[] = [];
  for (let i = 0; i < array.length; i++) elements.push(textOf(array[i], `${place}[${i}]`, depth - 1));
  return `[${elements.join(',')}]`;
}

function objectText(object: object, place: string, depth: number): string {
  const prototype = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) throw refused(place, 'no plain object');
  // Sorting without a comparison function is by UTF-16 code units, which is what RFC 8785 asks for.
  const keys = Object.keys(object).sort();
  const members = keys.map((key) => {
    const inner = place === '' ? key : `${place}.${key}`;
    return `${quoted(key, inner)}:${textOf((object as Record<string, unknown>)[key], inner, depth - 1)}`;
  });
  return `{${members.join(',')}}`;
}

function quoted(text: string, place: string): string {
  if (!text.isWellFormed()) throw refused(place, 'a string with half of a surrogate pair');
  return JSON.stringify(text);
}

function refused(place: string, what: string): Error {
  return invalid(`${place === '' ? 'the value' : `'${place.slice(0, 200)}'`} is ${what} and cannot be hashed`);
}
