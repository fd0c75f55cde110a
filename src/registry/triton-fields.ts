/**
 * The fields of a model configuration that we know, as a table, and the one function that reads a tree of fields by it.
 *
 * config.pbtxt, config.json and config.yaml all become the same tree first, so they mean the same. They differ in one thing:
 * what Triton knows and we do not is a warning in its own format, while an unknown key in ours is a slip.
 *
 * Must not know files or what a configuration is good for.
 */
import { GatewayError } from '../core/errors.js';
import { hintOf } from '../core/nearest.js';
import type { TextField, TextMessage, TextScalar } from './text-proto.js';

type FieldType =
  | 'text'
  | 'integer'
  | 'boolean'
  | { readonly names: readonly string[] }
  | { readonly fields: Fields }
  /** A map by text; in pbtxt `{ key: … value: … }`, in JSON an object. */
  | { readonly map: FieldType }
  | { readonly list: FieldType };

export type Fields = Readonly<Record<string, FieldType>>;

const warningsMax = 100;

const shape: Fields = { shape: { list: 'integer' } };
const dataTypes = [
  'TYPE_INVALID',
  'TYPE_BOOL',
  'TYPE_UINT8',
  'TYPE_UINT16',
  'TYPE_UINT32',
  'TYPE_UINT64',
  'TYPE_INT8',
  'TYPE_INT16',
  'TYPE_INT32',
  'TYPE_INT64',
  'TYPE_FP16',
  'TYPE_FP32',
  'TYPE_FP64',
  'TYPE_STRING',
  'TYPE_BF16',
];
const dataType: FieldType = { names: dataTypes };
const queuePolicy: Fields = {
  timeout_action: { names: ['REJECT', 'DELAY'] },
  default_timeout_microseconds: 'integer',
  allow_timeout_override: 'boolean',
  max_queue_size: 'integer',
};

/** ModelConfig, the part that is read. */
export const modelFields: Fields = {
  name: 'text',
  platform: 'text',
  backend: 'text',
  max_batch_size: 'integer',
  default_model_filename: 'text',
  input: {
    list: {
      fields: {
        name: 'text',
        data_type: dataType,
        dims: { list: 'integer' },
        format: { names: ['FORMAT_NONE', 'FORMAT_NHWC', 'FORMAT_NCHW'] },
        reshape: { fields: shape },
        is_shape_tensor: 'boolean',
        allow_ragged_batch: 'boolean',
        optional: 'boolean',
      },
    },
  },
  output: {
    list: {
      fields: {
        name: 'text',
        data_type: dataType,
        dims: { list: 'integer' },
        label_filename: 'text',
        reshape: { fields: shape },
        is_shape_tensor: 'boolean',
      },
    },
  },
  dynamic_batching: {
    fields: {
      preferred_batch_size: { list: 'integer' },
      max_queue_delay_microseconds: 'integer',
      preserve_ordering: 'boolean',
      priority_levels: 'integer',
      default_priority_level: 'integer',
      default_queue_policy: { fields: queuePolicy },
      priority_queue_policy: { map: { fields: queuePolicy } },
    },
  },
  instance_group: {
    list: {
      fields: {
        name: 'text',
        kind: { names: ['KIND_AUTO', 'KIND_GPU', 'KIND_CPU', 'KIND_MODEL'] },
        count: 'integer',
        gpus: { list: 'integer' },
      },
    },
  },
  version_policy: {
    fields: {
      latest: { fields: { num_versions: 'integer' } },
      all: { fields: {} },
      specific: { fields: { versions: { list: 'integer' } } },
    },
  },
  model_warmup: {
    list: {
      fields: {
        name: 'text',
        batch_size: 'integer',
        count: 'integer',
        inputs: {
          map: {
            fields: {
              data_type: dataType,
              dims: { list: 'integer' },
              zero_data: 'boolean',
              random_data: 'boolean',
              input_data_file: 'text',
            },
          },
        },
      },
    },
  },
  optimization: { fields: { graph: { fields: { level: 'integer' } } } },
  parameters: { map: { fields: { string_value: 'text' } } },
  response_cache: { fields: { enable: 'boolean' } },
  model_transaction_policy: { fields: { decoupled: 'boolean' } },
};

/** How a tree is read: what to do with an unknown field, and how a place is named. */
export interface Reading {
  readonly isOurs: boolean;
  readonly warnings: string[];
  placeOf(at: number): string;
}

/** @returns the message as an object with the names of the table; absent stays absent */
export function readFields(
  message: TextMessage,
  fields: Fields,
  path: string,
  reading: Reading,
): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const field of message.fields) {
    const type = Object.hasOwn(fields, field.name) ? fields[field.name]! : undefined;
    const place = path === '' ? field.name : `${path}.${field.name}`;
    if (type === undefined) unknown(field, place, fields, reading);
    else if (typeof type === 'object' && 'list' in type) {
      result[field.name] ??= [];
      const list = result[field.name] as unknown[];
      list.push(readValue(field, type.list, `${place}[${list.length}]`, reading));
    } else if (typeof type === 'object' && 'map' in type) {
      result[field.name] ??= Object.create(null);
      readEntries(field, type.map, place, reading, result[field.name] as Record<string, unknown>);
    } else {
      if (reading.isOurs && Object.hasOwn(result, field.name))
        throw wrong(field, place, 'one value', 'a list', reading);
      result[field.name] = readValue(field, type, place, reading);
    }
  }
  return result;
}

function unknown(field: TextField, place: string, fields: Fields, reading: Reading): void {
  // A place is found by counting lines, so a file of nothing but unknown fields must not ask for each.
  if (!reading.isOurs && reading.warnings.length >= warningsMax) return;
  const text = `unknown field '${place}'${reading.placeOf(field.at)}`;
  if (!reading.isOurs) reading.warnings.push(`${text} is not used`);
  else throw new GatewayError('FAILED_PRECONDITION', `${text}${hintOf(field.name, Object.keys(fields))}`);
}

function readEntries(
  field: TextField,
  type: FieldType,
  place: string,
  reading: Reading,
  map: Record<string, unknown>,
): void {
  if (field.value.kind === 'scalar') throw wrong(field, place, 'a map', `'${field.value.text}'`, reading);
  if (reading.isOurs) {
    for (const entry of field.value.fields) map[entry.name] = readValue(entry, type, `${place}.${entry.name}`, reading);
    return;
  }
  const key = field.value.fields.findLast((part) => part.name === 'key');
  const value = field.value.fields.findLast((part) => part.name === 'value');
  if (key?.value.kind !== 'scalar' || value === undefined)
    throw wrong(field, place, 'key and value', 'something else', reading);
  map[key.value.text] = readValue(value, type, `${place}['${key.value.text}']`, reading);
}

function readValue(field: TextField, type: FieldType, place: string, reading: Reading): unknown {
  const { value } = field;
  if (typeof type === 'object') {
    if ('names' in type) return readName(field, type.names, place, reading);
    if (!('fields' in type)) throw new GatewayError('INTERNAL', `no reader for ${place}`);
    if (value.kind === 'message') return readFields(value, type.fields, place, reading);
    // Shorthand of our own format: `parameters: {intra_op_thread_count: 4}`.
    if (reading.isOurs && Object.hasOwn(type.fields, 'string_value')) return { string_value: value.text };
    throw wrong(field, place, 'a message', `'${value.text}'`, reading);
  }
  if (value.kind === 'message') throw wrong(field, place, type, 'a message', reading);
  if (type === 'integer') return readInteger(field, value, place, reading);
  if (type === 'boolean') return readBoolean(field, value, place, reading);
  if (!value.isQuoted && !reading.isOurs) throw wrong(field, place, 'text in quotes', `'${value.text}'`, reading);
  return value.text;
}

function readInteger(field: TextField, value: TextScalar, place: string, reading: Reading): number {
  const isWritten = /^-?(?:[0-9]+|0[xX][0-9A-Fa-f]+)$/.test(value.text) && (!value.isQuoted || reading.isOurs);
  const negative = value.text.startsWith('-');
  const number = isWritten ? Number(negative ? value.text.slice(1) : value.text) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw wrong(field, place, 'an integer', `'${value.text}'`, reading);
  return negative ? -number : number;
}

function readBoolean(field: TextField, value: TextScalar, place: string, reading: Reading): boolean {
  if (!value.isQuoted) {
    if (['true', 'True', 't', '1'].includes(value.text)) return true;
    if (['false', 'False', 'f', '0'].includes(value.text)) return false;
  }
  throw wrong(field, place, 'true or false', `'${value.text}'`, reading);
}

function readName(field: TextField, names: readonly string[], place: string, reading: Reading): string {
  const { value } = field;
  if (value.kind === 'scalar') {
    if (names.includes(value.text)) return value.text;
    const byNumber = /^[0-9]{1,3}$/.test(value.text) ? names[Number(value.text)] : undefined;
    if (byNumber !== undefined) return byNumber;
    throw wrong(field, place, `one of ${names.join(', ')}`, `'${value.text}'${hintOf(value.text, names)}`, reading);
  }
  throw wrong(field, place, 'a name', 'a message', reading);
}

function wrong(field: TextField, place: string, expected: string, got: string, reading: Reading): GatewayError {
  return new GatewayError(
    'FAILED_PRECONDITION',
    `'${place}'${reading.placeOf(field.at)}: expected ${expected}, got ${got}`,
  );
}
