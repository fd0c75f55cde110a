/**
 * Reads JSON from bytes, one token at a time, without making more of it than its caller asks for.
 *
 * JSON.parse rounds 64-bit integers, merges members that occur twice and knows no limits; here every opening bracket is
 * counted before anything follows it, members are seen in order, and what nobody asks for is skipped, not built. The
 * elements of tensors are left as a span of bytes for `elements.ts`.
 *
 * Must not know V2: no member name, no datatype.
 */
import { isUtf8 } from 'node:buffer';
import { invalid } from '../core/errors.js';
import type { KnownNames } from './known-names.js';

const quote = 0x22;
const comma = 0x2c;
const minus = 0x2d;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

export class JsonReader {
  readonly bytes: Buffer;
  readonly end: number;
  at = 0;
  /** The number that `skipNumber` passed last has neither fraction nor exponent. */
  isInteger = false;
  readonly #depthMax: number;
  #depth = 0;

  /** @throws INVALID_ARGUMENT when the bytes are not UTF-8 */
  constructor(bytes: Buffer, end: number, depthMax: number) {
    this.bytes = bytes;
    this.end = end;
    this.#depthMax = depthMax;
    if (!isUtf8(end === bytes.length ? bytes : bytes.subarray(0, end))) this.fail('Invalid encoding in string.');
  }

  fail(reason: string, at = this.at): never {
    throw invalid(`failed to parse the request JSON buffer: ${reason} at ${at}`);
  }

  /** The next byte that is not white space, without taking it; −1 at the end. */
  peek(): number {
    const { bytes, end } = this;
    let at = this.at;
    while (at < end) {
      const byte = bytes[at]!;
      if (byte > 0x20 || !isSpace(byte)) {
        this.at = at;
        return byte;
      }
      at++;
    }
    this.at = at;
    return -1;
  }

  /** Takes `byte`, or fails with `reason`. */
  take(byte: number, reason: string): void {
    if (this.peek() !== byte) this.fail(reason);
    this.at++;
  }

  /** After the one value there may be white space only. */
  finish(): void {
    if (this.peek() !== -1) this.fail('The document root must not be followed by other values.');
  }

  isObject(): boolean {
    return this.peek() === openBrace;
  }

  isArray(): boolean {
    return this.peek() === openBracket;
  }

  isString(): boolean {
    return this.peek() === quote;
  }

  isNumber(): boolean {
    const byte = this.peek();
    return byte === minus || (byte >= 0x30 && byte <= 0x39);
  }

  /** Takes the bracket or brace that comes next, counting it. */
  open(): void {
    if (++this.#depth > this.#depthMax) {
      throw invalid(`JSON nesting depth exceeds maximum allowed limit (${this.#depthMax})`);
    }
    this.at++;
  }

  /** After `open` on an object: the name of the next member, past its colon; undefined past the closing brace. */
  nextMember(isFirst: boolean, known: KnownNames | undefined): string | undefined {
    let byte = this.peek();
    if (byte === closeBrace) return this.#close();
    if (!isFirst) {
      if (byte !== comma) this.fail('Missing a comma or } after an object member.');
      this.at++;
      byte = this.peek();
    }
    if (byte !== quote) this.fail('Missing a name for object member.');
    const start = this.at + 1;
    const isPlain = this.skipString();
    const name = known?.find(this.bytes, start, this.at - 1) ?? this.#text(start, isPlain);
    this.take(0x3a, 'Missing a colon after a name of object member.');
    return name;
  }

  /** After `open` on an array: whether another element follows; false past the closing bracket. */
  nextElement(isFirst: boolean): boolean {
    const byte = this.peek();
    if (byte === closeBracket) {
      this.#close();
      return false;
    }
    if (!isFirst) {
      if (byte !== comma) this.fail('Missing a comma or ] after an array element.');
      this.at++;
    }
    return true;
  }

  #close(): undefined {
    this.#depth--;
    this.at++;
    return undefined;
  }

  /** The string that comes next; the caller has seen its quote. */
  readString(): string {
    const start = this.at + 1;
    return this.#text(start, this.skipString());
  }

  /** The same without a new string when it is one of `known`. */
  readKnownString(known: KnownNames): string {
    const start = this.at + 1;
    const isPlain = this.skipString();
    return known.find(this.bytes, start, this.at - 1) ?? this.#text(start, isPlain);
  }

  /** @returns whether its bytes are its text: no escapes, ASCII only */
  skipString(): boolean {
    const { bytes, end } = this;
    const start = this.at;
    let isPlain = true;
    for (let at = start + 1; at < end; at++) {
      const byte = bytes[at]!;
      if (byte === quote) {
        this.at = at + 1;
        return isPlain;
      }
      if (byte === backslash) {
        isPlain = false;
        at++;
      } else if (byte < 0x20) {
        this.fail('Invalid control character in string.', at);
      } else if (byte >= 0x80) isPlain = false;
    }
    this.fail('Missing a closing quotation mark in string.', start);
  }

  /** The text of the string that begins at `start` and whose closing quote was just taken. */
  #text(start: number, isPlain: boolean): string {
    if (isPlain) return this.bytes.toString('latin1', start, this.at - 1);
    const text = this.bytes.toString('utf8', start, this.at - 1);
    if (!text.includes('\\')) return text;
    try {
      return JSON.parse(`"${text}"`) as string;
    } catch {
      this.fail('Invalid escape character in string.', start);
    }
  }

  /** The number that comes next: bigint where an integer does not fit a double. */
  readNumber(): number | bigint {
    const start = this.at;
    this.skipNumber();
    const text = this.bytes.toString('latin1', start, this.at);
    const value = Number(text);
    if (!Number.isFinite(value) && !this.isInteger) this.fail('Number too big to be stored in double.', start);
    return this.isInteger && !Number.isSafeInteger(value) ? BigInt(text) : value;
  }

  /** An integer of at most nine digits without a sign; −1, and nothing taken, when anything else comes next. */
  readSmallInteger(): number {
    let byte = this.peek();
    if (byte < 0x31 || byte > 0x39) return -1;
    let value = 0;
    let at = this.at;
    while (byte >= 0x30 && byte <= 0x39) {
      value = value * 10 + (byte - 0x30);
      byte = ++at < this.end ? this.bytes[at]! : 0;
    }
    if (at - this.at > 9 || byte === 0x2e || (byte | 0x20) === 0x65) return -1;
    this.at = at;
    return value;
  }

  skipNumber(): void {
    const { bytes } = this;
    let at = this.at;
    if (bytes[at] === minus) at++;
    const first = at;
    while (at < this.end && isDigit(bytes[at])) at++;
    if (at === first) this.fail('Invalid value.');
    if (bytes[first] === 0x30 && at > first + 1) this.fail('Invalid value.', first);
    this.isInteger = true;
    if (at < this.end && bytes[at] === 0x2e) {
      this.isInteger = false;
      const fraction = ++at;
      while (at < this.end && isDigit(bytes[at])) at++;
      if (at === fraction) this.fail('Miss fraction part in number.', at);
    }
    if (at < this.end && (bytes[at]! | 0x20) === 0x65) {
      this.isInteger = false;
      at++;
      if (at < this.end && (bytes[at] === 0x2b || bytes[at] === minus)) at++;
      const exponent = at;
      while (at < this.end && isDigit(bytes[at])) at++;
      if (at === exponent) this.fail('Miss exponent in number.', at);
    }
    this.at = at;
  }

  /** `true`, `false` or `null`. */
  readLiteral(): boolean | null {
    const byte = this.peek();
    if (byte === 0x74 && this.#takeWord('true')) return true;
    if (byte === 0x66 && this.#takeWord('false')) return false;
    if (byte === 0x6e && this.#takeWord('null')) return null;
    this.fail('Invalid value.');
  }

  #takeWord(word: string): boolean {
    if (this.end - this.at < word.length) return false;
    for (let i = 0; i < word.length; i++) if (this.bytes[this.at + i] !== word.charCodeAt(i)) return false;
    this.at += word.length;
    return true;
  }

  /** Passes one value whatever it is. Recursion ends at the limit on depth, long before that of the stack. */
  skipValue(): void {
    const byte = this.peek();
    if (byte === quote) this.skipString();
    else if (byte === openBrace) {
      this.open();
      for (let isFirst = true; this.nextMember(isFirst, undefined) !== undefined; isFirst = false) this.skipValue();
    } else if (byte === openBracket) {
      this.open();
      for (let isFirst = true; this.nextElement(isFirst); isFirst = false) this.skipValue();
    } else if (this.isNumber()) this.skipNumber();
    else this.readLiteral();
  }

  /**
   * Passes an array of scalars, flat or nested, without looking at them; whoever reads them checks them. The brackets and
   * strings of the span are balanced afterwards.
   */
  skipElements(): void {
    const start = this.at;
    const { bytes } = this;
    // Flat numbers, the common case, by three native searches instead of a look at every byte: 0.2 instead of 14 µs for
    // 784 numbers of 17 digits.
    const close = bytes.indexOf(closeBracket, start);
    if (close === -1 || close >= this.end) this.fail('Missing a comma or ] after an array element.', this.end);
    if (this.#depth + 1 <= this.#depthMax && this.isFlat(start + 1, close)) this.at = close + 1;
    else this.#skipNested();
  }

  /** The bracket at `close` is the first after `from`, and there is no string between. */
  isFlat(from: number, close: number): boolean {
    const { bytes } = this;
    return (
      bytes.indexOf(closeBracket, from) === close &&
      isBeyond(bytes.indexOf(openBracket, from), close) &&
      isBeyond(bytes.indexOf(quote, from), close)
    );
  }

  #skipNested(): void {
    const { bytes, end } = this;
    const outer = this.#depth;
    do {
      if (this.at >= end) this.fail('Missing a comma or ] after an array element.');
      const byte = bytes[this.at]!;
      if (byte === quote) this.skipString();
      else if (byte === openBracket) this.open();
      else {
        if (byte === closeBracket) this.#depth--;
        this.at++;
      }
    } while (this.#depth > outer);
  }
}

function isBeyond(found: number, limit: number): boolean {
  return found === -1 || found > limit;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
