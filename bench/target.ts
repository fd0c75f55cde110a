/**
 * The server under load, as what can be asked of it beside load: its model, its counters, one trial request.
 *
 * Any V2 server will do. Metadata is required; configuration and statistics are extensions, and what a server does not
 * have is undefined, never zero.
 *
 * Must not know how load is made or shown.
 */
import { ask } from '../src/cli/ask.js';
import { Exit } from '../src/cli/exit.js';
import { isDataType, type TensorSpec } from '../src/core/tensor.js';
import type { BenchOptions } from './options.js';

export interface ModelFacts {
  readonly inputs: readonly TensorSpec[];
  /** Rows of one batch at most, 0 = not batched; undefined = the server does not say. */
  readonly rowsMax: number | undefined;
  /** What the server calls itself. */
  readonly server: string;
}

/** V2 statistics of the versions that may answer, added up. */
export interface ServerCounts {
  readonly requests: number;
  readonly queueNs: number;
  readonly computeNs: number;
  readonly rows: number;
  readonly runs: number;
}

/** A request, encoded for the protocol. */
export interface Payload {
  readonly body: Buffer;
  /** HTTP headers that belong to this body. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface Target {
  /** @throws Exit 1 when the server cannot be reached, does not know the model or does not speak V2 */
  describe(): Promise<ModelFacts>;
  statistics(): Promise<ServerCounts | undefined>;
  /** @throws Exit 1 with the server's own words when it does not answer this request with outputs */
  tryOne(payload: Payload): Promise<void>;
  close(): void;
}

/** The parts of V2's JSON that are read, here and over gRPC. */
export interface MetadataJson {
  readonly inputs?: readonly { name: string; datatype: string; shape: readonly (number | string)[] }[];
}
interface Duration {
  readonly count?: number | string;
  readonly ns?: number | string;
}
export interface StatisticsJson {
  readonly model_stats?: readonly {
    readonly inference_count?: number | string;
    readonly execution_count?: number | string;
    readonly inference_stats?: Readonly<Record<string, Duration | undefined>> | null;
  }[];
}

export function specsOf(metadata: MetadataJson, model: string): TensorSpec[] {
  const { inputs } = metadata;
  if (!Array.isArray(inputs) || inputs.length === 0)
    throw new Exit(1, `the metadata of model '${model}' names no inputs; does the server speak the V2 protocol?`);
  return inputs.map(({ name, datatype, shape }) => {
    if (!isDataType(datatype))
      throw new Exit(1, `input '${name}' of model '${model}' has unknown datatype ${datatype}`);
    return { name, datatype, shape: (shape as readonly (number | string)[]).map(Number) };
  });
}

export function countsOf({ model_stats: versions }: StatisticsJson): ServerCounts | undefined {
  if (!Array.isArray(versions) || versions.length === 0) return undefined;
  const counts = { requests: 0, queueNs: 0, computeNs: 0, rows: 0, runs: 0 };
  for (const { inference_count: rows, execution_count: runs, inference_stats: stats } of versions) {
    counts.rows += Number(rows ?? 0);
    counts.runs += Number(runs ?? 0);
    counts.requests += Number(stats?.queue?.count ?? 0);
    counts.queueNs += Number(stats?.queue?.ns ?? 0);
    for (const part of ['compute_input', 'compute_infer', 'compute_output'] as const) {
      counts.computeNs += Number(stats?.[part]?.ns ?? 0);
    }
  }
  return counts;
}

/** Path of the model, below the server's address. */
export function modelPath(model: string, version: string | undefined): string {
  const suffix = version === undefined ? '' : `/versions/${encodeURIComponent(version)}`;
  return `/v2/models/${encodeURIComponent(model)}${suffix}`;
}

const trialTimeoutMs = 30_000;

export function openHttpTarget({ url, model, version, headers }: BenchOptions): Target {
  const path = `${url}${modelPath(model, version)}`;
  const get = (address: string) => askWith(address, headers);
  return {
    describe: async () => {
      const metadata = (await get(path)) as MetadataJson;
      const inputs = specsOf(metadata, model);
      const config = (await get(`${path}/config`).catch(() => undefined)) as { max_batch_size?: number } | undefined;
      const server = (await get(`${url}/v2`).catch(() => undefined)) as { name?: string; version?: string } | undefined;
      const rowsMax = typeof config?.max_batch_size === 'number' ? config.max_batch_size : undefined;
      return { inputs, rowsMax, server: `${server?.name ?? 'unknown'} ${server?.version ?? ''}`.trim() };
    },
    statistics: async () => {
      const answer = await get(`${path}/stats`).catch(() => undefined);
      return answer === undefined ? undefined : countsOf(answer as StatisticsJson);
    },
    tryOne: async ({ body, headers: own }) => {
      const response = await post(`${path}/infer`, body, { ...headers, ...own });
      const bytes = Buffer.from(await response.arrayBuffer());
      if (response.ok && bytes.includes('"outputs"')) return;
      throw new Exit(1, `the server refused a trial request: ${response.status} ${reasonOf(bytes)}`);
    },
    close: () => {},
  };
}

/** `ask` of the command line knows no headers beside a token; a server that wants others is asked here. */
async function askWith(url: string, headers: Readonly<Record<string, string>>): Promise<unknown> {
  if (Object.keys(headers).length === 0) return ask({ url, of: 'the server', timeoutMs: 10_000 });
  const response = await fetchOrExit(url, { headers, signal: AbortSignal.timeout(10_000), redirect: 'error' });
  const bytes = Buffer.from(await response.arrayBuffer());
  if (!response.ok) throw new Exit(1, `the server answered ${response.status}: ${reasonOf(bytes)}`);
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new Exit(1, `the server answered ${response.status}: the answer is not JSON`);
  }
}

function post(url: string, body: Buffer, headers: Record<string, string>): Promise<Response> {
  const signal = AbortSignal.timeout(trialTimeoutMs);
  return fetchOrExit(url, { method: 'POST', headers, body: new Uint8Array(body), signal, redirect: 'error' });
}

async function fetchOrExit(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    const { name, message, cause } = error as Error & { cause?: Error };
    const why = name === 'TimeoutError' ? 'no answer in time' : (cause?.message ?? message);
    throw new Exit(1, `the server did not answer at ${new URL(url).origin}: ${why}`);
  }
}

function reasonOf(bytes: Buffer): string {
  const text = bytes.subarray(0, 4096).toString('utf8').trim();
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    if (typeof error === 'string') return error;
  } catch {
    // Not JSON: the text itself is the best reason there is.
  }
  return text === '' ? 'no reason given' : text.slice(0, 300);
}
