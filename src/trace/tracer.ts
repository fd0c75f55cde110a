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
  /** Of this process among all, from 0 on: which cap is its own. */
  readonly place: number;
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
  /** Requests sampled by the share since the start, by the model whose terms said so; '' = those of all. */
  readonly #sampled = new Map<string, number>();

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
    const own = ofModels.size === 0 ? undefined : ofModels.get(model);
    const { isOn, share, hasTensors, caps } = own ?? all;
    const parent = parentOf(call.header('traceparent'));
    if (parent !== undefined) {
      const { traceId, spanId } = parent;
      const isSampled = isOn && parent.isSampled;
      const state = isSampled ? stateOf(call.header('tracestate')) : '';
      return new Trace({ traceId, parentId: spanId, state, isSampled, hasTensors: hasTensors === true, receivedAt });
    }
    if (!isOn || requestShare(call.requestId) >= share) return undefined;
    if (!this.#mayTake(own === undefined ? '' : model, caps)) return undefined;
    const traceId = this.#options.newId(16);
    return new Trace({
      traceId,
      parentId: '',
      state: '',
      isSampled: true,
      hasTensors: hasTensors === true,
      receivedAt,
    });
  };

  #mayTake(whose: string, caps: readonly number[] | undefined): boolean {
    const total = this.#sampled.get(whose) ?? 0;
    if (caps !== undefined && total >= (caps[this.#options.place] ?? 0)) return false;
    this.#sampled.set(whose, total + 1);
    return true;
  }

  /** What `caps` count. */
  sampled(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#sampled);
  }

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
