/**
 * One inference over each protocol: HTTP with JSON, HTTP with binary tensors, gRPC with raw contents.
 *
 * An answer that is not one of the model is a value, too: the test asks for refusals on purpose.
 *
 * Must not know cases.
 */
import { Agent, type IncomingMessage, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { Tensor } from '../../../src/core/tensor.js';
import { bytesOfTensor, tensorOfBytes } from './bytes.js';
import { elementsFromJson, elementsToJson, numberOf, parseExactly } from './json-numbers.js';

export type Answer =
  | { readonly isOk: true; readonly outputs: readonly Tensor[] }
  /** `code` is an HTTP status or a gRPC code. */
  | { readonly isOk: false; readonly code: number; readonly message: string };

export type Ask = (model: string, inputs: readonly Tensor[]) => Promise<Answer>;

export const protocols = ['HTTP JSON', 'HTTP binary', 'gRPC'] as const;
export type ProtocolName = (typeof protocols)[number];

// biome-ignore lint/suspicious/noExplicitAny: messages are typed by the proto file, not by TypeScript.
type Message = any;

const loaded: Message = grpc.loadPackageDefinition(
  loadSync('inference.proto', {
    includeDirs: [fileURLToPath(new URL('../../../../proto/', import.meta.url))],
    keepCase: true,
    longs: String,
    defaults: true,
  }),
);

export class Clients {
  readonly ask: Readonly<Record<ProtocolName, Ask>>;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #http: string;
  readonly #grpc: Message;

  constructor(http: string, grpcAddress: string) {
    this.#http = http;
    this.#grpc = new loaded.inference.GRPCInferenceService(
      grpcAddress.replace(/^\w+:\/\//, ''),
      grpc.credentials.createInsecure(),
      { 'grpc.max_receive_message_length': -1 },
    );
    this.ask = {
      'HTTP JSON': (model, inputs) => this.#askJson(model, inputs),
      'HTTP binary': (model, inputs) => this.#askBinary(model, inputs),
      gRPC: (model, inputs) => this.#askGrpc(model, inputs),
    };
  }

  close(): void {
    this.#agent.destroy();
    this.#grpc.close();
  }

  async #askJson(model: string, inputs: readonly Tensor[]): Promise<Answer> {
    const texts = inputs.map((input) => `{${headOf(input)},"data":${elementsToJson(input)}}`);
    const { status, body } = await this.#post(model, Buffer.from(`{"inputs":[${texts.join(',')}]}`), {});
    if (status !== 200) return refusal(status, body);
    const reply = parseExactly(body.toString()) as JsonReply;
    const outputs = reply.outputs.map((output) => {
      return elementsFromJson(jsonHead(output), output.data!);
    });
    return { isOk: true, outputs };
  }

  async #askBinary(model: string, inputs: readonly Tensor[]): Promise<Answer> {
    const blobs = inputs.map(bytesOfTensor);
    const texts = inputs.map((input, i) => `{${headOf(input)},"parameters":{"binary_data_size":${blobs[i]!.length}}}`);
    const json = Buffer.from(`{"parameters":{"binary_data_output":true},"inputs":[${texts.join(',')}]}`);
    const headers = { 'inference-header-content-length': String(json.length) };
    const { status, body, jsonBytes } = await this.#post(model, Buffer.concat([json, ...blobs]), headers);
    if (status !== 200) return refusal(status, body);
    const reply = parseExactly(body.toString('utf8', 0, jsonBytes)) as JsonReply;
    let at = jsonBytes;
    const outputs = reply.outputs.map((output) => {
      const size = numberOf(output.parameters!.binary_data_size);
      at += size;
      return tensorOfBytes(jsonHead(output), body.subarray(at - size, at));
    });
    if (at !== body.length) throw new Error(`${model}: ${body.length - at} bytes behind the last output`);
    return { isOk: true, outputs };
  }

  #askGrpc(model: string, inputs: readonly Tensor[]): Promise<Answer> {
    const message = {
      model_name: model,
      inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
      raw_input_contents: inputs.map(bytesOfTensor),
    };
    return new Promise((resolve) => {
      this.#grpc.ModelInfer(message, (error: grpc.ServiceError | null, reply: Message) => {
        if (error !== null) return resolve({ isOk: false, code: error.code, message: error.details });
        const outputs = reply.outputs.map(({ name, datatype, shape }: Message, i: number) =>
          tensorOfBytes({ name, datatype, shape: shape.map(Number) }, reply.raw_output_contents[i]),
        );
        resolve({ isOk: true, outputs });
      });
    });
  }

  #post(model: string, body: Buffer, headers: Record<string, string>): Promise<HttpAnswer> {
    const url = `${this.#http}/v2/models/${model}/infer`;
    return new Promise((resolve, reject) => {
      const sent = request(url, { method: 'POST', agent: this.#agent, headers }, (response: IncomingMessage) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const whole = Buffer.concat(chunks);
          const jsonBytes = Number(response.headers['inference-header-content-length'] ?? whole.length);
          resolve({ status: response.statusCode!, body: whole, jsonBytes });
        });
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

interface HttpAnswer {
  readonly status: number;
  readonly body: Buffer;
  /** How much of the body is JSON. */
  readonly jsonBytes: number;
}

/** As `parseExactly` gives it. */
interface JsonReply {
  readonly outputs: readonly {
    readonly name: string;
    readonly datatype: Tensor['datatype'];
    readonly shape: readonly string[];
    readonly data?: readonly unknown[];
    readonly parameters?: { readonly binary_data_size: string };
  }[];
}

function headOf({ name, datatype, shape }: Tensor): string {
  return `"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape}]`;
}

function jsonHead({ name, datatype, shape }: JsonReply['outputs'][number]): Omit<Tensor, 'data'> {
  return { name, datatype, shape: shape.map(numberOf) };
}

function refusal(code: number, body: Buffer): Answer {
  return { isOk: false, code, message: String((JSON.parse(body.toString()) as { error: string }).error) };
}
