/**
 * Tracing as one thing: who is sampled, spans, the way to the collector.
 *
 *   request ─ begin ─▶ Tracer ◀─ observe ─ event          Tracer ─▶ Exporter ─▶ collector
 *
 * Without a collector nothing is sampled, but a caller's trace is still known by its id.
 *
 * Must not know protocols, or the configuration.
 */
import type { Observe } from '../core/events.js';
import type { DataPlane } from '../core/inference.js';
import type { Family } from '../core/series.js';
import type { TracePlan } from '../core/trace.js';
import { headersOf, openCollector } from './collector.js';
import { Exporter } from './exporter.js';
import { createSpanIds } from './span-ids.js';
import { Tracer } from './tracer.js';

export interface TracingOptions {
  /** Of this process among all, from 0 on. */
  readonly place: number;
  /** Base URL of the collector; empty = there is none. */
  readonly endpoint: string;
  /** `name=value,name=value` for every batch. */
  readonly headers: string;
  readonly timeoutMs: number;
  /** Traced requests that wait for the collector. */
  readonly queueMax: number;
  /** Share of requests that are traced without a caller's word. */
  readonly sample: number;
  /** What the spans are of: `service.name` and the like. */
  readonly resource: Readonly<Record<string, string | number>>;
  /** So many random bytes. */
  readonly random: (bytes: number) => Buffer;
  readonly now: () => number;
  readonly epochMs: () => number;
  /** The collector does not take what it is sent, or the headers are wrong. */
  readonly onFault: (problem: string) => void;
}

export interface Tracing {
  readonly begin: NonNullable<DataPlane['trace']>;
  /** Another plan than the options' own. */
  follow(plan: TracePlan): void;
  readonly observe: Observe;
  /** Requests sampled by the share since the start, by the model whose terms said so; '' = those of all. */
  sampled(): Readonly<Record<string, number>>;
  families(): Family[];
  /** Sends what waits, for at most so long. */
  close(limitMs: number): Promise<void>;
}

export function openTracing(options: TracingOptions): Tracing {
  const { endpoint, place, timeoutMs, queueMax, sample, resource, now, epochMs, onFault } = options;
  const newId = createSpanIds(options.random);
  if (endpoint === '') {
    const terms = { isOn: false, share: 0 };
    const { begin } = new Tracer({ terms, place, newId, now, epochMs, finish: () => {} });
    const nothing = { follow: () => {}, observe: () => {}, sampled: () => ({}), families: () => [] };
    return { begin, ...nothing, close: () => Promise.resolve() };
  }
  const collector = openCollector({ endpoint, timeoutMs, headers: headersIn(options) });
  const exporter = new Exporter({ post: collector.post, newId, queueMax, resource, onFault });
  const tracer = new Tracer({
    terms: { isOn: true, share: sample },
    place,
    newId,
    now,
    epochMs,
    finish: exporter.add,
  });
  return {
    begin: tracer.begin,
    follow: tracer.follow,
    observe: tracer.observe,
    sampled: () => tracer.sampled(),
    families: () => exporter.families(),
    close: async (limitMs) => {
      await exporter.close(limitMs);
      collector.close();
    },
  };
}

/** With headers that cannot be read the collector is asked without: it says what it misses, and serving goes on. */
function headersIn({ headers, onFault }: TracingOptions): Record<string, string> {
  try {
    return headersOf(headers);
  } catch (thrown) {
    onFault((thrown as Error).message);
    return {};
  }
}
