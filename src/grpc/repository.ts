/**
 * RepositoryModelLoad and RepositoryModelUnload requests: the two messages beside inference that may be large, because a
 * load may bring a model's files.
 *
 * Must not know what the parameters mean.
 */
import type { LoadParameter } from '../core/relay.js';
import type { RepositoryMessage } from './calls.js';
import { checkEntries } from './parameters.js';
import { malformed, WireReader } from './wire.js';

const nameBytesMax = 4096;
const keyBytesMax = 4096;

/** @throws INVALID_ARGUMENT `failed to parse request: …` */
export function decodeRepositoryMessage(bytes: Buffer): RepositoryMessage {
  const reader = new WireReader(bytes);
  let repositoryName = '';
  let modelName = '';
  let entries = 0;
  const parameters: [string, LoadParameter][] = [];
  for (let tag = reader.field(); tag !== 0; tag = reader.field()) {
    if (tag === 10) repositoryName = reader.text(nameBytesMax, 'field 1');
    else if (tag === 18) modelName = reader.text(nameBytesMax, 'model_name');
    else if (tag === 26) {
      checkEntries(++entries, 'the request');
      parameters.push(readEntry(reader));
    } else reader.skipUnknown(tag, 3, 'the request');
  }
  // fromEntries defines its properties, so that `__proto__` is a key like any other.
  return { repository_name: repositoryName, model_name: modelName, parameters: Object.fromEntries(parameters) };
}

function readEntry(reader: WireReader): [string, LoadParameter] {
  const outer = reader.enter();
  let key = '';
  let value: LoadParameter | undefined;
  for (let tag = reader.field(); tag !== 0; tag = reader.field()) {
    if (tag === 10) key = reader.text(keyBytesMax, 'parameter key');
    else if (tag === 18) value = readValue(reader);
    else reader.skipUnknown(tag, 2, 'a parameter');
  }
  reader.leave(outer);
  if (value === undefined) throw malformed(`parameter '${key}' has no value`);
  return [key, value];
}

function readValue(reader: WireReader): LoadParameter | undefined {
  const outer = reader.enter();
  let value: LoadParameter | undefined;
  for (let tag = reader.field(); tag !== 0; tag = reader.field()) {
    if (tag === 8) value = reader.bool();
    else if (tag === 16) value = Number(reader.int64());
    else if (tag === 26) value = reader.text(reader.bytes.length, 'string parameter');
    else if (tag === 34) value = reader.view();
    else reader.skipUnknown(tag, 4, 'ModelRepositoryParameter');
  }
  reader.leave(outer);
  return value;
}
