/**
 * Inputs as the bytes of one protocol: V2 JSON, V2 JSON with binary tensors after it, or a protobuf message.
 *
 * Bodies are made before the load starts and sent again and again, so nothing here has to be fast.
 *
 * Must not know connections.
 */
import { Exit } from '../src/cli/exit.js';
import { numberOf } from '../src/core/half.js';
import { encodeRaw } from '../src/core/raw.js';
import type { Tensor, TypedArray } from '../src/core/tensor.js';
import type { Inputs } from './inputs.js';
import { isGrpc, type Protocol } from './options.js';
import type { Payload } from './target.js';

export interface Addressee {
  readonly model: string;
  readonly version: string | undefined;
}

const payloadBytesMax = 1024 * 2 ** 20;

/** @throws Exit 2 when the protocol cannot carry a datatype, or there would be more bytes than are held */
export function encodeAll(requests: readonly Inputs[], protocol: Protocol, to: Addressee): Payload[] {
  let bytes = 0;
  return requests.map((inputs) => {
    const payload = encode(inputs, protocol, to);
    bytes += payload.body.length;
    if (bytes > payloadBytesMax) throw new Exit(2, `the requests have more than ${payloadBytesMax} bytes in all`);
    return payload;
  });
}

function encode(inputs: Inputs, protocol: Protocol, to: Addressee): Payload {
  if (isGrpc(protocol)) return { body: encodeMessage(inputs, to), headers: {} };
  return protocol === 'http-json' ? encodeJson(inputs) : encodeBinary(inputs);
}

function encodeJson(inputs: Inputs): Payload {
  const parts = inputs.map(({ name, datatype, shape, data }) => {
    const head = JSON.stringify({ name, datatype, shape }).slice(0, -1);
    return `${head},"data":[${textsOf({ name, datatype, shape, data }).join(',')}]}`;
  });
  return { body: Buffer.from(`{"inputs":[${parts.join(',')}]}`), headers: { 'content-type': 'application/json' } };
}

/** Not JSON.stringify of an array: 64-bit integers are bigint. */
function textsOf({ name, datatype, data }: Tensor): string[] {
  switch (datatype) {
    case 'BYTES':
      return (data as readonly string[]).map((text) => JSON.stringify(text));
    case 'BF16':
      throw new Exit(2, `input '${name}' is BF16, which JSON cannot carry: use --protocol http-binary or grpc`);
    case 'FP16':
      return Array.from(data as Uint16Array, (bits) => String(numberOf(bits)));
    case 'BOOL':
      return Array.from(data as Uint8Array, (bit) => String(bit === 1));
    default:
      return Array.from(data as Float32Array, String);
  }
}

function encodeBinary(inputs: Inputs): Payload {
  const raws = inputs.map(encodeRaw);
  const head = Buffer.from(
    JSON.stringify({
      parameters: { binary_data_output: true },
      inputs: inputs.map(({ name, datatype, shape }, at) => ({
        name,
        datatype,
        shape,
        parameters: { binary_data_size: raws[at]!.length },
      })),
    }),
  );
  return {
    body: Buffer.concat([head, ...raws]),
    headers: { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(head.length) },
  };
}

/** ModelInferRequest: model_name 1, model_version 2, inputs 5 { name 1, datatype 2, shape 3 }, raw_input_contents 7. */
function encodeMessage(inputs: Inputs, { model, version }: Addressee): Buffer {
  const fields = [bytesField(1, Buffer.from(model))];
  if (version !== undefined) fields.push(bytesField(2, Buffer.from(version)));
  for (const { name, datatype, shape } of inputs) {
    const tensor = [bytesField(1, Buffer.from(name)), bytesField(2, Buffer.from(datatype))];
    if (shape.length > 0) tensor.push(bytesField(3, Buffer.concat(shape.map(varint))));
    fields.push(bytesField(5, Buffer.concat(tensor)));
  }
  for (const input of inputs) fields.push(bytesField(7, rawOf(input)));
  return Buffer.concat(fields);
}

function rawOf(tensor: Tensor): Buffer {
  const raw = encodeRaw(tensor);
  return Buffer.from((raw as TypedArray).buffer, raw.byteOffset, raw.byteLength);
}

function bytesField(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}
