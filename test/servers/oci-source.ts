/** An OCI source as a test uses it: through the real client, with numbers kept in memory. */
import { createHttp } from '../../src/registry/net/client.js';
import { type Credentials, createCredentials, noCredentials } from '../../src/registry/net/credentials.js';
import type { ArtifactFile, Source } from '../../src/registry/source.js';
import { createOciSource, type OciSourceOptions } from '../../src/registry/sources/oci.js';
import type { VersionNumbers } from '../../src/registry/sources/oci-versions.js';

export const signal = new AbortController().signal;

/** As a file would hold them over a restart. */
export function rememberedNumbers(): VersionNumbers & { readonly known: Map<string, string> } {
  const known = new Map<string, string>();
  return {
    known,
    get: (model, digest) => known.get(`${model} ${digest}`),
    next: async (model, digest, above) => {
      const ours = [...known].filter(([key]) => key.startsWith(`${model} `)).map(([, version]) => Number(version));
      const version = String(Math.max(Number(above), ...ours) + 1);
      known.set(`${model} ${digest}`, version);
      return version;
    },
  };
}

export function basicOf({ user, password }: { readonly user: string; readonly password: string }): Credentials {
  return createCredentials({ userEnv: 'USER', passwordEnv: 'PASSWORD' }, { USER: user, PASSWORD: password });
}

type Given = Partial<OciSourceOptions> & Pick<OciSourceOptions, 'models'> & { readonly allowHosts?: readonly string[] };

export function ociSourceAt(port: number, { allowHosts = [], ...options }: Given): Source {
  const url = new URL(`oci://127.0.0.1:${port}/models`);
  const http = createHttp({
    origin: url,
    allowHttp: false,
    allowPrivate: [],
    allowHosts,
    triesMax: 1,
    now: () => performance.now(),
    epochNow: () => 0,
    random: () => 0,
    sleep: async () => {},
  });
  return createOciSource({
    name: 'oci',
    url,
    allowHttp: false,
    http,
    credentials: noCredentials,
    allowRealms: [],
    numbers: rememberedNumbers(),
    now: () => performance.now(),
    ...options,
  });
}

export async function bytesAt(
  source: Source,
  file: ArtifactFile,
  from: { readonly offset: number; readonly etag: string | undefined } = { offset: 0, etag: undefined },
): Promise<Buffer> {
  const { chunks } = await source.open(file, from, signal);
  const pieces: Uint8Array[] = [];
  for await (const chunk of chunks) pieces.push(chunk);
  return Buffer.concat(pieces);
}
