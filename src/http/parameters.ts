/**
 * The parameters of an inference request: which keys V2 knows, of which types, and what they mean (protocol §4.5).
 *
 * Must not know tensors or sockets.
 */
import { type GatewayError, invalid } from '../core/errors.js';
import type { Parameter } from '../core/inference.js';
import type { JsonReader } from './json-reader.js';
import { KnownNames } from './known-names.js';

export interface RequestParameters {
  /** Keys that V2 gives no meaning, for routes and logs. */
  readonly others: ReadonlyMap<string, Parameter>;
  readonly priority: number;
  /** Queue timeout asked for; 0 = none. */
  readonly timeoutMs: number;
  /** All outputs in binary, when the request names none. */
  readonly isBinary: boolean;
  /** Version label; empty = none. */
  readonly label: string;
  /** Variant asked for; empty = none. */
  readonly variant: string;
}

export const noParameters: RequestParameters = {
  others: new Map(),
  priority: 0,
  timeoutMs: 0,
  isBinary: false,
  label: '',
  variant: '',
};

const parametersMax = 256;
const keyBytesMax = 256;
const textBytesMax = 4096;

const known = new KnownNames([
  'binary_data_output',
  'headers',
  'priority',
  'sequence_end',
  'sequence_id',
  'sequence_start',
  'sluice_label',
  'sluice_variant',
  'timeout',
]);

/** The error of a member that is missing or of a wrong type. */
export function unparsable(member: string, reason: string): GatewayError {
  return invalid(`Unable to parse '${member}': ${reason}`);
}

/** Reads the `parameters` object of a request. */
export function readParameters(reader: JsonReader): RequestParameters {
  if (!reader.isObject()) throw unparsable('parameters', 'expected an object');
  const values = new Map<string, Parameter>();
  reader.open();
  for (let isFirst = true; ; isFirst = false) {
    const key = reader.nextMember(isFirst, known);
    if (key === undefined) return meaningOf(values);
    if (values.has(key)) throw unparsable(key, 'the parameter occurs twice');
    if (values.size === parametersMax) throw invalid(`a request may have at most ${parametersMax} parameters`);
    if (key === 'headers') reader.skipValue();
    else values.set(key, readParameter(reader, key));
  }
}

function readParameter(reader: JsonReader, key: string): Parameter {
  if (Buffer.byteLength(key) > keyBytesMax) throw invalid(`a parameter key may have at most ${keyBytesMax} bytes`);
  if (reader.isString()) {
    const text = reader.readString();
    if (Buffer.byteLength(text) > textBytesMax) {
      throw invalid(`parameter '${key}' may have at most ${textBytesMax} bytes`);
    }
    return text;
  }
  if (reader.isNumber()) return reader.readNumber();
  const isScalar = !reader.isObject() && !reader.isArray();
  const value = isScalar ? reader.readLiteral() : null;
  if (value === null) {
    throw invalid(`parameter '${key}' has invalid type. It should be either 'int', 'bool', or 'string'.`);
  }
  return value;
}

function meaningOf(values: Map<string, Parameter>): RequestParameters {
  const others = new Map<string, Parameter>();
  for (const [key, value] of values) {
    checkReserved(key, value);
    if (known.find(Buffer.from(key), 0, Buffer.byteLength(key)) === undefined) others.set(key, value);
  }
  const sequence = values.get('sequence_id') ?? 0;
  if (typeof sequence !== 'string') wholeOf('sequence_id', sequence);
  flagOf(values, 'sequence_start');
  flagOf(values, 'sequence_end');
  return {
    others,
    priority: wholeOf('priority', values.get('priority') ?? 0),
    timeoutMs: wholeOf('timeout', values.get('timeout') ?? 0) / 1000,
    isBinary: flagOf(values, 'binary_data_output'),
    label: textOf(values, 'sluice_label'),
    variant: textOf(values, 'sluice_variant'),
  };
}

function checkReserved(key: string, value: Parameter): void {
  if (key.startsWith('triton_')) {
    if (key === 'triton_enable_empty_final_response' && typeof value === 'boolean') return;
    throw invalid(`parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.`);
  }
  if (key.startsWith('sluice_') && key !== 'sluice_label' && key !== 'sluice_variant') {
    const nearest = /^sluice_v/.test(key) ? 'sluice_variant' : 'sluice_label';
    throw invalid(`unknown parameter '${key}'; the nearest known one is '${nearest}'`);
  }
}

function wholeOf(key: string, value: Parameter): number {
  if (typeof value === 'bigint' && value >= 0n) return Number(value);
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
  throw unparsable(key, 'expected an integer of at least 0');
}

function flagOf(values: ReadonlyMap<string, Parameter>, key: string): boolean {
  const value = values.get(key) ?? false;
  if (typeof value !== 'boolean') throw unparsable(key, 'expected a boolean');
  return value;
}

function textOf(values: ReadonlyMap<string, Parameter>, key: string): string {
  const value = values.get(key) ?? '';
  if (typeof value !== 'string') throw unparsable(key, 'expected a string');
  return value;
}
