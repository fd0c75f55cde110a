/**
 * The elements of a tensor from the span of JSON that holds them.
 *
 * Numbers are read from the bytes straight into the typed array, without a string or a JavaScript array between: 30 short
 * decimals take 0.5 µs and 784 of 17 digits 18 µs, where JSON.parse and a copy take 2.6 and 150 (bench/micro/json.ts).
 * A decimal whose digits fit 2^53 and whose power of ten is at most 10^22 is one exact division or multiplication; a longer
 * one for FP32 is computed with a bound on its error and kept when both ends of the bound round to the same float.
 * Everything else goes to Number() for its token alone.
 *
 * Must not know requests: it is given a span, a datatype and how many elements there must be.
 */
import { GatewayError, invalid } from '../core/errors.js';
import { allocate, checkText, type DataType, type TensorData } from '../core/tensor.js';
import { halfOf } from './half.js';
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

const ranges: Partial<Record<DataType, readonly [number, number]>> = {
  INT8: [-128, 127],
  INT16: [-32768, 32767],
  INT32: [-2147483648, 2147483647],
  UINT8: [0, 255],
  UINT16: [0, 65535],
  UINT32: [0, 4294967295],
};
const wideRanges = {
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
  UINT64: [0n, 2n ** 64n - 1n],
} as const;

/**
 * @param count elements that the shape asks for
 * @throws INVALID_ARGUMENT when there are more or fewer, or one is not of the datatype
 */
export function readElements(reader: JsonReader, span: Span, datatype: DataType, count: number, owner: Owner): TensorData {
  // Each element but the last takes two bytes at least, so storage never grows beyond what was really sent.
  if (count > (span.end - span.start) >>> 1) throw tooFew();
  const cursor = new ElementCursor(reader, span, owner);
  switch (datatype) {
    case 'FP32':
      return floats(cursor, new Float32Array(count));
    case 'FP64':
      return doubles(cursor, new Float64Array(count));
    case 'FP16':
      return halves(cursor, new Uint16Array(count));
    case 'INT64':
    case 'UINT64':
      return wideIntegers(cursor, allocate(datatype, count) as BigInt64Array, datatype);
    case 'BOOL':
      return booleans(cursor, new Uint8Array(count));
    case 'BYTES':
      return strings(cursor, count, owner);
    case 'BF16':
      throw new GatewayError('INTERNAL', 'BF16 elements in JSON');
    default:
      return integers(cursor, allocate(datatype, count) as Int32Array, datatype);
  }
}

function tooFew(): GatewayError {
  return invalid(`Failed to parse 'data' field: shape does not match true shape`);
}

function tooMany(): GatewayError {
  return invalid(`Unable to parse 'data': Shape does not match true shape of 'data' field`);
}

function floats(cursor: ElementCursor, out: Float32Array): Float32Array {
  const count = out.length;
  let index = 0;
  while (cursor.next()) {
    if (index === count) throw tooMany();
    out[index] = cursor.readFloat(index);
    index++;
  }
  if (index < count) throw tooFew();
  return out;
}

function doubles(cursor: ElementCursor, out: Float64Array): Float64Array {
  const count = out.length;
  let index = 0;
  while (cursor.next()) {
    if (index === count) throw tooMany();
    out[index] = cursor.readDouble(index, 'FP64');
    index++;
  }
  if (index < count) throw tooFew();
  return out;
}

function halves(cursor: ElementCursor, out: Uint16Array): Uint16Array {
  let index = 0;
  for (; cursor.next(); index++) {
    if (index === out.length) throw tooMany();
    const value = cursor.readDouble(index, 'FP16');
    const bits = halfOf(value);
    if (Number.isFinite(value) && (bits & 0x7c00) === 0x7c00) cursor.refuse(index, 'FP16');
    out[index] = bits;
  }
  if (index < out.length) throw tooFew();
  return out;
}

function integers(cursor: ElementCursor, out: Int32Array, datatype: DataType): Int32Array {
  const [min, max] = ranges[datatype]!;
  const count = out.length;
  let index = 0;
  while (cursor.next()) {
    if (index === count) throw tooMany();
    const value = cursor.readInteger();
    if (!(value >= min && value <= max)) cursor.refuse(index, datatype);
    out[index] = value;
    index++;
  }
  if (index < count) throw tooFew();
  return out;
}

function wideIntegers(cursor: ElementCursor, out: BigInt64Array, datatype: 'INT64' | 'UINT64'): BigInt64Array {
  const [min, max] = wideRanges[datatype];
  let index = 0;
  for (; cursor.next(); index++) {
    if (index === out.length) throw tooMany();
    const value = cursor.readWideInteger();
    if (value === undefined || value < min || value > max) cursor.refuse(index, datatype);
    out[index] = value;
  }
  if (index < out.length) throw tooFew();
  return out;
}

function booleans(cursor: ElementCursor, out: Uint8Array): Uint8Array {
  let index = 0;
  for (; cursor.next(); index++) {
    if (index === out.length) throw tooMany();
    const value = cursor.takeWord('true') ? 1 : cursor.takeWord('false') ? 0 : cursor.refuse(index, 'BOOL');
    out[index] = value;
  }
  if (index < out.length) throw tooFew();
  return out;
}

function strings(cursor: ElementCursor, count: number, owner: Owner): string[] {
  const out: string[] = [];
  while (cursor.next()) {
    if (out.length === count) throw tooMany();
    const text = cursor.readText() ?? cursor.refuse(out.length, 'BYTES');
    checkText(text, out.length, owner.input, owner.model);
    out.push(text);
  }
  if (out.length < count) throw tooFew();
  return out;
}

/** Walks over the scalars of a span, through its commas and brackets. */
class ElementCursor {
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
    throw invalid(`Unable to parse 'data': element ${index} of input '${input}' for model '${model}': expected ${expectations[datatype]}, got ${got}`);
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
