/**
 * One request, four forms: HTTP with JSON or binary tensors, gRPC with raw or typed contents. Whatever the form, the outcome
 * has one shape, so that a case is written once.
 *
 * Must not know the cases.
 */
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { DataType } from '../../src/core/tensor.js';
import { exchange, type RawReply, requestBytes } from '../raw-http.js';
import { bytesOfTokens, type Element, elementsOfBytes, tokenOf, typedContents } from './elements.js';

export interface SentTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly (number | bigint)[];
  readonly bytes: Buffer;
}

export interface SentRequest {
  readonly model: string;
  readonly version?: string;
  readonly id?: string;
  readonly inputs: readonly SentTensor[];
  readonly outputs?: readonly { readonly name: string; readonly classes?: number }[];
  readonly parameters?: Readonly<Record<string, Element>>;
  /** HTTP headers, gRPC metadata. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answered {
  readonly code: string;
  readonly text: string;
  readonly id: string;
  readonly model: string;
  readonly version: string;
  readonly outputs: readonly { name: string; datatype: string; shape: readonly number[]; bytes: Buffer }[];
  readonly headers: ReadonlyMap<string, string>;
}

export const formNames = ['json', 'binary', 'raw', 'typed'] as const;
export type FormName = (typeof formNames)[number];

export interface Door {
  readonly forms: readonly FormName[];
  infer(form: FormName, request: SentRequest): Promise<Answered>;
  close(): void;
}

/** HTTP statuses of the closed codes (protocol §9.2). */
const codeOfStatus: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'INVALID_ARGUMENT',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'FAILED_PRECONDITION',
  413: 'RESOURCE_EXHAUSTED',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  501: 'UNIMPLEMENTED',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

export function httpDoor(origin: string): Door {
  const port = Number(new URL(origin).port);
  return {
    forms: ['json', 'binary'],
    infer: async (form, request) => {
      const version = request.version === undefined ? '' : `/versions/${request.version}`;
      const { body, headerLength } = httpBody(form, request);
      const headers = {
        ...request.headers,
        ...(headerLength === undefined ? {} : { 'Inference-Header-Content-Length': `${headerLength}` }),
      };
      const bytes = requestBytes({ path: `/v2/models/${request.model}${version}/infer`, headers, body });
      return httpAnswer(await exchange({ port, packets: [bytes], waitMs: 30_000 }));
    },
    close: () => {},
  };
}

function httpBody(
  form: FormName,
  { id, inputs, outputs, parameters }: SentRequest,
): { body: Buffer; headerLength?: number } {
  const isBinary = form === 'binary';
  const members = [
    ...(id === undefined ? [] : [`"id":${JSON.stringify(id)}`]),
    ...parametersMember(outputs === undefined && isBinary ? { ...parameters, binary_data_output: true } : parameters),
    `"inputs":[${inputs.map((input) => httpInput(input, isBinary)).join(',')}]`,
    ...(outputs === undefined
      ? []
      : [`"outputs":[${outputs.map((output) => httpOutput(output, isBinary)).join(',')}]`]),
  ];
  const json = Buffer.from(`{${members.join(',')}}`);
  if (!isBinary) return { body: json };
  return { body: Buffer.concat([json, ...inputs.map(({ bytes }) => bytes)]), headerLength: json.length };
}

function parametersMember(parameters: SentRequest['parameters']): string[] {
  if (parameters === undefined) return [];
  const members = Object.entries(parameters).map(([key, value]) => `${JSON.stringify(key)}:${tokenOf(value)}`);
  return [`"parameters":{${members.join(',')}}`];
}

function httpInput({ name, datatype, shape, bytes }: SentTensor, isBinary: boolean): string {
  const head = `"name":${JSON.stringify(name)},"shape":[${shape.join(',')}],"datatype":"${datatype}"`;
  if (isBinary) return `{${head},"parameters":{"binary_data_size":${bytes.length}}}`;
  return `{${head},"data":[${elementsOfBytes(datatype as DataType, bytes)
    .map(tokenOf)
    .join(',')}]}`;
}

function httpOutput({ name, classes }: { name: string; classes?: number }, isBinary: boolean): string {
  return JSON.stringify({
    name,
    parameters: { binary_data: isBinary, ...(classes === undefined ? {} : { classification: classes }) },
  });
}

export function httpAnswer({ status, headers, body }: RawReply): Answered {
  const code = codeOfStatus[status] ?? `HTTP ${status}`;
  const length = Number(headers.get('inference-header-content-length') ?? body.length);
  const json = parsed(body.toString('utf8', 0, length));
  if (code !== 'OK') return { code, text: String(json?.error), id: '', model: '', version: '', outputs: [], headers };
  let at = length;
  const outputs = (json.outputs as Json[]).map(({ name, datatype, shape, parameters, data }) => {
    const size = Number(tokenText(parameters?.binary_data_size ?? '#0'));
    const blob = body.subarray(at, at + size);
    at += size;
    const bytes =
      data === undefined ? blob : bytesOfTokens(datatype, datatype === 'BYTES' ? data : data.map(tokenText));
    return { name, datatype, shape: shape.map((dimension: string) => Number(tokenText(dimension))), bytes };
  });
  return { code, text: '', id: json.id ?? '', model: json.model_name, version: json.model_version, outputs, headers };
}

// biome-ignore lint/suspicious/noExplicitAny: JSON and messages are typed by the protocol, not by TypeScript.
export type Json = any;

/** JSON whose numbers stay the text they were, marked with `#`: JSON.parse would round 64-bit integers, and refuse NaN. */
function parsed(text: string): Json {
  if (text === '') return undefined;
  return JSON.parse(
    text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN|-?[0-9][0-9.eE+-]*/g, (token) =>
      token.startsWith('"') ? token : `"#${token}"`,
    ),
  );
}

function tokenText(value: unknown): string {
  if (typeof value === 'boolean') return String(value);
  return /^#(NaN|-?Infinity|-?[0-9])/.test(value as string) ? (value as string).slice(1) : (value as string);
}

const loaded = grpc.loadPackageDefinition(
  loadSync('inference.proto', {
    includeDirs: [fileURLToPath(new URL('../../../proto/', import.meta.url))],
    keepCase: true,
    longs: String,
    enums: String,
    oneofs: true,
    defaults: true,
  }),
);

export interface GrpcClient extends Door {
  /** Any unary method; rejects with code and details. */
  call(method: string, message: object, metadata?: Readonly<Record<string, string>>): Promise<Json>;
  /** A unary method whose request is given as bytes. */
  bytes(method: string, message: Buffer): Promise<Buffer>;
  /** The stub itself, for what the methods above do not do. */
  readonly stub: Json;
}

export function grpcDoor(address: string): GrpcClient {
  const target = address.replace(/^.*:\/\//, '');
  const stub = new (loaded as Json).inference.GRPCInferenceService(target, grpc.credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': -1,
  });
  const call = (method: string, message: object, metadata: Readonly<Record<string, string>> = {}): Promise<Json> =>
    new Promise((resolve, reject) => {
      stub[method](message, metadataOf(metadata), (error: Error | null, reply: Json) =>
        error === null ? resolve(reply) : reject(error),
      );
    });
  return {
    stub,
    call,
    bytes: (method, message) =>
      new Promise((resolve, reject) => {
        const same = (bytes: Buffer): Buffer => bytes;
        const path = `/inference.GRPCInferenceService/${method}`;
        stub.makeUnaryRequest(path, same, same, message, (error: Error | null, reply: Buffer) =>
          error === null ? resolve(reply) : reject(error),
        );
      }),
    forms: ['raw', 'typed'],
    infer: (form, request) =>
      call('ModelInfer', grpcMessage(form, request), request.headers).then(
        (reply) => ({ code: 'OK', text: '', ...grpcReply(reply), headers: new Map() }),
        ({ code, details, metadata }) => {
          const headers = new Map(
            Object.entries((metadata as grpc.Metadata).getMap()).map(([key, value]) => [key, String(value)]),
          );
          return {
            code: grpc.status[code] as string,
            text: details,
            id: '',
            model: '',
            version: '',
            outputs: [],
            headers,
          };
        },
      ),
    close: () => stub.close(),
  };
}

export function metadataOf(headers: Readonly<Record<string, string>>): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(headers)) metadata.set(key.toLowerCase(), value);
  return metadata;
}

export function grpcMessage(form: FormName, { model, version, id, inputs, outputs, parameters }: SentRequest): Json {
  const message: Json = {
    model_name: model,
    model_version: version ?? '',
    id: id ?? '',
    parameters: parameters === undefined ? {} : choices(parameters),
    inputs: inputs.map(({ name, datatype, shape, bytes }) => ({
      name,
      datatype,
      shape: shape.map(String),
      ...(form === 'typed' ? { contents: typedContents(datatype as DataType, bytes) } : {}),
    })),
    outputs: (outputs ?? []).map(({ name, classes }) => ({
      name,
      parameters: classes === undefined ? {} : { classification: { int64_param: classes } },
    })),
  };
  if (form === 'raw') message.raw_input_contents = inputs.map(({ bytes }) => bytes);
  return message;
}

function choices(parameters: Readonly<Record<string, Element>>): object {
  return Object.fromEntries(
    Object.entries(parameters).map(([key, value]) => {
      if (typeof value === 'boolean') return [key, { bool_param: value }];
      if (typeof value === 'string') return [key, { string_param: value }];
      return [key, Number.isInteger(value) ? { int64_param: String(value) } : { double_param: value }];
    }),
  );
}

function grpcReply(reply: Json): Pick<Answered, 'id' | 'model' | 'version' | 'outputs'> {
  const outputs = reply.outputs.map(({ name, datatype, shape, contents }: Json, index: number) => {
    if (contents !== null) throw new Error(`output '${name}' has contents`);
    return { name, datatype, shape: shape.map(Number), bytes: reply.raw_output_contents[index] };
  });
  return { id: reply.id, model: reply.model_name, version: reply.model_version, outputs };
}
