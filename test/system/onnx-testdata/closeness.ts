/** When two tensors count as equal: within the tolerance of the ONNX backend tests, or to the bit. */
import type { Tensor } from '../../../src/core/tensor.js';
import { bytesOfTensor } from './bytes.js';

const relativeMax = 1e-3;
const absoluteMax = 1e-7;

/** @returns in what `got` is beyond the tolerance, or undefined */
export function differenceOf(got: Tensor, expected: Tensor): string | undefined {
  if (headOf(got) !== headOf(expected)) return `expected ${headOf(expected)}, got ${headOf(got)}`;
  const isFloat = got.datatype.startsWith('FP');
  for (let i = 0; i < got.data.length; i++) {
    const [a, b] = [elementAt(got, i), elementAt(expected, i)];
    if (isFloat ? !isClose(a as number, b as number) : a !== b) return `element ${i}: expected ${b}, got ${a}`;
  }
  return undefined;
}

/** JSON writes every NaN alike, so its sign and payload are told apart in binary only. */
export type NanRule = 'any' | 'bits';

/** @returns the first output that is not the same to the bit, in name, datatype, shape or elements, or undefined */
export function bitDifferenceOf(got: readonly Tensor[], expected: readonly Tensor[], nan: NanRule): string | undefined {
  if (got.length !== expected.length) return `expected ${expected.length} outputs, got ${got.length}`;
  for (const [i, tensor] of expected.entries()) {
    const [ours, theirs] = [`'${got[i]!.name}' ${headOf(got[i]!)}`, `'${tensor.name}' ${headOf(tensor)}`];
    if (ours !== theirs) return `expected ${theirs}, got ${ours}`;
    const isSame =
      nan === 'any' ? hasSameValues(got[i]!, tensor) : bytesOfTensor(got[i]!).equals(bytesOfTensor(tensor));
    if (!isSame) return `${theirs}: ${differenceOf(got[i]!, tensor) ?? 'other bits'}`;
  }
  return undefined;
}

function hasSameValues(a: Tensor, b: Tensor): boolean {
  if (a.data.length !== b.data.length) return false;
  for (let i = 0; i < a.data.length; i++) if (!Object.is(a.data[i], b.data[i])) return false;
  return true;
}

function headOf({ datatype, shape }: Tensor): string {
  return `${datatype} [${shape}]`;
}

function elementAt({ datatype, data }: Tensor, i: number): unknown {
  return datatype === 'FP16' ? halfToNumber(data[i] as number) : data[i];
}

function isClose(got: number, expected: number): boolean {
  if (got === expected || (Number.isNaN(got) && Number.isNaN(expected))) return true;
  if (!Number.isFinite(expected)) return false;
  return Math.abs(got - expected) <= absoluteMax + relativeMax * Math.abs(expected);
}

function halfToNumber(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 0x1f, bits & 0x3ff];
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}
