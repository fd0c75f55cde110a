/**
 * Whether two tensors are the same answer: the rule of golden samples, of batch invariance and of replays.
 *
 *   |got − expected| ≤ atol + rtol · |expected|
 *
 * NaN agrees with NaN and an infinity with itself; integers, booleans, texts, names and shapes agree only when they are equal.
 *
 * Must not know where the tensors come from.
 */
import { numberOf } from './half.js';
import { shapeText, type Tensor } from './tensor.js';

export interface Tolerance {
  readonly atol: number;
  readonly rtol: number;
}

/** What holds where nobody says otherwise. */
export const defaultTolerance: Tolerance = { atol: 1e-6, rtol: 1e-4 };

/** @returns the first difference as a sentence that names tensor, element, expected and got; undefined when they agree */
export function disagreementOf(expected: Tensor, got: Tensor, tolerance: Tolerance): string | undefined {
  const { name, datatype, shape } = expected;
  if (got.name !== name) return `expected output '${name}', got '${got.name}'`;
  if (got.datatype !== datatype) return `output '${name}': expected ${datatype}, got ${got.datatype}`;
  const sameShape = shape.length === got.shape.length && shape.every((size, axis) => size === got.shape[axis]);
  if (!sameShape) return `output '${name}': expected shape ${shapeText(shape)}, got ${shapeText(got.shape)}`;
  const index = isFloat(datatype) ? firstApart(expected, got, tolerance) : firstUnequal(expected, got);
  if (index === -1) return undefined;
  const allowed = isFloat(datatype) ? `, allowed ±${allowance(valueAt(expected, index), tolerance)}` : '';
  return `output '${name}', element ${index}: expected ${textAt(expected, index)}, got ${textAt(got, index)}${allowed}`;
}

function isFloat(datatype: string): boolean {
  return datatype === 'FP16' || datatype === 'FP32' || datatype === 'FP64';
}

function firstUnequal(expected: Tensor, got: Tensor): number {
  const [a, b] = [expected.data, got.data];
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return i;
  return -1;
}

function firstApart(expected: Tensor, got: Tensor, tolerance: Tolerance): number {
  for (let i = 0; i < expected.data.length; i++) {
    if (!isNear(valueAt(expected, i), valueAt(got, i), tolerance)) return i;
  }
  return -1;
}

function isNear(expected: number, got: number, tolerance: Tolerance): boolean {
  if (expected === got || (Number.isNaN(expected) && Number.isNaN(got))) return true;
  return Math.abs(got - expected) <= allowance(expected, tolerance);
}

/** An infinity would allow any distance from itself. */
function allowance(expected: number, { atol, rtol }: Tolerance): number {
  return Number.isFinite(expected) ? atol + rtol * Math.abs(expected) : 0;
}

function valueAt({ datatype, data }: Tensor, index: number): number {
  return datatype === 'FP16' ? numberOf(data[index] as number) : (data[index] as number);
}

const textMax = 64;

function textAt(tensor: Tensor, index: number): string {
  const element = tensor.data[index];
  if (typeof element !== 'string') return String(isFloat(tensor.datatype) ? valueAt(tensor, index) : element);
  return element.length > textMax ? `'${element.slice(0, textMax)}…'` : `'${element}'`;
}
