/**
 * What was answered and logged beside what is answered now, output by output (monitoring §9.2).
 *
 *   logged cells │ new tensors ─▶ the cells that the log would hold ─▶ elements ─▶ compareOutputs ─▶ measures, first differences
 *
 * Must not know who answered, or why he was asked again.
 */
import type { DataType, Tensor } from '../core/tensor.js';
import { compareOutputs, type OutputComparison } from '../monitor/stats/outputs.js';
import { itemCells, payloadTensorOf } from '../predictions/payload.js';
import type { LoggedRequest } from './logged-request.js';

type Element = number | bigint | boolean | string;
type Cells = readonly unknown[];

/** An item on which both differ. */
interface Difference {
  readonly item: number;
  /** Its first elements. */
  readonly logged: Cells;
  readonly replayed: Cells;
}

export interface ComparedOutput {
  readonly output: string;
  /** Every element of every item matches. */
  readonly isSame: boolean;
  readonly comparison: OutputComparison;
  readonly differences: readonly Difference[];
}

const differencesMax = 10;
const elementsShown = 16;

/** Outputs that were logged; one that is not answered now differs in shape. */
export function comparedOutputs({ items }: LoggedRequest, answered: readonly Tensor[]): ComparedOutput[] {
  const logged = items.map(({ outputs_json }) => JSON.parse(String(outputs_json)) as Record<string, Cells>);
  return Object.keys(logged[0] ?? {}).map((output) => {
    const tensor = answered.find(({ name }) => name === output);
    const then = logged.map((cells) => cells[output] ?? []);
    return compared(output, then, tensor);
  });
}

function compared(output: string, then: readonly Cells[], tensor: Tensor | undefined): ComparedOutput {
  const datatype = tensor?.datatype ?? 'BYTES';
  const answer = tensor && payloadTensorOf({ ...tensor, length: tensor.data.length });
  const now = then.map((_, item) => (answer === undefined ? [] : itemCells(answer, item, then.length)));
  // What is not split by items stands with the first of them.
  const isSplit = now.length > 1 && now.every(({ length }) => length > 0);
  const options = { exact: !isFloat(datatype) };
  const elements = (cells: Cells) => cells.map((cell) => elementOf(datatype, cell));
  const isAligned = tensor !== undefined && then.every(({ length }, item) => length === now[item]!.length);
  const comparison = compareOutputs(elements(then.flat()), isAligned ? elements(now.flat()) : [], {
    ...options,
    rows: isSplit ? then.length : 1,
  });
  const isSame = isAligned && (comparison.matchRate ?? 1) === 1;
  const differences: Difference[] = [];
  for (let item = 0; !isSame && item < then.length && differences.length < differencesMax; item++) {
    const [mine, theirs] = [then[item]!, now[item]!];
    const found = compareOutputs(elements(mine), elements(theirs), { ...options, rows: 1 });
    if (!found.shapeMismatch && (found.matchRate ?? 1) === 1) continue;
    differences.push({ item, logged: mine.slice(0, elementsShown), replayed: theirs.slice(0, elementsShown) });
  }
  return { output, isSame, comparison, differences };
}

export function isFloat(datatype: DataType): boolean {
  return datatype.startsWith('FP') || datatype === 'BF16';
}

const word = new Uint32Array(1);
const single = new Float32Array(word.buffer);

/** Both sides in one form: whole numbers beyond 2^53 come as texts, singles with more digits than they have, BF16 as its bits. */
export function elementOf(datatype: DataType, cell: unknown): Element {
  if (datatype === 'BYTES') return String(cell);
  if (datatype === 'BOOL') return cell === true || cell === 1;
  if (datatype === 'FP32') return Math.fround(Number(cell));
  if (datatype === 'BF16') {
    word[0] = Number(cell) << 16;
    return single[0]!;
  }
  const number = Number(cell);
  return typeof cell === 'string' && !Number.isSafeInteger(number) && /^-?\d+$/.test(cell) ? BigInt(cell) : number;
}
