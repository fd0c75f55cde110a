/**
 * What is sent, from a file of real rows: one V2 request in JSON, one per line (JSONL), or CSV for a model with one input.
 *
 *   text ─▶ by its form: request · lines of requests · lines of numbers ─▶ Inputs, checked against the metadata
 *
 * Of a V2 request only the inputs are taken. What does not fit the model is said with file, line and tensor before any
 * load is made, because afterwards it would be a table of errors.
 *
 * Must not know protocols.
 */
import { readFileSync, statSync } from 'node:fs';
import { Exit } from '../src/cli/exit.js';
import { halfOf } from '../src/core/half.js';
import { allocate, countOf, isDataType, shapeText, type Tensor, type TensorSpec } from '../src/core/tensor.js';
import { parseCsv } from './csv.js';
import { type Inputs, isBatched, namesOf } from './inputs.js';
import type { ModelFacts } from './target.js';

const fileBytesMax = 256 * 2 ** 20;
const requestsMax = 100_000;

interface FileOptions {
  readonly file: string;
  readonly model: string;
  readonly facts: ModelFacts;
  /** For CSV: lines of one request. */
  readonly rows: number | undefined;
}

/** @throws Exit 2 */
export function readInputs(options: FileOptions): Inputs[] {
  const { file } = options;
  const text = readText(file);
  if (/\.csv$/i.test(file)) return fromCsv(text, options);
  if (options.rows !== undefined)
    throw new Exit(2, '--rows: requests of a file have the rows they have; only CSV is cut');
  const whole = parseJson(text);
  if (whole !== undefined) return [fromRequest(whole, file, options)];
  const requests: Inputs[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const where = `${file} line ${index + 1}`;
    const request = parseJson(line);
    if (request === undefined) throw new Exit(2, `${where}: expected a V2 request in JSON, this is not JSON`);
    requests.push(fromRequest(request, where, options));
    if (requests.length > requestsMax) throw new Exit(2, `${file}: expected at most ${requestsMax} requests`);
  }
  if (requests.length === 0) throw new Exit(2, `${file}: expected V2 requests, the file is empty`);
  return requests;
}

function readText(file: string): string {
  const log = 'the prediction log of a running gateway is read by --input log';
  if (/\.(parquet|segment|log)$/i.test(file)) throw new Exit(2, `${file}: ${log}`);
  try {
    const { size } = statSync(file);
    if (size > fileBytesMax) throw new Exit(2, `${file}: ${size} bytes, at most ${fileBytesMax} are read`);
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Exit) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EISDIR') throw new Exit(2, `${file}: it is a folder; ${log}`);
    const got = code === 'ENOENT' ? 'it does not exist' : String(code);
    throw new Exit(2, `--input: expected a file with requests, got ${file}: ${got}`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function fromRequest(request: unknown, where: string, { model, facts }: FileOptions): Inputs {
  if (typeof request === 'object' && request !== null && ('captureData' in request || 'eventMetadata' in request)) {
    throw new Exit(2, `${where}: expected a V2 request, this is a captured one of another server`);
  }
  const { inputs } = (request ?? {}) as { inputs?: unknown };
  if (!Array.isArray(inputs)) throw new Exit(2, `${where}: expected a V2 request, it has no "inputs"`);
  const tensors = inputs.map((input) => tensorOf(input as Record<string, unknown>, where, { model, facts }));
  for (const { name } of facts.inputs) {
    const times = tensors.filter((tensor) => tensor.name === name).length;
    if (times !== 1)
      throw new Exit(2, `${where}: expected input '${name}' of model '${model}' once, got it ${times} times`);
  }
  return tensors;
}

function tensorOf(
  input: Record<string, unknown>,
  where: string,
  { model, facts }: { readonly model: string; readonly facts: ModelFacts },
): Tensor {
  const { name, datatype, shape, data } = input ?? {};
  const spec = facts.inputs.find((candidate) => candidate.name === name);
  if (spec === undefined)
    throw new Exit(2, `${where}: model '${model}' has no input '${String(name)}', it has ${namesOf(facts)}`);
  if (typeof datatype !== 'string' || !isDataType(datatype) || datatype !== spec.datatype)
    throw new Exit(2, `${where}: expected datatype ${spec.datatype} of input '${spec.name}', got ${String(datatype)}`);
  const sizes = Array.isArray(shape) ? shape : [];
  const fits = sizes.length === spec.shape.length && sizes.every((size, at) => isSize(size, spec.shape[at]!));
  if (!fits || !Array.isArray(shape)) {
    throw new Exit(
      2,
      `${where}: expected shape ${shapeText(spec.shape)} of input '${spec.name}' (-1 varies), got ${JSON.stringify(shape)}`,
    );
  }
  const flat = Array.isArray(data) ? data.flat(Number.POSITIVE_INFINITY) : [];
  return fill({ ...spec, shape: sizes as number[] }, flat, where);
}

function isSize(size: unknown, declared: number): boolean {
  return typeof size === 'number' && Number.isInteger(size) && size >= 0 && (declared === -1 || declared === size);
}

function fill({ name, datatype, shape }: TensorSpec, values: readonly unknown[], where: string): Tensor {
  const count = countOf(shape);
  if (values.length !== count) {
    throw new Exit(
      2,
      `${where}: expected ${count} elements in input '${name}' of shape ${shapeText(shape)}, got ${values.length}`,
    );
  }
  if (datatype === 'BYTES') {
    if (values.every((value) => typeof value === 'string')) return { name, datatype, shape, data: values };
    throw new Exit(2, `${where}: expected texts in input '${name}'`);
  }
  if (datatype === 'BF16') throw new Exit(2, `${where}: input '${name}' is BF16, which JSON and CSV cannot carry`);
  const data = allocate(datatype, count);
  for (let at = 0; at < count; at++) {
    const value = numberOf(values[at]);
    const isInteger = !datatype.startsWith('FP');
    if (value === undefined || (isInteger && !Number.isSafeInteger(value)))
      throw new Exit(
        2,
        `${where}: expected ${isInteger ? 'an integer below 2^53' : 'a number'} as element ${at} of input '${name}', got ${JSON.stringify(values[at])}`,
      );
    if (datatype === 'INT64' || datatype === 'UINT64') (data as BigInt64Array)[at] = BigInt(value);
    else (data as Float32Array)[at] = datatype === 'FP16' ? halfOf(value) : value;
  }
  return { name, datatype, shape, data };
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value !== 'string' || value.trim() === '') return undefined;
  return Number.isNaN(Number(value)) ? undefined : Number(value);
}

/** Each line is a row; a first line without a single number is a heading. */
function fromCsv(text: string, { file, model, facts, rows = 1 }: FileOptions): Inputs[] {
  const [spec] = facts.inputs;
  if (spec === undefined || facts.inputs.length !== 1)
    throw new Exit(2, `${file}: CSV is for models with one input, model '${model}' has ${namesOf(facts)}`);
  const batched = isBatched(facts);
  if (rows > 1 && !batched) throw new Exit(2, `--rows: model '${model}' takes one row at a time, got ${rows}`);
  const declared = batched ? spec.shape.slice(1) : spec.shape;
  const records = parseCsv(text);
  const heading = records[0]?.cells ?? [];
  if (spec.datatype === 'BYTES' ? heading[0] === spec.name : heading.every((cell) => numberOf(cell) === undefined))
    records.shift();
  if (records.length < rows) throw new Exit(2, `${file}: expected at least ${rows} rows, got ${records.length}`);
  const width = records[0]!.cells.length;
  const row = declared.filter((size) => size === -1).length === 1 ? varying(declared, width) : declared;
  const requests: Inputs[] = [];
  // Rows that do not fill a last request are left out, so that all requests cost the same.
  for (let from = 0; from + rows <= records.length && requests.length < requestsMax; from += rows) {
    const values: string[] = [];
    for (const { cells, line } of records.slice(from, from + rows)) {
      if (cells.length !== countOf(row)) {
        throw new Exit(
          2,
          `${file} line ${line}: expected ${countOf(row)} columns for input '${spec.name}' of shape ${shapeText(spec.shape)}, got ${cells.length}`,
        );
      }
      values.push(...cells);
    }
    requests.push([
      fill({ ...spec, shape: batched ? [rows, ...row] : [...row] }, values, `${file} line ${records[from]!.line}`),
    ]);
  }
  return requests;
}

function varying(declared: readonly number[], width: number): number[] {
  const known = declared.reduce((product, size) => (size === -1 ? product : product * size), 1);
  return declared.map((size) => (size === -1 ? Math.max(1, Math.floor(width / known)) : size));
}
