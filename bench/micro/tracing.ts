/**
 * What tracing and the access log cost for each request, in µs of CPU: for one that is left out, for one that is kept, and for
 * its spans when they are sent.
 *
 *   node dist/bench/micro/tracing.js
 *
 * Must not know sockets.
 */
import { randomBytes } from 'node:crypto';
import type { InferenceEvent } from '../../src/core/events.js';
import type { CallTerms } from '../../src/core/inference.js';
import { createAccessLog } from '../../src/observe/access-log.js';
import { createSpanIds } from '../../src/trace/span-ids.js';
import { type SpanRecord, spansOf } from '../../src/trace/spans.js';
import { Tracer } from '../../src/trace/tracer.js';

/** As they come from the wire: in one piece. */
const wired = (text: string) => Buffer.from(text).toString('latin1');
const ids = Array.from({ length: 4096 }, (_, i) => wired(`0190b5a4-7c3e-7000-9f00-${String(i).padStart(12, '0')}`));
const parent = wired('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');

/** A call with six headers, of which the trace's would be the last. */
class Call implements CallTerms {
  readonly variant = '';
  requestId = '';
  readonly #headers: readonly string[];

  constructor(traceparent: readonly string[]) {
    const others = ['host', 'user-agent', 'accept', 'content-type', 'content-length', 'connection'];
    this.#headers = [...others.flatMap((name) => [name, 'x']), ...traceparent.flatMap((text) => ['traceparent', text])];
  }

  header(name: string): string | undefined {
    for (let i = 0; i < this.#headers.length; i += 2) if (this.#headers[i] === name) return this.#headers[i + 1];
    return undefined;
  }

  parameter(): undefined {}
}

const version = { model: 'digits', version: '3' };
const timing = { queueMs: 0.2, inputMs: 0.01, inferMs: 0.3, outputMs: 0.01, batchRows: 4 };

/** A fresh object each time, as a request makes one. */
function eventOf(requestId: string, trace: InferenceEvent['trace']): InferenceEvent {
  return {
    kind: 'inference',
    version,
    model: 'digits',
    protocol: 'http',
    requestId,
    code: 'OK',
    reason: undefined,
    rows: 1,
    durationMs: 0.7,
    timing,
    assignment: undefined,
    trace,
  };
}

/** Holds each result, so that no run is left out as unused. */
export let kept: unknown;

function measure(label: string, times: number, run: (id: string) => unknown): void {
  for (let i = 0; i < times; i++) kept = run(ids[i & 4095]!);
  const before = process.cpuUsage();
  for (let i = 0; i < times; i++) kept = run(ids[i & 4095]!);
  const { user, system } = process.cpuUsage(before);
  console.log(`${label.padEnd(52)} ${((user + system) / times).toFixed(3)} µs`);
}

const newId = createSpanIds(randomBytes);
let record: SpanRecord | undefined;
const tracer = new Tracer({
  terms: { isOn: true, share: 1e-9 },
  place: 0,
  newId,
  now: () => performance.now(),
  epochMs: Date.now,
  finish: (finished) => {
    record = finished;
  },
});

const plain = new Call([]);
const traced = new Call([parent]);
const off: { readonly begin?: typeof tracer.begin } = {};
const million = 1_000_000;

const begun = (call: Call, id: string) => {
  call.requestId = id;
  return tracer.begin('digits', call, 1);
};
measure('an event', million, (id) => eventOf(id, undefined));
measure('off: an event', million, (id) => {
  plain.requestId = id;
  return eventOf(id, off.begin?.('digits', plain, 1));
});
measure('on, not sampled: begin, event, observe', million, (id) => {
  const event = eventOf(id, begun(plain, id));
  tracer.observe(event);
  return event;
});
measure("on, of a caller's trace: begin, event, observe", million, (id) => {
  const event = eventOf(id, begun(traced, id));
  tracer.observe(event);
  return event;
});
measure('its spans as text, when they are sent', 20_000, () => JSON.stringify(spansOf(record!, newId)));

const few = createAccessLog(1e-9, (line) => {
  kept = line;
});
const all = createAccessLog(1, (line) => {
  kept = line;
});
measure('access line, left out: event, observe', million, (id) => few(eventOf(id, undefined)));
measure('access line, kept: event, observe', million, (id) => all(eventOf(id, undefined)));
