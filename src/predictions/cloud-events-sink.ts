/**
 * The log as CloudEvents over HTTP, in batched content mode: for every row a request and a response, of the types and with the
 * attributes that KServe's loggers use.
 *
 * Both events of a row carry the same id, which is how those consumers join them; beside it, `requestid` is the caller's.
 *
 * Must not know files or cursors. How rows are read and how a body is posted is given.
 */
import type { Cell } from './payload.js';
import type { Row } from './rows.js';
import type { FinishedFile, Sink } from './sink.js';

/** @returns the status; throws when there was no answer */
export type Post = (
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
) => Promise<{ readonly status: number }>;

export interface CloudEventsOptions {
  readonly url: string;
  /** `/sluice/<instance>`. */
  readonly source: string;
  readonly namespace: string;
  readonly rowsPerPost: number;
  readonly post: Post;
  readonly read: (path: string, from: number, rowsMax: number) => Promise<readonly Row[]>;
}

const headers = { 'content-type': 'application/cloudevents-batch+json; charset=utf-8' };

export function cloudEventsSink(options: CloudEventsOptions): Sink {
  const { url, rowsPerPost, post, read } = options;
  return {
    name: 'cloudevents',
    async deliver(file: FinishedFile, from: number, delivered: (rows: number) => void): Promise<void> {
      for (let at = from; at < file.rows; ) {
        const rows = await read(file.path, at, Math.min(rowsPerPost, file.rows - at));
        // Rewritten meanwhile, with fewer rows.
        if (rows.length === 0) return;
        const { status } = await post(url, headers, JSON.stringify(rows.flatMap((row) => eventsOf(row, options))));
        if (status < 200 || status > 299) throw new Error(`the receiver answered ${status}`);
        at += rows.length;
        delivered(at);
      }
    },
  };
}

function eventsOf(row: Row, { source, namespace }: CloudEventsOptions): object[] {
  const { request_id, item_index, role, attempt, model } = row;
  const time = `${String(row.ts).replace(' ', 'T')}Z`;
  const common = {
    specversion: '1.0',
    id: `${request_id}/${item_index}/${role}/${attempt}`,
    source,
    time,
    datacontenttype: 'application/json',
    inferenceservicename: model,
    namespace,
    component: 'predictor',
    endpoint: String(row.variant_served ?? 'default') || 'default',
    requestid: request_id,
  };
  const { request, response } = dataOf(row);
  return [
    { ...common, type: 'org.kubeflow.serving.inference.request', data: request },
    { ...common, type: 'org.kubeflow.serving.inference.response', data: response },
  ];
}

const ofResponse = [
  'status',
  'error_code',
  'prediction',
  'score',
  'latency_us',
  'queue_us',
  'upstream_us',
  'batch_size',
  'output_bytes',
  'cache_hit',
];
/** They are attributes, or stand in the data under another name. */
const elsewhere = new Set(['request_id', 'item_index', 'ts', 'date', 'hour', 'model', 'input_json', 'outputs_json']);

/** What was known when the request came, and what its answer added. */
function dataOf(row: Row): { request: object; response: object } {
  const request: Record<string, unknown> = { inputs: parsed(row.input_json) };
  const response: Record<string, unknown> = { outputs: parsed(row.outputs_json) };
  const features: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(row)) {
    if (elsewhere.has(name) || value === null || value === undefined) continue;
    if (name.startsWith('f_')) features[name.slice(2)] = value;
    else if (ofResponse.includes(name)) response[name] = value;
    else request[name] = value;
  }
  if (Object.keys(features).length > 0) request.inputs = features;
  return { request, response: { ...response, version: row.version, role: row.role } };
}

function parsed(text: Cell | undefined): unknown {
  return typeof text === 'string' ? JSON.parse(text) : null;
}
