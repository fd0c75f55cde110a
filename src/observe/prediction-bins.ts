/**
 * What a model answered, as counts in bins that are the same for every version: enough to see that two arms predict unlike.
 *
 *   [rows, classes] → the first maximum · labels and integers → themselves · one number a row → where it lies
 *
 * The first output of an answer counts, and of a large batch the first rows: a request must not keep the loop.
 *
 * Must not know arms.
 */
import { numberOf } from '../core/half.js';
import { murmur3 } from '../core/murmur3.js';
import type { Tensor } from '../core/tensor.js';

export const predictionBins = 64;
const rowsMax = 64;
const elementsMax = 16_384;

/** Counts every row of the first output. */
export function countPredictions(bins: number[], outputs: readonly Tensor[]): void {
  const [output] = outputs;
  if (output === undefined) return;
  const { shape, data } = output;
  const perRow = shape.length > 1 ? data.length / shape[0]! : 1;
  if (!(perRow >= 1) || perRow > elementsMax) return;
  const rows = Math.min(rowsMax, data.length / perRow, Math.floor(elementsMax / perRow));
  for (let row = 0; row < rows; row++) bins[binOf(output, row * perRow, perRow)]!++;
}

function binOf(output: Tensor, from: number, count: number): number {
  if (count === 1) return binOfOne(output, from);
  let best = 0;
  for (let i = 1; i < count; i++) if (valueAt(output, from + i) > valueAt(output, from + best)) best = i;
  return Math.min(best, predictionBins - 1);
}

function binOfOne(output: Tensor, at: number): number {
  const { datatype, data } = output;
  const element = data[at]!;
  if (typeof element === 'string') return murmur3(element) % predictionBins;
  if (datatype.startsWith('FP') || datatype === 'BF16') return binOfNumber(valueAt(output, at));
  return Number(BigInt.asUintN(6, BigInt(element)));
}

/** Twenty bins from 0 to 1, where scores are; beyond, two for each doubling. */
function binOfNumber(x: number): number {
  if (Number.isNaN(x)) return predictionBins - 1;
  if (x >= 0 && x <= 1) return Math.min(19, Math.floor(20 * x));
  const distance = Math.min(20, Math.max(0, Math.floor(2 * Math.log2(x > 1 ? x : 1 - x))));
  return x > 1 ? 20 + distance : 41 + distance;
}

/** Text is compared by nothing: a row of several has no maximum, and counts as its first. */
function valueAt({ datatype, data }: Tensor, at: number): number {
  const element = data[at]!;
  if (typeof element === 'string') return 0;
  return datatype === 'FP16' ? numberOf(element as number) : Number(element);
}
