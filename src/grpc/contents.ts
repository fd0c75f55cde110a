/**
 * Typed tensor contents (`InferTensorContents`): counted in one pass, compared with the shape, and only then converted,
 * straight from the packed bytes into the tensor's own storage.
 *
 * Generic decoding of 3.9 MB of packed 64-bit integers blocked the loop for 4.7 s and took over 1 GB (runtime.md §7); here
 * 3.9 million of them take 55 ms of CPU, the tensor included (median of 9, two shared x86-64 cores, Node 20).
 * Numbers are accepted packed and one by one.
 *
 * Must not know models beyond the names in error texts.
 */
import { invalid } from '../core/errors.js';
import { textOf } from '../core/raw.js';
import { allocate, type DataType, type TypedArray } from '../core/tensor.js';
import { countVarints, malformed, type WireReader, wireBytes, wireFixed32, wireFixed64, wireVarint } from './wire.js';

/** What one pass over the contents of an input found. */
export interface Contents {
  /** Number of the first field with elements, 0 when there are none. */
  readonly field: number;
  /** Another field has elements, too. */
  readonly isMixed: boolean;
  readonly count: number;
  /** Where the message lies. */
  readonly start: number;
  readonly end: number;
}

/** The datatype that an error text gives to a field, by field number. */
export const datatypeOfField = ['', 'BOOL', 'INT32', 'INT64', 'UINT32', 'UINT64', 'FP32', 'FP64', 'BYTES'] as const;

const fieldOf: Readonly<Record<DataType, number>> = {
  BOOL: 1,
  INT8: 2,
  INT16: 2,
  INT32: 2,
  INT64: 3,
  UINT8: 4,
  UINT16: 4,
  UINT32: 4,
  UINT64: 5,
  FP32: 6,
  FP64: 7,
  BYTES: 8,
  FP16: -1,
  BF16: -1,
};

/** The field that carries a datatype; −1 when it has only the raw form. */
export function typedFieldOf(datatype: DataType): number {
  return fieldOf[datatype];
}

/** Fields of contents that bring no element. */
const emptyRunsMax = 1000;

/** Wire type of one element of each field. */
const wireTypeOf = [
  -1,
  wireVarint,
  wireVarint,
  wireVarint,
  wireVarint,
  wireVarint,
  wireFixed32,
  wireFixed64,
  wireBytes,
];

/**
 * Counts the elements; the reader stands before the length of the message.
 * @param elementsMax elements that the whole request may still bring
 */
export function scanContents(reader: WireReader, elementsMax: number): Contents {
  const outer = reader.enter();
  const start = reader.at;
  const counts = [0, 0, 0, 0, 0, 0, 0, 0, 0];
  let total = 0;
  let empty = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const field = tag >>> 3;
    if (field > 8) {
      if (++empty > emptyRunsMax) throw malformed(`more than ${emptyRunsMax} unknown fields in typed contents`);
      reader.skip(tag);
      continue;
    }
    const count = countField(reader, field, tag);
    counts[field]! += count;
    total += count;
    // No encoder writes runs without elements, so many of them are an attack.
    if (count === 0 && ++empty > emptyRunsMax)
      throw malformed(`more than ${emptyRunsMax} empty fields in typed contents`);
    if (total > elementsMax) throw tooMany(elementsMax);
  }
  const end = reader.end;
  reader.leave(outer);
  const field = counts.findIndex((count) => count > 0);
  if (field === -1) return { field: 0, isMixed: false, count: 0, start, end };
  return {
    field,
    isMixed: counts.some((count, other) => count > 0 && other !== field),
    count: counts[field]!,
    start,
    end,
  };
}

function tooMany(elementsMax: number): Error {
  return invalid(
    `more elements in typed contents than the ${elementsMax} that are accepted, use raw_input_contents for large tensors`,
  );
}

function countField(reader: WireReader, field: number, tag: number): number {
  const type = tag & 7;
  const elementType = wireTypeOf[field]!;
  if (type !== wireBytes || elementType === wireBytes) {
    if (type !== elementType) throw malformed(`field ${field} of InferTensorContents has wire type ${type}`);
    reader.skip(tag);
    return 1;
  }
  const length = reader.size();
  const start = reader.at;
  reader.at += length;
  if (elementType === wireVarint) return countVarints(reader.bytes, start, reader.at);
  const size = elementType === wireFixed32 ? 4 : 8;
  if (length % size !== 0) throw malformed(`${length} bytes of packed elements of ${size} bytes`);
  return length / size;
}

/** The names for the text when an element is refused. */
export interface Target {
  readonly input: string;
  readonly model: string;
  readonly datatype: DataType;
}

/** Smallest and largest value of the types that travel in a wider field. */
const rangeOf: Readonly<Partial<Record<DataType, readonly [number, number]>>> = {
  INT8: [-128, 127],
  INT16: [-32768, 32767],
  INT32: [-2147483648, 2147483647],
  UINT8: [0, 255],
  UINT16: [0, 65535],
  UINT32: [0, 4294967295],
};

/** The numbers of `contents` in the storage of their datatype. Field and count have been checked. */
export function typedNumbers(reader: WireReader, contents: Contents, target: Target): TypedArray {
  const data = allocate(target.datatype, contents.count);
  const range = rangeOf[target.datatype];
  let index = 0;
  eachRun(reader, contents, (end) => {
    if (contents.field >= 6) index = fillFixed(reader, end, data, index);
    else if (range !== undefined) index = fillSmall(reader, end, data as Int32Array, index, range, target);
    else if (target.datatype === 'BOOL') index = fillBooleans(reader, end, data as Uint8Array, index);
    else index = fillLong(reader, end, data as BigInt64Array, index);
  });
  return data;
}

/** The strings of `contents`. */
export function typedStrings(reader: WireReader, contents: Contents, target: Target): string[] {
  const data: string[] = [];
  eachRun(reader, contents, () => {
    const length = reader.size();
    const bytes = reader.bytes.subarray(reader.at, reader.at + length);
    data.push(textOf(bytes, data.length, target.input, target.model));
    reader.at += length;
  });
  return data;
}

/**
 * Calls `fill` for every run of elements of the field that has some, the reader on the first. A run ends at `end`; an
 * element by itself is a run that ends within it.
 */
function eachRun(reader: WireReader, contents: Contents, fill: (end: number) => void): void {
  reader.at = contents.start;
  reader.end = contents.end;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag >>> 3 !== contents.field) reader.skip(tag);
    else if ((tag & 7) === wireBytes && contents.field !== 8) {
      const outer = reader.enter();
      if (reader.at < reader.end) fill(reader.end);
      reader.leave(outer);
    } else fill(reader.at + 1);
  }
}

/** Floating-point elements are little-endian on the wire and in memory: one copy. */
function fillFixed(reader: WireReader, end: number, data: TypedArray, index: number): number {
  const size = data.BYTES_PER_ELEMENT;
  const length = Math.max(size, end - reader.at);
  const from = reader.bytes.byteOffset + reader.at;
  new Uint8Array(data.buffer).set(new Uint8Array(reader.bytes.buffer, from, length), index * size);
  reader.at += length;
  return index + length / size;
}

/** 64-bit integers are written as halves, so that no bigint is made. */
function fillLong(reader: WireReader, end: number, data: BigInt64Array, index: number): number {
  const halves = new Uint32Array(data.buffer);
  let at = index * 2;
  while (reader.at < end) {
    reader.varint();
    halves[at] = reader.low;
    halves[at + 1] = reader.high;
    at += 2;
  }
  return at / 2;
}

function fillBooleans(reader: WireReader, end: number, data: Uint8Array, index: number): number {
  let at = index;
  while (reader.at < end) data[at++] = reader.bool() ? 1 : 0;
  return at;
}

function fillSmall(
  reader: WireReader,
  end: number,
  data: Int32Array,
  index: number,
  [least, most]: readonly [number, number],
  target: Target,
): number {
  let at = index;
  while (reader.at < end) {
    reader.varint();
    const value = (reader.high | 0) * 0x1_0000_0000 + reader.low;
    if (value < least || value > most) {
      throw invalid(
        `element ${at} of input '${target.input}' for model '${target.model}' is ${value}, expected ${least} to ${most} for ${target.datatype}`,
      );
    }
    data[at++] = value;
  }
  return at;
}
