/**
 * The log as CloudEvents over HTTP, in batched content mode: for every row a request and a response, of the types and with the
 * attributes that KServe's loggers use.
 *
 * Both events of a row carry the same id, which is how those consumers join them; beside it, `requestid` is the caller's.
 *
 * Must not know files, cursors or the network. How a body is posted is given.
 */
import type { Cell } from '../payload.js';
import type { Row } from '../rows.js';
import { type Message, type RowSender, RowsRefused } from './row-sink.js';

/** @returns the status; throws when there was no answer */
export type Post = (headers: Readonly<Record<string, string>>, body: string, signal: AbortSignal) => Promise<number>;

export interface CloudEventsOptions {
  /** `/sluice/<instance>`. */
  readonly source: string;
  readonly namespace: string;
  readonly post: Post;
}

const headers = { 'content-type': 'application/cloudevents-batch+json; charset=utf-8' };

/** Statuses that are about what was sent: asking again cannot help. Every other may be another one later. */
const refusals: Readonly<Record<number, 'refused' | 'too_large'>> = {
  400: 'refused',
  413: 'too_large',
  422: 'refused',
};

export function cloudEventsSender(options: CloudEventsOptions): RowSender {
  const { post } = options;
  return {
    messageOf: (row) => messageOf(row, options),
    async send(messages, signal) {
      const status = await post(headers, `[${messages.map(({ body }) => body).join(',')}]`, signal);
      const refusal = refusals[status];
      if (refusal !== undefined) throw new RowsRefused(refusal);
      if (status < 200 || status > 299) throw new Error(`the receiver answered ${status}`);
    },
    close: async () => {},
  };
}

function messageOf(row: Row, { source, namespace }: CloudEventsOptions): Message {
  const { request_id, item_index, role, attempt, model } = row;
  const id = `${request_id}/${item_index}/${role}/${attempt}`;
  const common = {
    specversion: '1.0',
    id,
    source,
    time: `${String(row.ts).replace(' ', 'T')}Z`,
    datacontenttype: 'application/json',
    inferenceservicename: model,
    namespace,
    component: 'predictor',
    endpoint: String(row.variant_served ?? 'default') || 'default',
    requestid: request_id,
  };
  const { request, response } = factsOf(row);
  const events = [
    { ...common, type: 'org.kubeflow.serving.inference.request', data: request },
    { ...common, type: 'org.kubeflow.serving.inference.response', data: response },
  ];
  return { id, model: String(model), body: events.map((event) => JSON.stringify(event)).join(',') };
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
function factsOf(row: Row): { request: object; response: object } {
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
