/**
 * PART OF THE ROOT: what one row was predicted to be, from the outputs of its run.
 *
 *   label   an output with one integer or text a row, else the class of the greatest probability, else the number itself
 *   score   what the manifest calls so; else the second of two probabilities, the greatest of more, the number itself
 *
 * Must not know requests or files.
 */
import type { Version } from '../core/model.js';
import type { Tensor } from '../core/tensor.js';

export interface Prediction {
  readonly label: string | undefined;
  readonly score: number | undefined;
}

/** @param outputs of one row */
export function predictionOf(outputs: readonly Tensor[], version: Pick<Version, 'labels' | 'semantics'>): Prediction {
  const named = outputs.find(({ datatype, data }) => data.length === 1 && isName(datatype));
  const numbers = numbersOf(outputs, version);
  const score = numbers === undefined ? undefined : scoreOf(numbers, version);
  if (named !== undefined) return { label: String(named.data[0]), score };
  if (numbers === undefined) return { label: undefined, score };
  const { name, data } = numbers;
  if (data.length === 1) return { label: String(data[0]), score };
  const best = greatest(data as ArrayLike<number>);
  return { label: version.labels[name]?.[best] ?? String(best), score };
}

function isName(datatype: Tensor['datatype']): boolean {
  return datatype === 'BYTES' || datatype === 'BOOL' || datatype.includes('INT');
}

/** The output of which the score is read. */
function numbersOf(outputs: readonly Tensor[], { semantics }: Pick<Version, 'semantics'>): Tensor | undefined {
  const isFloat = ({ datatype, data }: Tensor) => (datatype === 'FP32' || datatype === 'FP64') && data.length > 0;
  const named = outputs.find(({ name }) => name === semantics?.score?.output);
  return named !== undefined && isFloat(named) ? named : outputs.find(isFloat);
}

function scoreOf({ name, data }: Tensor, { semantics }: Pick<Version, 'semantics'>): number | undefined {
  const numbers = data as ArrayLike<number>;
  if (semantics?.score?.output === name) return numbers[semantics.score.column];
  if (numbers.length <= 2) return numbers[numbers.length - 1];
  return numbers[greatest(numbers)];
}

function greatest(numbers: ArrayLike<number>): number {
  let best = 0;
  for (let at = 1; at < numbers.length; at++) if (numbers[at]! > numbers[best]!) best = at;
  return best;
}
