/**
 * Inputs and outputs as values that JSON can hold: what a record keeps once rules were applied, and what rows are made of.
 *
 * Integers beyond 2^53 and numbers that are not finite become text, for JSON would change them.
 *
 * Must not know frames or rules.
 */
import { numberOf } from '../core/half.js';
import type { DataType, TypedArray } from '../core/tensor.js';
import { type KeptTensor, rowLength } from './tensor-bytes.js';

export type Cell = number | string | boolean | null;

export interface PayloadTensor {
  readonly name: string;
  readonly datatype: DataType;
  readonly shape: readonly number[];
  /** Its first elements. */
  readonly data: readonly Cell[];
  /** Elements that it had. */
  readonly length: number;
}

export interface Payload {
  readonly inputs: readonly PayloadTensor[];
  readonly outputs: readonly PayloadTensor[];
}

export function payloadTensorOf(tensor: KeptTensor): PayloadTensor {
  const { name, datatype, shape, length } = tensor;
  return { name, datatype, shape, length, data: cellsOf(datatype, tensor.data as TypedArray | string[]) };
}

function cellsOf(datatype: DataType, data: TypedArray | readonly string[]): Cell[] {
  switch (datatype) {
    case 'BOOL':
      return Array.from(data as Uint8Array, (byte) => byte !== 0);
    case 'INT64':
    case 'UINT64':
      return Array.from(data as BigInt64Array, (value) => {
        const number = Number(value);
        return Number.isSafeInteger(number) ? number : String(value);
      });
    case 'FP32':
    case 'FP64':
      return Array.from(data as Float64Array, finite);
    case 'FP16':
      return Array.from(data as Uint16Array, (bits) => finite(numberOf(bits)));
    default:
      return Array.from(data as readonly string[] | Uint8Array as readonly (string | number)[]);
  }
}

function finite(value: number): Cell {
  return Number.isFinite(value) ? value : String(value);
}

/** The elements of one item: a row where rows are items, else all of them. */
export function itemCells(tensor: PayloadTensor, item: number, items: number): readonly Cell[] {
  if (tensor.shape[0] !== items) return item === 0 ? tensor.data : [];
  const perRow = rowLength(tensor.shape, tensor.length);
  return tensor.data.slice(item * perRow, (item + 1) * perRow);
}

/** One item of some tensors as a JSON object; undefined when nothing of it was kept. */
export function itemJson(tensors: readonly PayloadTensor[], item: number, items: number): string | undefined {
  const kept: Record<string, readonly Cell[]> = {};
  for (const tensor of tensors) kept[tensor.name] = itemCells(tensor, item, items);
  return tensors.length === 0 ? undefined : JSON.stringify(kept);
}
