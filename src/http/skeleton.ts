/**
 * An inference request as its JSON announces it: everything but the elements of its tensors, which stay a span of bytes.
 *
 *   { "id", "parameters", "inputs": [ { "name", "shape", "datatype", "parameters", "data": ‹span› } ], "outputs": [ … ] }
 *
 * Nothing here depends on the model, so that a bad request costs no conversion and the model can still be chosen by what
 * the request says. Unknown members are passed over; a member that V2 defines and that occurs twice is refused.
 *
 * Must not know versions or how elements are converted.
 */
import { GatewayError, invalid } from '../core/errors.js';
import { datatypes, isDataType } from '../core/tensor.js';
import { checkedCount, type TensorHead } from '../core/tensor-head.js';
import type { Span } from './element-cursor.js';
import type { JsonReader } from './json-reader.js';
import { KnownNames } from './known-names.js';
import { noParameters, type RequestParameters, readParameters, unparsable } from './parameters.js';

/** One input before it is compared with the model. */
export interface InputSkeleton extends TensorHead {
  /** Elements that the shape stands for, not above 2^63. */
  readonly count: number;
  /** Where its JSON elements are; undefined for a binary input. */
  readonly span: Span | undefined;
  /** Bytes of its blob; undefined for a JSON input. */
  readonly blobBytes: number | undefined;
}

/** One output that was asked for by name. */
export interface OutputChoice {
  readonly name: string;
  readonly isBinary: boolean;
  /** How many classes to name instead of the values; 0 = give the values. */
  readonly classes: number;
}

export interface RequestSkeleton {
  /** Empty = none. */
  readonly id: string;
  readonly parameters: RequestParameters;
  readonly inputs: readonly InputSkeleton[];
  /** False when the member is missing, which only a model without inputs allows. */
  readonly hasInputs: boolean;
  /** Undefined = all outputs. */
  readonly outputs: readonly OutputChoice[] | undefined;
}

const tensorsMax = 1024;
const rankMax = 32;
const idBytesMax = 1024;

const requestMembers = new KnownNames(['id', 'parameters', 'inputs', 'outputs']);
const inputMembers = new KnownNames(['name', 'shape', 'datatype', 'parameters', 'data']);
const inputParameters = new KnownNames(['binary_data_size', 'shared_memory_region']);
const outputMembers = new KnownNames(['name', 'parameters']);
const outputParameters = new KnownNames(['binary_data', 'classification', 'shared_memory_region']);
const datatypeNames = new KnownNames(datatypes);

/** @throws INVALID_ARGUMENT with the first thing that is wrong, UNIMPLEMENTED for shared memory */
export function readSkeleton(reader: JsonReader): RequestSkeleton {
  let id: string | undefined;
  let parameters: RequestParameters | undefined;
  let inputs: InputSkeleton[] | undefined;
  let outputs: OutputChoice[] | undefined;
  if (reader.peek() === -1) reader.fail('The document is empty.');
  if (!reader.isObject()) {
    reader.skipValue();
    reader.finish();
    throw unparsable('inputs', 'expected the request to be a JSON object');
  }
  reader.open();
  for (let isFirst = true; ; isFirst = false) {
    const member = reader.nextMember(isFirst, requestMembers);
    if (member === undefined) break;
    if (member === 'inputs') inputs = readInputs(reader, once(inputs, member));
    else if (member === 'outputs') outputs = readOutputs(reader, once(outputs, member));
    else if (member === 'id') id = readId(reader, once(id, member));
    else if (member === 'parameters') {
      once(parameters, member);
      parameters = readParameters(reader);
    } else reader.skipValue();
  }
  reader.finish();
  return {
    id: id ?? '',
    parameters: parameters ?? noParameters,
    inputs: inputs ?? [],
    hasInputs: inputs !== undefined,
    outputs: outputs === undefined || outputs.length === 0 ? undefined : outputs,
  };
}

/** Refuses a member that was there before. */
function once(before: unknown, member: string): string {
  if (before !== undefined) throw unparsable(member, 'the member occurs twice');
  return member;
}

function readText(reader: JsonReader, member: string): string {
  if (!reader.isString()) throw unparsable(member, 'expected a string');
  return reader.readString();
}

function readId(reader: JsonReader, member: string): string {
  const id = readText(reader, member);
  if (Buffer.byteLength(id) > idBytesMax) throw unparsable(member, `expected at most ${idBytesMax} bytes`);
  return id;
}

function openArray(reader: JsonReader, member: string): void {
  if (!reader.isArray()) throw unparsable(member, 'expected an array');
  reader.open();
}

function readInputs(reader: JsonReader, member: string): InputSkeleton[] {
  const inputs: InputSkeleton[] = [];
  openArray(reader, member);
  for (let isFirst = true; reader.nextElement(isFirst); isFirst = false) {
    if (inputs.length === tensorsMax) throw unparsable(member, `expected at most ${tensorsMax} elements`);
    inputs.push(readInput(reader));
  }
  return inputs;
}

function readInput(reader: JsonReader): InputSkeleton {
  let name: string | undefined;
  let datatype: string | undefined;
  let shape: (number | bigint)[] | undefined;
  let span: Span | undefined;
  let storage: InputStorage | undefined;
  if (!reader.isObject()) throw unparsable('inputs', 'expected each element to be an object');
  reader.open();
  for (let isFirst = true; ; isFirst = false) {
    const member = reader.nextMember(isFirst, inputMembers);
    if (member === undefined) break;
    if (member === 'name') name = readText(reader, once(name, member));
    else if (member === 'shape') shape = readShape(reader, once(shape, member));
    else if (member === 'datatype') datatype = readDatatype(reader, once(datatype, member));
    else if (member === 'data') span = readSpan(reader, once(span, member));
    else if (member === 'parameters') storage = readStorage(reader, once(storage, member));
    else reader.skipValue();
  }
  if (name === undefined) throw unparsable('name', 'an input has no such member');
  if (shape === undefined) throw unparsable('shape', `input '${name}' has no such member`);
  if (datatype === undefined) throw unparsable('datatype', `input '${name}' has no such member`);
  if (!isDataType(datatype)) throw invalid(`invalid datatype for input ${name}`);
  checkOneForm(span, storage);
  const count = checkedCount(name, shape, datatype);
  return { name, datatype, shape: plainShape(shape), count, span, blobBytes: storage?.blobBytes };
}

/** Dimensions beyond 2^53 remain only beside a 0, where they no longer matter. */
function plainShape(shape: (number | bigint)[]): number[] {
  for (let i = 0; i < shape.length; i++) if (typeof shape[i] === 'bigint') shape[i] = Number(shape[i]);
  return shape as number[];
}

function readShape(reader: JsonReader, member: string): (number | bigint)[] {
  const shape: (number | bigint)[] = [];
  openArray(reader, member);
  for (let isFirst = true; reader.nextElement(isFirst); isFirst = false) {
    if (shape.length === rankMax) throw unparsable(member, `expected at most ${rankMax} dimensions`);
    shape.push(readDimension(reader, member));
  }
  return shape;
}

function readDimension(reader: JsonReader, member: string): number | bigint {
  const small = reader.readSmallInteger();
  if (small !== -1) return small;
  if (!reader.isNumber()) throw unparsable(member, 'expected an array of integers of at least 0');
  const value = reader.readNumber();
  if (!reader.isInteger || value < 0) throw unparsable(member, `expected an integer of at least 0, got ${value}`);
  return Object.is(value, -0) ? 0 : value;
}

function readDatatype(reader: JsonReader, member: string): string {
  if (!reader.isString()) throw unparsable(member, 'expected a string');
  return reader.readKnownString(datatypeNames);
}

function readSpan(reader: JsonReader, member: string): Span {
  if (!reader.isArray()) throw unparsable(member, 'expected an array');
  const start = reader.at;
  reader.skipElements();
  return { start, end: reader.at };
}

interface InputStorage {
  readonly blobBytes: number | undefined;
  readonly isShared: boolean;
}

function readStorage(reader: JsonReader, member: string): InputStorage {
  let blobBytes: number | undefined;
  let isShared = false;
  if (!reader.isObject()) throw unparsable(member, 'expected an object');
  reader.open();
  for (let isFirst = true; ; isFirst = false) {
    const key = reader.nextMember(isFirst, inputParameters);
    if (key === undefined) return { blobBytes, isShared };
    if (key === 'binary_data_size') {
      once(blobBytes, key);
      const value = reader.isNumber() ? reader.readNumber() : undefined;
      if (typeof value !== 'number' || !reader.isInteger || !(value >= 0)) {
        throw unparsable(key, `expected an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
      }
      blobBytes = value + 0;
    } else {
      isShared ||= key === 'shared_memory_region';
      reader.skipValue();
    }
  }
}

function checkOneForm(span: Span | undefined, storage: InputStorage | undefined): void {
  const isBinary = storage?.blobBytes !== undefined;
  const isShared = storage?.isShared === true;
  if (Number(span !== undefined) + Number(isBinary) + Number(isShared) === 1) {
    if (isShared) throw sharedMemoryRefused();
    return;
  }
  const set = [span !== undefined && `'data'`, isBinary && `'binary_data_size'`, isShared && `'shared_memory_region'`];
  const got = set.filter((form) => form !== false).join(' ');
  throw invalid(
    `Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', 'shared_memory_region' in 'parameters'. But ${got === '' ? 'no field is set' : `set ${got}`}`,
  );
}

function sharedMemoryRefused(): GatewayError {
  return new GatewayError('UNIMPLEMENTED', 'shared memory is not supported');
}

function readOutputs(reader: JsonReader, member: string): OutputChoice[] {
  const outputs: OutputChoice[] = [];
  openArray(reader, member);
  for (let isFirst = true; reader.nextElement(isFirst); isFirst = false) {
    if (outputs.length === tensorsMax) throw unparsable(member, `expected at most ${tensorsMax} elements`);
    outputs.push(readOutput(reader));
  }
  return outputs;
}

function readOutput(reader: JsonReader): OutputChoice {
  let name: string | undefined;
  let form: Omit<OutputChoice, 'name'> | undefined;
  if (!reader.isObject()) throw unparsable('outputs', 'expected each element to be an object');
  reader.open();
  for (let isFirst = true; ; isFirst = false) {
    const member = reader.nextMember(isFirst, outputMembers);
    if (member === undefined) break;
    if (member === 'name') name = readText(reader, once(name, member));
    else if (member === 'parameters') form = readForm(reader, once(form, member));
    else reader.skipValue();
  }
  if (name === undefined) throw unparsable('name', 'an output has no such member');
  return { name, isBinary: form?.isBinary ?? false, classes: form?.classes ?? 0 };
}

function readForm(reader: JsonReader, member: string): Omit<OutputChoice, 'name'> {
  let isBinary: boolean | undefined;
  let classes: number | undefined;
  if (!reader.isObject()) throw unparsable(member, 'expected an object');
  reader.open();
  for (let isFirst = true; ; isFirst = false) {
    const key = reader.nextMember(isFirst, outputParameters);
    if (key === undefined) return { isBinary: isBinary ?? false, classes: classes ?? 0 };
    if (key === 'binary_data') isBinary = readFlag(reader, once(isBinary, key));
    else if (key === 'classification') classes = readClasses(reader, once(classes, key));
    else if (key === 'shared_memory_region') throw sharedMemoryRefused();
    else reader.skipValue();
  }
}

function readFlag(reader: JsonReader, key: string): boolean {
  const byte = reader.peek();
  const value = byte === 0x74 || byte === 0x66 ? reader.readLiteral() : null;
  if (value === null) throw unparsable(key, 'expected a boolean');
  return value;
}

function readClasses(reader: JsonReader, key: string): number {
  const value = reader.isNumber() ? reader.readNumber() : 0;
  if (!reader.isInteger || value < 1) throw unparsable(key, 'expected an integer of at least 1');
  return Number.isSafeInteger(Number(value)) ? Number(value) : Number.MAX_SAFE_INTEGER;
}
