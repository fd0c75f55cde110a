/**
 * The inputs of a logged request as the tensors that they were.
 *
 *   rows of a request ─▶ cells of each input, by declared column or from its JSON ─▶ shape, by the signature ─▶ tensors
 *
 * The log keeps elements and not shapes: an input with more than one dimension that varies cannot be put together again.
 *
 * Must not know who asks, or where the signature comes from.
 */
import type { DataType, Tensor, TensorSpec } from '../core/tensor.js';
import { elementsFrom } from '../registry/golden-elements.js';
import type { LoggedColumn } from './logged-columns.js';
import type { LoggedRequest } from './logged-request.js';

/** A version without declared features has no columns. */
export type ColumnsByVersion = ReadonlyMap<string, readonly LoggedColumn[]>;

export interface Expected {
  readonly inputs: readonly TensorSpec[];
  /** The first dimension of every input counts rows. */
  readonly isBatched: boolean;
}

/** @returns undefined when what is logged does not give these inputs */
export function loggedInputs(
  request: LoggedRequest,
  { inputs, isBatched }: Expected,
  columns: ColumnsByVersion,
): Tensor[] | undefined {
  const own = columns.get(request.version) ?? [...columns.values()].find(({ length }) => length > 0) ?? [];
  try {
    return inputs.map(({ name, datatype, shape: declared }) => {
      const parts = partsOf(request, name, own);
      const shape = shapeOf(declared, parts, isBatched);
      const cells = parts.flat().map((cell) => plain(cell, datatype));
      return { name, datatype, shape, data: elementsFrom(cells, { name, datatype, shape }) };
    });
  } catch {
    // Whatever does not fit says the same: these are not the inputs of this version.
    return undefined;
  }
}

/** Elements of an input, for each item. @throws Error when some are not logged */
function partsOf({ items }: LoggedRequest, input: string, columns: readonly LoggedColumn[]): unknown[][] {
  const own = columns.filter((column) => column.input === input).sort((a, b) => a.index - b.index);
  return items.map((row) => {
    const cells =
      typeof row.input_json === 'string'
        ? (JSON.parse(row.input_json) as Record<string, unknown[]>)[input]
        : own.map(({ column, index }, at) => (index === at ? row[column] : null));
    if (cells === undefined || cells.includes(null) || cells.includes(undefined) || (cells.length === 0 && !own.length))
      throw new Error(`input '${input}' is not logged whole`);
    return cells;
  });
}

/** @throws Error when the dimensions that vary cannot be told */
function shapeOf(shape: readonly number[], parts: readonly unknown[][], isBatched: boolean): number[] {
  const elements = parts.reduce((sum, { length }) => sum + length, 0);
  const declared = isBatched ? [parts.length, ...shape.slice(1)] : [...shape];
  const known = declared.reduce((product, size) => (size === -1 ? product : product * size), 1);
  const varying = declared.filter((size) => size === -1).length;
  if (varying > 1 || (varying === 1 && (known === 0 || elements % known !== 0)))
    throw new Error('its shape is not known');
  return declared.map((size) => (size === -1 ? elements / known : size));
}

const named: readonly unknown[] = ['NaN', 'Infinity', '-Infinity'];

/** As JSON has it: a column that two versions declare differently holds texts. */
function plain(cell: unknown, datatype: DataType): unknown {
  if (datatype === 'BYTES') return cell;
  if (datatype === 'BOOL') return typeof cell === 'boolean' ? cell : cell === 1 || cell === 'true';
  if (typeof cell !== 'string' || cell.trim() === '' || named.includes(cell)) return cell;
  return datatype === 'INT64' || datatype === 'UINT64' ? cell : Number(cell);
}
