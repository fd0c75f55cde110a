/**
 * The way to a collector: one document, one POST, one connection that is kept.
 *
 * What it answers is its status; the body is not read. Redirects are not followed: the endpoint is the operator's word.
 *
 * Must not know what a document says.
 */
import * as http from 'node:http';
import * as https from 'node:https';
import type { Post } from './exporter.js';

export interface CollectorOptions {
  /** Base URL, without `/v1/traces`. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  /** From the start of a POST to the end of its answer. */
  readonly timeoutMs: number;
}

export interface Collector {
  readonly post: Post;
  close(): void;
}

export function openCollector({ endpoint, headers, timeoutMs }: CollectorOptions): Collector {
  const url = new URL(`${endpoint.replace(/\/+$/, '')}/v1/traces`);
  const { request, Agent } = url.protocol === 'https:' ? https : http;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const post: Post = (body) =>
    new Promise((resolve, reject) => {
      const all = { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const sent = request(url, { method: 'POST', agent, headers: all }, (answer) => {
        answer.on('end', () => resolve(answer.statusCode ?? 0)).on('error', reject);
        answer.resume();
      });
      const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      sent.on('error', reject).on('close', () => clearTimeout(timer));
      sent.end(body);
    });
  return { post, close: () => agent.destroy() };
}

const headerPair = /^\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(.*?)\s*$/;

/** `name=value,name=value` as OpenTelemetry writes headers, values percent-encoded. @throws with the name of a bad one, never its value */
export function headersOf(text: string): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [index, pair] of text.split(',').entries()) {
    if (pair.trim() === '') continue;
    const [, name, encoded] = headerPair.exec(pair) ?? [];
    if (name === undefined) throw new Error(`header ${index + 1} is not name=value`);
    const value = decoded(encoded!);
    if (value === undefined || !/^[\t -~]*$/.test(value)) throw new Error(`the value of header ${name} cannot be sent`);
    headers[name.toLowerCase()] = value;
  }
  return headers;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
