/**
 * The server under load, asked over gRPC: the same questions as over HTTP, with the stock client.
 *
 * Must not know how load is made; that needs a leaner client than this one.
 */
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { Exit } from '../src/cli/exit.js';
import type { BenchOptions } from './options.js';
import { countsOf, type MetadataJson, type StatisticsJson, specsOf, type Target } from './target.js';

const protoDirectory = fileURLToPath(new URL('../../proto/', import.meta.url));
const timeoutMs = 10_000;

type Unary = (
  request: unknown,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  done: (error: grpc.ServiceError | null, reply: unknown) => void,
) => void;

export function openGrpcTarget({ url, model, version, headers }: BenchOptions): Target {
  const definition = loadSync('inference.proto', {
    includeDirs: [protoDirectory],
    keepCase: true,
    longs: Number,
    defaults: true,
  });
  const { inference } = grpc.loadPackageDefinition(definition) as unknown as {
    inference: { GRPCInferenceService: grpc.ServiceClientConstructor };
  };
  const { protocol, host } = new URL(url);
  const port = /:\d+$/.test(host) ? host : `${host}:${protocol === 'https:' ? 443 : 80}`;
  const credentials = protocol === 'https:' ? grpc.credentials.createSsl() : grpc.credentials.createInsecure();
  const client = new inference.GRPCInferenceService(port, credentials, { 'grpc.max_receive_message_length': -1 });
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);

  const call = async (method: string, request: unknown): Promise<unknown> => {
    const deadline = new Date(Date.now() + timeoutMs);
    return new Promise((resolve, reject) => {
      (client[method] as Unary).call(client, request, metadata, { deadline }, (error, reply) => {
        if (error === null) resolve(reply);
        else reject(exitOf(error, url));
      });
    });
  };
  const named = { name: model, version: version ?? '' };

  return {
    describe: async () => {
      const inputs = specsOf((await call('ModelMetadata', named)) as MetadataJson, model);
      const answer = (await call('ModelConfig', named).catch(() => undefined)) as
        | { config?: { max_batch_size?: number } }
        | undefined;
      const server = (await call('ServerMetadata', {}).catch(() => undefined)) as
        | { name: string; version: string }
        | undefined;
      return {
        inputs,
        rowsMax: answer?.config?.max_batch_size,
        server: `${server?.name ?? 'unknown'} ${server?.version ?? ''}`.trim(),
      };
    },
    statistics: async () => {
      const answer = await call('ModelStatistics', named).catch(() => undefined);
      return answer === undefined ? undefined : countsOf(answer as StatisticsJson);
    },
    tryOne: ({ body }) =>
      new Promise<void>((resolve, reject) => {
        const same = (message: Buffer) => message;
        const deadline = new Date(Date.now() + 3 * timeoutMs);
        client.makeUnaryRequest(
          '/inference.GRPCInferenceService/ModelInfer',
          same,
          same,
          body,
          metadata,
          { deadline },
          (error: grpc.ServiceError | null) => {
            if (error === null) resolve();
            else if (isAway(error)) reject(exitOf(error, url));
            else reject(new Exit(1, `the server refused a trial request: ${codeOf(error)} ${error.details}`));
          },
        );
      }),
    close: () => client.close(),
  };
}

function exitOf(error: grpc.ServiceError, url: string): Exit {
  if (isAway(error)) {
    // The library wraps the one thing that matters, for example "connect ECONNREFUSED 127.0.0.1:8001", in more words.
    const [, reason = error.details] = /Last error: (?:Error: )?(.*?)\. Resolution note/.exec(error.details) ?? [];
    return new Exit(1, `the server did not answer at ${new URL(url).host}: ${reason}`);
  }
  return new Exit(1, `the server answered ${codeOf(error)}: ${error.details}`);
}

function isAway({ code }: grpc.ServiceError): boolean {
  return code === grpc.status.UNAVAILABLE || code === grpc.status.DEADLINE_EXCEEDED;
}

function codeOf({ code }: grpc.ServiceError): string {
  return grpc.status[code] ?? String(code);
}
