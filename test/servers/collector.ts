/** A collector of OTLP over HTTP with JSON, as far as a test needs one: it keeps the spans, answers as it is told, or not at all. */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Span } from '../../src/trace/spans.js';

export interface ReceivedSpan extends Omit<Span, 'attributes'> {
  readonly attributes: Readonly<Record<string, string | number>>;
  /** Attributes of the resource. */
  readonly resource: Readonly<Record<string, string | number>>;
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: string };
}

export class FakeCollector {
  readonly spans: ReceivedSpan[] = [];
  /** Of each POST. */
  readonly posts: { readonly path: string; readonly headers: IncomingHttpHeaders }[] = [];
  /** What every POST is answered with; 0 = nothing, ever. */
  status = 200;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(context: { after(work: () => void): void }): Promise<FakeCollector> {
    const server = createServer((request, answer) => {
      let body = '';
      request.setEncoding('utf8').on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        collector.posts.push({ path: request.url!, headers: request.headers });
        if (collector.status === 0) return;
        if (collector.status === 200) collector.#keep(JSON.parse(body));
        answer.writeHead(collector.status, { 'content-type': 'application/json' }).end('{}');
      });
    });
    const collector = new FakeCollector(server);
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    context.after(() => collector.close());
    return collector;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  // biome-ignore lint/suspicious/noExplicitAny: the document is what is tested.
  #keep({ resourceSpans }: any): void {
    for (const { resource, scopeSpans } of resourceSpans)
      for (const { spans } of scopeSpans)
        for (const span of spans)
          this.spans.push({
            ...span,
            attributes: valuesOf(span.attributes),
            resource: valuesOf(resource.attributes),
          });
  }

  /** Spans of one trace, by name; of each name the last. */
  byName(traceId: string): Map<string, ReceivedSpan> {
    return new Map(this.spans.filter((span) => span.traceId === traceId).map((span) => [span.name, span]));
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

function valuesOf(attributes: readonly Attribute[]): Record<string, string | number> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.intValue === undefined ? value.stringValue! : Number(value.intValue),
    ]),
  );
}
