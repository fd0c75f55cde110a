/**
 * Walks over the scalars of a span of JSON and reads them as numbers or texts.
 *
 * Numbers are read from the bytes, without a string or a JavaScript array between. A decimal whose digits fit 2^53 and whose
 * power of ten is at most 10^22 is one exact division or multiplication; a longer one for FP32 is computed with a bound on
 * its error and kept when both ends of the bound round to the same float. Everything else goes to Number() for its token
 * alone. 784 floats of 17 digits take 70 µs, all but the same as a bare loop over their bytes; JSON.parse takes 110 and
 * leaves an array to be copied (15 KB, bench/micro/json.ts).
 *
 * Must not know shapes or counts.
 */
import { invalid } from '../core/errors.js';
import type { DataType } from '../core/tensor.js';
import type { JsonReader } from './json-reader.js';

export interface Span {
  /** Where the opening bracket is. */
  readonly start: number;
  /** Just past the closing bracket. */
  readonly end: number;
}

/** Whose elements they are, for texts. */
export interface Owner {
  readonly input: string;
  readonly model: string;
}

const exactMax = 2 ** 53;
const powers: readonly number[] = Array.from({ length: 61 }, (_, exponent) => Number(`1e${exponent}`));
/** Relative error of a mantissa of up to 25 digits summed in doubles, divided by a power of ten: below 2^-48. */
const errorBound = 2 ** -46;

/** Walks over the scalars of a span, through its commas and brackets. */
export class ElementCursor {
  readonly #reader: JsonReader;
  readonly #bytes: Buffer;
  readonly #owner: Owner;
  /** Where the scalar begins that comes next. */
  #at: number;
  #depth = 1;
  #isAfterValue = false;

  constructor(reader: JsonReader, span: Span, owner: Owner) {
    this.#reader = reader;
    this.#bytes = reader.bytes;
    this.#owner = owner;
    this.#at = span.start + 1;
  }

  /** Moves to the next scalar; false after the last. The span is balanced, so its last bracket ends every loop here. */
  next(): boolean {
    const bytes = this.#bytes;
    let at = this.#at;
    for (;;) {
      let byte = bytes[at]!;
      while (byte <= 0x20) byte = bytes[++at]!;
      if (byte === 0x5d) {
        at++;
        this.#isAfterValue = true;
        if (--this.#depth === 0) return false;
        continue;
      }
      if (this.#isAfterValue) {
        if (byte !== 0x2c) this.#reader.fail('Missing a comma or ] after an array element.', at);
        byte = bytes[++at]!;
        while (byte <= 0x20) byte = bytes[++at]!;
        if (byte === 0x5d) this.#reader.fail('Invalid value.', at);
      }
      if (byte !== 0x5b) break;
      this.#depth++;
      this.#isAfterValue = false;
      at++;
    }
    this.#at = at;
    this.#isAfterValue = true;
    return true;
  }

  readFloat(index: number): number {
    const value = this.#readNumber(true);
    if (value === undefined) return this.#special(index, 'FP32');
    if (Math.fround(value) === Infinity || Math.fround(value) === -Infinity) this.refuse(index, 'FP32');
    return value;
  }

  readDouble(index: number, datatype: DataType): number {
    const value = this.#readNumber(false);
    if (value === undefined) return this.#special(index, datatype);
    if (value === Infinity || value === -Infinity) this.refuse(index, datatype);
    return value;
  }

  /** The number that comes next, or undefined when something else does. */
  #readNumber(isFloat: boolean): number | undefined {
    const bytes = this.#bytes;
    const start = this.#at;
    let at = start;
    let byte = bytes[at]!;
    const isNegative = byte === 0x2d;
    if (isNegative) byte = bytes[++at]!;
    let mantissa = byte - 0x30;
    if (mantissa < 0 || mantissa > 9) return undefined;
    byte = bytes[++at]!;
    if (mantissa !== 0) {
      while (byte >= 0x30 && byte <= 0x39) {
        mantissa = mantissa * 10 + (byte - 0x30);
        byte = bytes[++at]!;
      }
    }
    let exponent = 0;
    if (byte === 0x2e) {
      const point = at;
      byte = bytes[++at]!;
      while (byte >= 0x30 && byte <= 0x39) {
        mantissa = mantissa * 10 + (byte - 0x30);
        byte = bytes[++at]!;
      }
      exponent = point + 1 - at;
      if (exponent === 0) this.#reader.fail('Miss fraction part in number.', at);
    }
    if (byte === 0x65 || byte === 0x45) {
      byte = bytes[++at]!;
      const isDown = byte === 0x2d;
      if (isDown || byte === 0x2b) byte = bytes[++at]!;
      const first = at;
      let shift = 0;
      while (byte >= 0x30 && byte <= 0x39) {
        if (shift < 100_000) shift = shift * 10 + (byte - 0x30);
        byte = bytes[++at]!;
      }
      if (at === first) this.#reader.fail('Miss exponent in number.', at);
      exponent += isDown ? -shift : shift;
    }
    this.#at = at;
    // Digits summed past 2^53 stay past it, so below it every step was exact.
    if (mantissa < exactMax && exponent >= -22 && exponent <= 22) {
      const value = exponent < 0 ? mantissa / powers[-exponent]! : mantissa * powers[exponent]!;
      return isNegative ? -value : value;
    }
    if (isFloat && mantissa < 1e25 && exponent >= -60 && exponent <= 60) {
      const value = exponent < 0 ? mantissa / powers[-exponent]! : mantissa * powers[exponent]!;
      const low = Math.fround(value - value * errorBound);
      if (low === Math.fround(value + value * errorBound) && low !== Infinity) return isNegative ? -low : low;
    }
    return Number(bytes.toString('latin1', start, at));
  }

  /** NaN and the infinities, bare or as strings. */
  #special(index: number, datatype: DataType): number {
    const isText = this.#bytes[this.#at] === 0x22;
    if (isText) this.#at++;
    let value: number;
    if (this.takeWord('NaN')) value = NaN;
    else if (this.takeWord('Infinity')) value = Infinity;
    else if (this.takeWord('-Infinity')) value = -Infinity;
    else return this.refuse(index, datatype);
    if (isText && !this.takeWord('"')) this.refuse(index, datatype);
    return value;
  }

  /** The integer that comes next; NaN when it is none, inexact beyond 2^53, where no caller's range reaches. */
  readInteger(): number {
    const bytes = this.#bytes;
    let at = this.#at;
    let byte = bytes[at]!;
    const isNegative = byte === 0x2d;
    if (isNegative) byte = bytes[++at]!;
    let value = byte - 0x30;
    if (value < 0 || value > 9) return NaN;
    byte = bytes[++at]!;
    if (value !== 0) {
      while (byte >= 0x30 && byte <= 0x39) {
        value = value * 10 + (byte - 0x30);
        byte = bytes[++at]!;
      }
    }
    if (byte === 0x2e || (byte | 0x20) === 0x65) return NaN;
    this.#at = at;
    return isNegative ? -value : value;
  }

  /** An integer of any size, bare or as a decimal string. */
  readWideInteger(): bigint | undefined {
    const isText = this.#bytes[this.#at] === 0x22;
    if (isText) this.#at++;
    const start = this.#at;
    const value = this.readInteger();
    if (Number.isNaN(value)) return undefined;
    const end = this.#at;
    if (isText && !this.takeWord('"')) return undefined;
    return Number.isSafeInteger(value) ? BigInt(value) : BigInt(this.#bytes.toString('latin1', start, end));
  }

  readText(): string | undefined {
    if (this.#bytes[this.#at] !== 0x22) return undefined;
    this.#reader.at = this.#at;
    const text = this.#reader.readString();
    this.#at = this.#reader.at;
    return text;
  }

  takeWord(word: string): boolean {
    for (let i = 0; i < word.length; i++) if (this.#bytes[this.#at + i] !== word.charCodeAt(i)) return false;
    this.#at += word.length;
    return true;
  }

  /** The error of an element that is not of its datatype, or not JSON at all. */
  refuse(index: number, datatype: DataType): never {
    const { input, model } = this.#owner;
    const got = tokenOf(this.#bytes, this.#at);
    throw invalid(
      `Unable to parse 'data': element ${index} of input '${input}' for model '${model}': expected ${expectations[datatype]}, got ${got}`,
    );
  }
}

/** What stands around `at`, as far as it makes one token and fits into an error text. */
function tokenOf(bytes: Buffer, at: number): string {
  let start = at;
  while (start > 0 && at - start < 24 && !isDelimiter(bytes[start - 1])) start--;
  let end = at;
  while (end < bytes.length && end - start < 40 && !isDelimiter(bytes[end])) end++;
  return bytes.toString('utf8', start, end);
}

function isDelimiter(byte: number | undefined): boolean {
  return byte === 0x2c || byte === 0x5b || byte === 0x5d || byte === undefined || byte <= 0x20;
}

const expectations: Readonly<Record<DataType, string>> = {
  BOOL: 'true or false',
  UINT8: 'an integer from 0 to 255',
  UINT16: 'an integer from 0 to 65535',
  UINT32: 'an integer from 0 to 4294967295',
  UINT64: 'an integer from 0 to 18446744073709551615',
  INT8: 'an integer from -128 to 127',
  INT16: 'an integer from -32768 to 32767',
  INT32: 'an integer from -2147483648 to 2147483647',
  INT64: 'an integer from -9223372036854775808 to 9223372036854775807',
  FP16: 'a number within the range of FP16',
  BF16: 'a number within the range of BF16',
  FP32: 'a number within the range of FP32',
  FP64: 'a number within the range of FP64',
  BYTES: 'a string',
};
