/**
 * One request in each form it can travel in: V2 JSON, V2 JSON with binary tensors, a ModelInferRequest of gRPC.
 *
 * Must not know connections.
 */
import type { Model } from './models.js';

export interface HttpBody {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** Six digits, as they would be typed; a float's exact decimal form has seventeen. */
function numbers(row: Float32Array): string {
  return Array.from(row, (value) => String(Number(value.toFixed(6)))).join(',');
}

function pathOf({ name }: Model): string {
  return `/v2/models/${name}/infer`;
}

export function jsonBody(model: Model): HttpBody {
  const head = `{"inputs":[{"name":"${model.input}","shape":[${model.shape}],"datatype":"FP32","data":[`;
  const bytes = Buffer.from(`${head}${numbers(model.row)}]}]}`);
  return { path: pathOf(model), headers: { 'content-type': 'application/json' }, bytes };
}

export function binaryBody(model: Model): HttpBody {
  const raw = bytesOf(model);
  const input = `{"name":"${model.input}","shape":[${model.shape}],"datatype":"FP32","parameters":{"binary_data_size":${raw.length}}}`;
  const head = Buffer.from(`{"inputs":[${input}],"parameters":{"binary_data_output":true}}`);
  return {
    path: pathOf(model),
    headers: { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(head.length) },
    bytes: Buffer.concat([head, raw]),
  };
}

function bytesOf({ row }: Model): Buffer {
  return Buffer.from(row.buffer, row.byteOffset, row.byteLength);
}

/** ModelInferRequest { model_name = 1, inputs = 5 { name = 1, datatype = 2, shape = 3 }, raw_input_contents = 7 }. */
export function grpcMessage(model: Model): Buffer {
  const shape = Buffer.concat(model.shape.map(varint));
  const input = Buffer.concat([text(1, model.input), text(2, 'FP32'), field(3, shape)]);
  return Buffer.concat([text(1, model.name), field(5, input), field(7, bytesOf(model))]);
}

function text(number: number, value: string): Buffer {
  return field(number, Buffer.from(value));
}

function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}
