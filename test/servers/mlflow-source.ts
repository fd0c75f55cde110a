/**
 * A source that follows the fake MLflow over the real HTTP client, which waits for nothing between its tries.
 *
 * Must not know what is tested.
 */
import { createHash } from 'node:crypto';
import { createHttp } from '../../src/registry/net/client.js';
import { noCredentials } from '../../src/registry/net/credentials.js';
import type { Artifact, FileStream, Source } from '../../src/registry/source.js';
import { createMlflowSource, type MlflowSourceOptions } from '../../src/registry/sources/mlflow.js';

export interface Followed {
  readonly source: Source;
  /** Milliseconds that the client would have waited before each further try. */
  readonly waits: number[];
}

export function sourceAt(url: URL, options: Partial<MlflowSourceOptions> = {}): Followed {
  const waits: number[] = [];
  const allowHosts = options.allowHosts ?? [];
  const http = createHttp({
    origin: url,
    allowHttp: false,
    allowPrivate: [],
    allowHosts,
    now: () => performance.now(),
    epochNow: () => 0,
    random: () => 0,
    sleep: async (delayMs) => {
      waits.push(delayMs);
    },
  });
  const preset = { name: 'main', url, models: undefined, http, credentials: noCredentials, fileRoots: [] };
  return { source: createMlflowSource({ ...preset, ...options, allowHosts }), waits };
}

export async function read({ chunks }: FileStream): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

export function fileOf(artifact: Artifact, path: string) {
  const file = artifact.files.find((candidate) => candidate.path === path);
  if (file === undefined)
    throw new Error(`no file '${path}' among ${artifact.files.map((one) => one.path).join(', ')}`);
  return file;
}

export const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');

export const start = { offset: 0, etag: undefined };
