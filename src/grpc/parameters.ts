/**
 * Parameters of an inference request: the map entries on the wire, and what the known keys mean.
 *
 * Keys are data: they live in a Map, so `__proto__` is a key like any other. A known key of the wrong type is refused, an
 * unknown one is kept for routes and logs, except under the prefixes that are reserved.
 *
 * Must not know tensors or models.
 */
import { invalid } from '../core/errors.js';
import type { Parameter } from '../core/inference.js';
import { malformed, type WireReader } from './wire.js';

const keyBytesMax = 256;
const textBytesMax = 4096;

/** Requests carry at most this many parameters; maps of inputs and outputs may have `mapEntriesMax` entries. */
export const parametersMax = 256;
export const mapEntriesMax = 1000;

export const noParameters: ReadonlyMap<string, Parameter> = new Map();

/** One entry of a `map<string, InferParameter>`: the reader stands before its length. Later entries of a key win. */
export function readParameter(reader: WireReader, into: Map<string, Parameter>): void {
  const outer = reader.enter();
  let key = '';
  let value: Parameter | undefined;
  for (let tag = reader.field(); tag !== 0; tag = reader.field()) {
    if (tag === 10) key = reader.text(keyBytesMax, 'parameter key');
    else if (tag === 18) value = readValue(reader);
    else reader.skipUnknown(tag, 2, 'a parameter');
  }
  reader.leave(outer);
  if (value === undefined) throw invalid(wrongType(key));
  into.set(key, value);
}

/** The bytes of the `InferParameter` message; undefined when no choice is set. */
function readValue(reader: WireReader): Parameter | undefined {
  const outer = reader.enter();
  let value: Parameter | undefined;
  for (let tag = reader.field(); tag !== 0; tag = reader.field()) {
    if (tag === 8) value = reader.bool();
    else if (tag === 16) value = reader.int64();
    else if (tag === 26) value = reader.text(textBytesMax, 'string parameter');
    else if (tag === 33) value = reader.double();
    else if (tag === 40) value = reader.uint64();
    else reader.skipUnknown(tag, 5, 'InferParameter');
  }
  reader.leave(outer);
  return value;
}

/** Counts the entries of the maps of one message. */
export function checkEntries(entries: number, message: string): void {
  if (entries > mapEntriesMax) throw malformed(`more than ${mapEntriesMax} parameters in ${message}`);
}

/** What the known parameters ask for. */
export interface Wishes {
  readonly priority: number;
  /** Milliseconds; 0 = the model's own. */
  readonly timeoutMs: number;
  readonly label: string | undefined;
}

export const noWishes: Wishes = { priority: 0, timeoutMs: 0, label: undefined };

const sluiceKeys = ['sluice_label', 'sluice_variant'];

/** @throws INVALID_ARGUMENT for a known key of the wrong type, or an unknown one under a reserved prefix */
export function wishesOf(parameters: ReadonlyMap<string, Parameter>): Wishes {
  if (parameters.size === 0) return noWishes;
  for (const [key, value] of parameters) checkKey(key, value);
  return {
    priority: Number(parameters.get('priority') ?? 0),
    timeoutMs: Number(parameters.get('timeout') ?? 0) / 1000,
    label: parameters.get('sluice_label') as string | undefined,
  };
}

function checkKey(key: string, value: Parameter): void {
  const type = typeof value;
  if (key === 'priority' || key === 'timeout') {
    if (
      (type !== 'number' && type !== 'bigint') ||
      (value as number) < 0 ||
      (type === 'number' && !Number.isInteger(value))
    ) {
      throw invalid(`Unable to parse '${key}': expected a non-negative integer, got ${value}`);
    }
  } else if (key === 'sequence_id') {
    if (type === 'boolean' || (type === 'number' && !Number.isInteger(value))) {
      throw invalid(`Unable to parse 'sequence_id': expected an integer or a string, got ${value}`);
    }
  } else if (key === 'sequence_start' || key === 'sequence_end' || key === 'binary_data_output') {
    if (type !== 'boolean') throw invalid(`Unable to parse '${key}': expected a boolean, got ${value}`);
  } else if (key.startsWith('triton_')) {
    if (key !== 'triton_enable_empty_final_response' || type !== 'boolean') {
      throw invalid(
        `parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.`,
      );
    }
  } else if (key.startsWith('sluice_')) {
    if (!sluiceKeys.includes(key)) {
      throw invalid(`unknown parameter '${key}', did you mean '${nearest(key)}'?`);
    }
    if (type !== 'string') throw invalid(`Unable to parse '${key}': expected a string, got ${value}`);
  }
}

/** The known key that shares the longest beginning with `key`. */
function nearest(key: string): string {
  let best = sluiceKeys[0]!;
  let longest = -1;
  for (const known of sluiceKeys) {
    let same = 0;
    while (same < known.length && known[same] === key[same]) same++;
    if (same > longest) [best, longest] = [known, same];
  }
  return best;
}

function wrongType(key: string): string {
  return `parameter '${key}' has invalid type. It should be either 'int', 'bool', or 'string'.`;
}
