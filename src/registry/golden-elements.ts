/**
 * The elements of a golden tensor from parsed JSON: each datatype's own rule, and exactly as many as its shape says.
 *
 * Must not know files, or requests and responses.
 */
import { halfOf } from '../core/half.js';
import { allocate, checkText, countOf, type DataType, type TensorData } from '../core/tensor.js';

const ranges: Partial<Record<DataType, readonly [number, number]>> = {
  INT8: [-(2 ** 7), 2 ** 7 - 1],
  INT16: [-(2 ** 15), 2 ** 15 - 1],
  INT32: [-(2 ** 31), 2 ** 31 - 1],
  UINT8: [0, 2 ** 8 - 1],
  UINT16: [0, 2 ** 16 - 1],
  UINT32: [0, 2 ** 32 - 1],
};
const wideRanges: Partial<Record<DataType, readonly [bigint, bigint]>> = {
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
  UINT64: [0n, 2n ** 64n - 1n],
};

/**
 * @param nested elements in row-major order, flat or in nested arrays; wide numbers as `parseWideJson` gives them
 * @throws Error naming the element, what was expected and what is there
 */
export function elementsFrom(
  nested: readonly unknown[],
  head: { readonly name: string; readonly datatype: DataType; readonly shape: readonly number[] },
): TensorData {
  const { name, datatype, shape } = head;
  const flat = nested.flat(shape.length) as unknown[];
  const count = countOf(shape);
  if (flat.length !== count) throw new Error(`tensor '${name}' has ${flat.length} elements, expected ${count}`);
  const read = readerOf(datatype);
  if (datatype === 'BYTES') return flat.map((element, index) => textFrom(element, index, name));
  const out = allocate(datatype, count);
  for (let i = 0; i < count; i++) {
    const value = read(flat[i]);
    if (value === undefined) throw wrong(name, i, datatype, flat[i]);
    (out as unknown as (number | bigint)[])[i] = value;
  }
  return out;
}

type Read = (element: unknown) => number | bigint | undefined;

function readerOf(datatype: DataType): Read {
  const wide = wideRanges[datatype];
  if (wide !== undefined) return (element) => wideFrom(element, wide);
  const range = ranges[datatype];
  if (range !== undefined) return (element) => integerFrom(element, range);
  if (datatype === 'BOOL') return (element) => (typeof element === 'boolean' ? Number(element) : undefined);
  if (datatype === 'FP16') return halfFrom;
  if (datatype === 'FP32') return (element) => finiteAs(Math.fround, element);
  return numberFrom;
}

function integerFrom(element: unknown, [min, max]: readonly [number, number]): number | undefined {
  return Number.isInteger(element) && (element as number) >= min && (element as number) <= max
    ? (element as number)
    : undefined;
}

function wideFrom(element: unknown, [min, max]: readonly [bigint, bigint]): bigint | undefined {
  const isExact = Number.isSafeInteger(element) || (typeof element === 'string' && /^-?\d{1,20}$/.test(element));
  if (!isExact) return undefined;
  const value = BigInt(element as number | string);
  return value >= min && value <= max ? value : undefined;
}

function numberFrom(element: unknown): number | undefined {
  if (typeof element === 'number') return Number.isFinite(element) ? element : undefined;
  if (typeof element !== 'string') return undefined;
  return /^(?:NaN|-?Infinity|-?\d{1,400})$/.test(element) ? Number(element) : undefined;
}

/** The number in a narrower type, unless it is finite and would no longer be. */
function finiteAs(narrow: (value: number) => number, element: unknown): number | undefined {
  const value = numberFrom(element);
  if (value === undefined) return undefined;
  const narrowed = narrow(value);
  return Number.isFinite(value) && !Number.isFinite(narrowed) ? undefined : narrowed;
}

function halfFrom(element: unknown): number | undefined {
  const value = numberFrom(element);
  if (value === undefined) return undefined;
  const bits = halfOf(value);
  return Number.isFinite(value) && (bits & 0x7c00) === 0x7c00 ? undefined : bits;
}

function textFrom(element: unknown, index: number, name: string): string {
  if (typeof element !== 'string') throw wrong(name, index, 'BYTES', element);
  checkText(element, index, name, 'golden');
  return element;
}

function wrong(name: string, index: number, datatype: DataType, element: unknown): Error {
  const got = typeof element === 'object' && element !== null ? 'a nested value' : String(element).slice(0, 40);
  return new Error(`tensor '${name}', element ${index}: expected ${datatype}, got ${got}`);
}
