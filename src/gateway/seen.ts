/**
 * PART OF THE ROOT, in the observer thread: an event with its tensors as the log brings it, read value by value.
 *
 * Must not know what the values are for.
 */
import { numberOf } from '../core/half.js';
import { rowsOf, type Tensor } from '../core/tensor.js';
import type { Watched, WatchedFeature } from '../core/watched.js';
import { type Prediction, predictionOf } from './prediction.js';

/** What of an event is looked at. */
export interface SeenEvent {
  readonly items: number;
  readonly prediction: string | undefined;
  readonly score: number | undefined;
}

/** A tensor that may have lost its end. */
export interface SeenTensor extends Tensor {
  /** Elements that it had. */
  readonly length: number;
}

export interface SeenTensors {
  readonly inputs: readonly SeenTensor[];
  readonly outputs: readonly SeenTensor[];
}

export type Cell = number | bigint | string | boolean;

/** Items of an event, and how many of them are there. */
export interface Rows {
  readonly items: number;
  readonly rows: number;
}

/** Elements of one item: a row where rows are items, else all of them. */
export function perItem({ shape, length }: SeenTensor, items: number): number {
  return shape[0] === items ? length / items : length;
}

/** One element as a value: patterns of halves become numbers, bytes of BOOL true and false. */
export function cellAt({ datatype, data }: SeenTensor, at: number): Cell | undefined {
  const value = data[at];
  switch (value === undefined ? undefined : datatype) {
    case 'FP16':
      return numberOf(value as number);
    case 'BF16':
      return bfloatOf(value as number);
    case 'BOOL':
      return value !== 0;
    default:
      return value;
  }
}

const singleBits = new Uint32Array(1);
const single = new Float32Array(singleBits.buffer);

function bfloatOf(bits: number): number {
  singleBits[0] = bits << 16;
  return single[0]!;
}

/** Undefined when there is none of that name. */
export function tensorNamed(tensors: readonly SeenTensor[], name: string): SeenTensor | undefined {
  for (let i = 0; i < tensors.length; i++) if (tensors[i]!.name === name) return tensors[i];
  return undefined;
}

interface Told extends Rows {
  readonly watched: Pick<Watched, 'labels' | 'semantics'>;
}

/** What was predicted for each item of a request with several. */
export function predictionsOf(outputs: readonly SeenTensor[], { items, rows, watched }: Told): Prediction[] {
  const whole = outputs.filter(({ shape, data, length }) => shape[0] === items && data.length === length);
  const { labels, semantics } = watched;
  return Array.from({ length: rows }, (_, item) =>
    predictionOf(
      whole.map((tensor) => rowsOf(tensor, item, 1)),
      { labels, semantics },
    ),
  );
}

/** The features of one item as values, in their order; null for what is missing. */
export function cellsOf(
  features: readonly WatchedFeature[],
  inputs: readonly SeenTensor[],
  item: number,
  items: number,
) {
  return features.map(({ input, column }) => {
    const tensor = tensorNamed(inputs, input);
    return tensor === undefined ? null : (cellAt(tensor, item * perItem(tensor, items) + column) ?? null);
  });
}
