/**
 * The V2 classification extension: the k best classes of an output as text, `value:index[:label]`.
 *
 * Must not know protocols or where labels come from.
 */
import { GatewayError, invalid } from './errors.js';
import type { Tensor } from './tensor.js';

const classesMax = 1_000_000;

/**
 * @param k how many classes, at least 1; more than there are means all
 * @param isBatched the first dimension counts rows and each row is classified by itself
 * @param labels by index; may be shorter than the classes, or empty
 * @returns a BYTES tensor of shape `[min(k, classes)]`, or `[rows, min(k, classes)]`
 * @throws INVALID_ARGUMENT for BYTES, FP16 and BF16 outputs and for more than 1,000,000 classes
 */
export function classify(tensor: Tensor, k: number, isBatched: boolean, labels: readonly string[]): Tensor {
  if (tensor.datatype === 'BYTES' || tensor.datatype === 'FP16' || tensor.datatype === 'BF16') {
    throw invalid(`class result not available for output due to unsupported type '${tensor.datatype}'`);
  }
  if (!Number.isSafeInteger(k) || k < 1) throw new GatewayError('INTERNAL', `classification of ${k} classes`);
  const rows = isBatched ? tensor.shape[0]! : 1;
  const classes = rows === 0 ? 0 : tensor.data.length / rows;
  if (classes > classesMax)
    throw invalid(`output '${tensor.name}' has ${classes} classes, at most ${classesMax} can be ranked`);
  const kept = Math.min(k, classes);
  const data: string[] = [];
  for (let row = 0; row < rows; row++) {
    const values = (tensor.data as Float32Array).subarray(row * classes, (row + 1) * classes);
    for (const index of best(values, kept)) data.push(textOf(values[index]!, tensor.datatype, index, labels[index]));
  }
  return { name: tensor.name, datatype: 'BYTES', shape: isBatched ? [rows, kept] : [kept], data };
}

/** Indices of the k highest values, highest first, equal ones by index, NaN last. */
function best(values: Float32Array, k: number): number[] {
  const order = Array.from(values.keys());
  order.sort((a, b) => {
    const [x, y] = [values[a]!, values[b]!];
    if (x === y) return a - b;
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) ? (Number.isNaN(y) ? a - b : 1) : -1;
    return x > y ? -1 : 1;
  });
  return order.slice(0, k);
}

function textOf(value: number | bigint, datatype: string, index: number, label: string | undefined): string {
  // The wire writes floats with six decimals, as C's %f does; toFixed falls back to exponents from 1e21 on.
  const text = datatype.startsWith('FP') ? (value as number).toFixed(6) : value.toString();
  return label === undefined ? `${text}:${index}` : `${text}:${index}:${label}`;
}
