/**
 * What is sent: tensors made by chance from the model's metadata, decided by a seed.
 *
 * Floats are uniform in [0, 1) and integers 0 or 1: the values of a row do not change what a dense model costs, and 0 and 1
 * are valid token ids, masks and classes everywhere. Several different requests take turns, so that a cache in the server
 * does not answer for the model; how many is bounded by their bytes.
 *
 * Must not know files or protocols.
 */
import { Exit } from '../src/cli/exit.js';
import { halfOf } from '../src/core/half.js';
import { allocate, bytesOf, countOf, type DataType, type Tensor, type TensorSpec } from '../src/core/tensor.js';
import type { Random } from './chance.js';
import type { ModelFacts } from './target.js';

/** The inputs of one request. */
export type Inputs = readonly Tensor[];

export interface RandomInputsOptions {
  readonly model: string;
  readonly facts: ModelFacts;
  readonly rows: number;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly random: Random;
}

/** Chosen: enough to miss a small cache, few enough to be made in a moment. */
const requestsMax = 64;
const requestBytesMax = 256 * 2 ** 20;
const totalBytesMax = 128 * 2 ** 20;

/** Whether the first dimension of every input counts rows. */
export function isBatched({ inputs, rowsMax }: ModelFacts): boolean {
  return rowsMax !== 0 && inputs.every(({ shape }) => shape[0] === -1);
}

/** @throws Exit 2 when a shape is not decided by metadata and options */
export function randomInputs(options: RandomInputsOptions): Inputs[] {
  const { model, facts, rows, shapes, random } = options;
  const batched = isBatched(facts);
  if (rows > 1 && !batched) throw new Exit(2, `--rows: model '${model}' takes one row at a time, got ${rows}`);
  if (rows > 1 && facts.rowsMax !== undefined && rows > facts.rowsMax)
    throw new Exit(2, `--rows: model '${model}' takes at most ${facts.rowsMax} rows in a request, got ${rows}`);
  for (const name of shapes.keys()) {
    if (!facts.inputs.some((input) => input.name === name))
      throw new Exit(2, `--shape: model '${model}' has no input '${name}', it has ${namesOf(facts)}`);
  }
  const specs = facts.inputs.map((spec) => ({
    ...spec,
    shape: shapeOf(spec, { batched, rows, asked: shapes.get(spec.name) }),
  }));
  const bytes = specs.reduce((sum, { datatype, shape }) => sum + countOf(shape) * (bytesOf(datatype) || 12), 0);
  if (bytes > requestBytesMax)
    throw new Exit(2, `one request would have ${bytes} bytes, at most ${requestBytesMax} are sent`);
  const count = Math.max(1, Math.min(requestsMax, Math.floor(totalBytesMax / Math.max(1, bytes))));
  return Array.from({ length: count }, () => specs.map((spec) => randomTensor(spec, random)));
}

export function namesOf({ inputs }: ModelFacts): string {
  return inputs.map(({ name }) => `'${name}'`).join(', ');
}

interface ShapeOptions {
  readonly batched: boolean;
  readonly rows: number;
  readonly asked: readonly number[] | undefined;
}

function shapeOf(spec: TensorSpec, { batched, rows, asked }: ShapeOptions): number[] {
  const declared = batched ? spec.shape.slice(1) : spec.shape;
  const row = asked ?? declared;
  const fits = row.length === declared.length && row.every((size, at) => declared[at] === -1 || declared[at] === size);
  if (!fits) {
    throw new Exit(
      2,
      `--shape: input '${spec.name}' has dimensions ${declared.join(',')} (-1 varies), got ${row.join(',')}`,
    );
  }
  if (row.includes(-1)) {
    throw new Exit(
      2,
      `input '${spec.name}' has dimensions that vary: give them, for example --shape ${spec.name}=${row.map((size) => (size === -1 ? 8 : size)).join(',')}`,
    );
  }
  return batched ? [rows, ...row] : [...row];
}

function randomTensor({ name, datatype, shape }: TensorSpec, random: Random): Tensor {
  const count = countOf(shape);
  if (datatype === 'BYTES') return { name, datatype, shape, data: Array.from({ length: count }, () => word(random)) };
  const data = allocate(datatype, count);
  const value = elementOf(datatype, random);
  for (let at = 0; at < count; at++) (data as Float32Array)[at] = value() as number;
  return { name, datatype, shape, data };
}

function elementOf(datatype: DataType, random: Random): () => number | bigint {
  switch (datatype) {
    case 'FP32':
    case 'FP64':
      return random;
    case 'FP16':
      return () => halfOf(random());
    case 'BF16':
      // The upper half of a float's bits: 0x3f00 … 0x3f7f are 0.5 … 1.
      return () => 0x3f00 + Math.floor(random() * 128);
    case 'INT64':
    case 'UINT64':
      return () => (random() < 0.5 ? 0n : 1n);
    default:
      return () => (random() < 0.5 ? 0 : 1);
  }
}

function word(random: Random): string {
  return Array.from({ length: 8 }, () => String.fromCharCode(97 + Math.floor(random() * 26))).join('');
}
