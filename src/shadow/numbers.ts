/**
 * The elements of a tensor as doubles, into storage that is used again for every pair.
 *
 * Must not know what is done with them.
 */
import { numberOf } from '../core/half.js';
import type { Tensor, TypedArray } from '../core/tensor.js';

const single = new Float32Array(1);
const singleBits = new Uint32Array(single.buffer);

/** Fills `into` from its beginning; 64-bit integers are rounded to doubles. @returns false for texts, which are no numbers */
export function readNumbers({ datatype, data }: Tensor, into: Float64Array): boolean {
  switch (datatype) {
    case 'BYTES':
      return false;
    case 'INT64':
    case 'UINT64':
      for (let i = 0; i < data.length; i++) into[i] = Number(data[i]);
      return true;
    case 'FP16':
      for (let i = 0; i < data.length; i++) into[i] = numberOf(data[i] as number);
      return true;
    case 'BF16':
      for (let i = 0; i < data.length; i++) {
        singleBits[0] = (data[i] as number) << 16;
        into[i] = single[0]!;
      }
      return true;
    default:
      into.set(data as Exclude<TypedArray, BigInt64Array | BigUint64Array>);
      return true;
  }
}

/** Equality decides whether elements match, not a tolerance. */
export function isExact({ datatype }: Tensor): boolean {
  return datatype !== 'FP16' && datatype !== 'BF16' && datatype !== 'FP32' && datatype !== 'FP64';
}
