/**
 * Which requests are traced, and the spans of those that are.
 *
 *   begin(model, call) ─▶ Trace, or nothing ─▶ … the request … ─▶ observe(event) ─▶ exporter
 *
 * A request of a caller's trace is sampled when its caller's is. Any other is by its id, with the number that also decides
 * about its access line and its row. One that is not sampled costs the look at a header and a hash.
 *
 * Must not know protocols, or how spans are written and sent.
 */
import type { GatewayEvent } from '../core/events.js';
import type { CallTerms } from '../core/inference.js';
import { requestShare } from '../core/request-share.js';
import { Trace, type TracePlan, type TraceTerms } from '../core/trace.js';
import type { NewId } from './span-ids.js';
import type { SpanRecord } from './spans.js';
import { parentOf, stateOf } from './trace-parent.js';

export interface TracerOptions {
  readonly terms: TraceTerms;
  readonly newId: NewId;
  readonly now: () => number;
  readonly epochMs: () => number;
  /** Takes what a finished request left. */
  readonly finish: (record: SpanRecord) => void;
}

/** Ids that callers choose may be as long as a message. */
const idLengthMax = 128;

export class Tracer {
  readonly #options: TracerOptions;
  #plan: TracePlan;

  constructor(options: TracerOptions) {
    this.#options = options;
    this.#plan = { all: options.terms, ofModels: new Map() };
  }

  /** Holds from the next request on. */
  readonly follow = (plan: TracePlan): void => {
    this.#plan = plan;
  };

  /** @see DataPlane.trace */
  readonly begin = (model: string, call: CallTerms, receivedAt: number): Trace | undefined => {
    const { all, ofModels } = this.#plan;
    const { isOn, share } = ofModels.size === 0 ? all : (ofModels.get(model) ?? all);
    const parent = parentOf(call.header('traceparent'));
    if (parent !== undefined) {
      const { traceId, spanId } = parent;
      const isSampled = isOn && parent.isSampled;
      const state = isSampled ? stateOf(call.header('tracestate')) : '';
      return new Trace({ traceId, parentId: spanId, state, isSampled, receivedAt });
    }
    if (!isOn || requestShare(call.requestId) >= share) return undefined;
    return new Trace({ traceId: this.#options.newId(16), parentId: '', state: '', isSampled: true, receivedAt });
  };

  readonly observe = (event: GatewayEvent): void => {
    if (event.kind !== 'inference' || event.trace?.isSampled !== true) return;
    const { now, epochMs, finish } = this.#options;
    finish({
      trace: event.trace,
      requestId: kept(event.requestId),
      event: event.requestId.length > idLengthMax ? { ...event, requestId: '' } : event,
      epochOffsetMs: epochMs() - now(),
    });
  };
}

/** A cut of a text keeps all of it in memory, unless it is written anew. */
function kept(requestId: string): string {
  return requestId.length <= idLengthMax ? requestId : Buffer.from(requestId.slice(0, idLengthMax)).toString();
}
