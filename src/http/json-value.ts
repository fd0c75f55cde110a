/**
 * Small JSON bodies as plain JavaScript, by the reader that knows limits and keeps 64-bit integers.
 *
 * Objects have no prototype; a member that occurs twice is refused.
 *
 * Must not know what the values mean.
 */
import { invalid } from '../core/errors.js';
import { JsonReader } from './json-reader.js';

type JsonValue = string | number | bigint | boolean | null | readonly JsonValue[] | JsonObject;
interface JsonObject {
  readonly [member: string]: JsonValue;
}

/** The whole of `bytes` as one value. @throws INVALID_ARGUMENT with the place that is wrong */
export function jsonValueOf(bytes: Buffer, depthMax: number): unknown {
  const reader = new JsonReader(bytes, bytes.length, depthMax);
  const value = readValue(reader);
  reader.finish();
  return value;
}

function readValue(reader: JsonReader): JsonValue {
  if (reader.peek() === -1) reader.fail('The document is empty.');
  if (reader.isString()) return reader.readString();
  if (reader.isObject()) return readObject(reader);
  if (reader.isArray()) return readArray(reader);
  return reader.isNumber() ? reader.readNumber() : reader.readLiteral();
}

function readArray(reader: JsonReader): JsonValue[] {
  const elements: JsonValue[] = [];
  reader.open();
  for (let isFirst = true; reader.nextElement(isFirst); isFirst = false) elements.push(readValue(reader));
  return elements;
}

function readObject(reader: JsonReader): JsonObject {
  const members: Record<string, JsonValue> = Object.create(null);
  reader.open();
  for (let isFirst = true; ; isFirst = false) {
    const name = reader.nextMember(isFirst, undefined);
    if (name === undefined) return members;
    if (name in members) throw invalid(`Unable to parse '${name}': the member occurs twice`);
    members[name] = readValue(reader);
  }
}
