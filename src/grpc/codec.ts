/**
 * Requests for inferences as core values: which inputs fit which model.
 *
 * Elements are looked at last: form, names, datatypes and shapes are decided before anything is converted.
 *
 * Must not know the DataPlane or the gRPC library.
 */
import { GatewayError, invalid } from '../core/errors.js';
import { checkInputs, type Version } from '../core/model.js';
import { decodeRaw } from '../core/raw.js';
import { bytesOf, type DataType, isDataType, shapeText, type Tensor } from '../core/tensor.js';
import { byteSizeMismatch, checkedCount, type TensorHead } from '../core/tensor-head.js';
import { aligned } from './aligned.js';
import { datatypeOfField, typedFieldOf, typedNumbers, typedStrings } from './contents.js';
import type { InferMessage, InputMessage, MessageLimits } from './message.js';

export interface Decoded {
  /** In the model's own order. */
  readonly inputs: readonly Tensor[];
  readonly rows: number;
}

const nothing = new Uint8Array(0);

/**
 * Steps 6 to 11 of the validation order for one request and the version that will answer it.
 * @throws INVALID_ARGUMENT with the wire text of the first thing that is wrong
 */
export function tensorsOf(message: InferMessage, version: Version, limits: MessageLimits): Decoded {
  const { model } = version.id;
  const heads: TensorHead[] = [];
  const counts: number[] = [];
  for (let i = 0; i < message.inputs.length; i++) {
    const input = message.inputs[i]!;
    const shape = checkedShape(input, model);
    const count = checkedCount(input.name, input.dimensions, input.datatype);
    if (count === 0) checkExact(input);
    checkForm(message, i, count, model);
    heads.push({ name: input.name, datatype: input.datatype, shape });
    counts.push(count);
  }
  if (message.raw.length > heads.length) throw invalid(`unexpected additional input data for model '${model}'`);
  const rows = checkInputs(version, heads, requestedOf(message));
  const inputs: Tensor[] = [];
  for (const spec of version.signature.inputs) {
    const index = indexOf(heads, spec.name);
    inputs.push(tensorOf(message, index, heads[index]!, counts[index]!, model, limits));
  }
  return { inputs, rows };
}

function indexOf(heads: readonly TensorHead[], name: string): number {
  for (let i = 0; i < heads.length; i++) if (heads[i]!.name === name) return i;
  return -1;
}

/** Names of the outputs asked for; undefined = all. */
export function requestedOf(message: InferMessage): readonly string[] | undefined {
  return message.outputs.length === 0 ? undefined : message.outputs.map((output) => output.name);
}

function checkedShape(input: InputMessage, model: string): number[] {
  const shape: number[] = [];
  for (const dimension of input.dimensions) {
    if (dimension < 0) {
      throw invalid(
        `All input dimensions should be specified for input '${input.name}' for model '${model}', got ${shapeText(input.dimensions)}`,
      );
    }
    shape.push(Number(dimension));
  }
  return shape;
}

/** Where a dimension of 0 hides another that a number cannot hold, the reply could not repeat the shape. */
function checkExact({ name, dimensions }: InputMessage): void {
  if (dimensions.some((dimension) => typeof dimension === 'bigint')) {
    throw invalid(
      `invalid shape for input '${name}': shape ${shapeText(dimensions)} contains one or more invalid dimensions`,
    );
  }
}

/** Exactly one form of data, or none where there are no elements. */
function checkForm(message: InferMessage, index: number, count: number, model: string): void {
  const { name, datatype, contents, isShared } = message.inputs[index]!;
  if (isShared) throw new GatewayError('UNIMPLEMENTED', 'shared memory is not supported');
  if (message.raw.length > 0) {
    if (contents !== undefined) {
      throw invalid(
        `contents field must not be specified when using raw_input_contents for '${name}' for model '${model}'`,
      );
    }
    if (index >= message.raw.length && count > 0) throw noData(name, model);
    return;
  }
  if (contents === undefined || contents.field === 0) {
    if (count > 0) throw noData(name, model);
    return;
  }
  const text = `unexpected explicit tensor data for input tensor '${name}' for model '${model}'`;
  if (isDataType(datatype) && typedFieldOf(datatype) !== contents.field) {
    throw invalid(`${text} of type '${datatypeOfField[contents.field]}', expected datatype '${datatype}'`);
  }
  if (contents.isMixed) throw invalid(`${text}, binary data was already supplied.`);
}

function noData(input: string, model: string): GatewayError {
  return invalid(`unable to find data for input tensor '${input}' for model '${model}' in request.`);
}

function tensorOf(
  message: InferMessage,
  index: number,
  head: TensorHead,
  count: number,
  model: string,
  limits: MessageLimits,
): Tensor {
  // checkInputs has compared the datatype with the model's own.
  const checked = head as TensorHead & { readonly datatype: DataType };
  const contents = message.inputs[index]!.contents;
  if (contents === undefined || contents.field === 0) {
    return decodeRaw(checked, aligned(message.raw[index] ?? nothing), model, limits.stringsMax);
  }
  const { name, datatype, shape } = checked;
  const target = { input: name, model, datatype };
  if (datatype === 'BYTES') {
    checkStringCount(name, model, count, contents.count, limits.stringsMax);
    return { name, datatype, shape, data: typedStrings(message.reader, contents, target) };
  }
  if (contents.count !== count) {
    throw byteSizeMismatch(model, name, count * bytesOf(datatype), contents.count * bytesOf(datatype));
  }
  return { name, datatype, shape, data: typedNumbers(message.reader, contents, target) };
}

function checkStringCount(input: string, model: string, expected: number, got: number, stringsMax: number): void {
  if (expected > stringsMax) {
    throw invalid(
      `input '${input}' for model '${model}' has ${expected} string elements, at most ${stringsMax} are accepted`,
    );
  }
  if (got < expected) {
    throw invalid(
      `expected ${expected} string elements for inference input '${input}' for model '${model}', got ${got}`,
    );
  }
  if (got > expected) {
    throw invalid(
      `unexpected number of string elements ${got} for inference input '${input}' for model '${model}', expecting ${expected}`,
    );
  }
}
