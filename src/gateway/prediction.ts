/**
 * PART OF THE ROOT: what one row was predicted to be, from the outputs of its run.
 *
 *   label   an output with one integer or text a row, else the class of the greatest probability, else the number itself
 *   score   what the manifest calls so; else the second of two probabilities, the greatest of more, the number itself
 *
 * Runs once per request on the serving thread: outputs are looked through without closures, and a number stays one.
 *
 * Must not know requests or files.
 */
import type { Version } from '../core/model.js';
import type { DataType, Tensor } from '../core/tensor.js';

export interface Prediction {
  readonly label: string | undefined;
  readonly score: number | undefined;
}

type Meant = Pick<Version, 'labels' | 'semantics'>;

/** @param outputs of one row */
export function predictionOf(outputs: readonly Tensor[], version: Meant): Prediction {
  const numbers = numbersOf(outputs, version);
  const label = labelOf(outputs, numbers, version);
  return { label: label === undefined ? undefined : String(label), score: numbers && scoreOf(numbers, version) };
}

/** @param numbers what `numbersOf` found @returns a number where it is one: its text is made by whoever needs it */
export function labelOf(
  outputs: readonly Tensor[],
  numbers: Tensor | undefined,
  { labels }: Meant,
): string | number | undefined {
  const named = namedOf(outputs);
  if (named !== undefined) return nameIn(named);
  if (numbers === undefined) return undefined;
  const data = numbers.data as ArrayLike<number>;
  if (data.length === 1) return data[0];
  const best = greatest(data);
  return labels[numbers.name]?.[best] ?? String(best);
}

function namedOf(outputs: readonly Tensor[]): Tensor | undefined {
  for (let i = 0; i < outputs.length; i++) {
    const output = outputs[i]!;
    if (isName(output.datatype) && output.data.length === 1) return output;
  }
  return undefined;
}

function nameIn({ data }: Tensor): string {
  const value = data[0]!;
  // The text of a BigInt costs ten times as much as that of a small number.
  if (typeof value !== 'bigint') return String(value);
  const number = Number(value);
  return String(Number.isSafeInteger(number) ? number : value);
}

function isName(datatype: DataType): boolean {
  switch (datatype) {
    case 'FP32':
    case 'FP64':
    case 'FP16':
    case 'BF16':
      return false;
    default:
      return true;
  }
}

/** The output of which the score is read. */
export function numbersOf(outputs: readonly Tensor[], { semantics }: Pick<Version, 'semantics'>): Tensor | undefined {
  const name = semantics?.score?.output;
  let first: Tensor | undefined;
  for (let i = 0; i < outputs.length; i++) {
    const output = outputs[i]!;
    if ((output.datatype !== 'FP32' && output.datatype !== 'FP64') || output.data.length === 0) continue;
    if (output.name === name) return output;
    first ??= output;
  }
  return first;
}

export function scoreOf({ name, data }: Tensor, { semantics }: Pick<Version, 'semantics'>): number | undefined {
  const numbers = data as ArrayLike<number>;
  const score = semantics?.score;
  if (score !== undefined && score.output === name) return numbers[score.column];
  if (numbers.length <= 2) return numbers[numbers.length - 1];
  return numbers[greatest(numbers)];
}

function greatest(numbers: ArrayLike<number>): number {
  let best = 0;
  for (let at = 1; at < numbers.length; at++) if (numbers[at]! > numbers[best]!) best = at;
  return best;
}
