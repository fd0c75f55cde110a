/**
 * A request's place in a trace (W3C trace context), and when it passed the points that only its front-end sees.
 *
 * A request that is neither sampled nor part of its caller's trace has no such object. Whoever fills in a time does so when
 * `isSampled` only: the spans are made of these times and of the request's event after it is answered.
 *
 * Must not know how spans are sent.
 */

import type { Tensor } from './tensor.js';

/** Who is sampled. */
export interface TraceTerms {
  /** Nobody is while it is not, whatever the caller says. */
  readonly isOn: boolean;
  /** Of requests that bring no trace, this part is. */
  readonly share: number;
  /** Spans tell names and shapes of tensors. */
  readonly hasTensors?: boolean;
  /** Of each process: how many it may have sampled by the share since its start; undefined = no limit. */
  readonly caps?: readonly number[] | undefined;
}

export interface TracePlan {
  readonly all: TraceTerms;
  /** Of models that have their own. */
  readonly ofModels: ReadonlyMap<string, TraceTerms>;
}

export interface TraceContext {
  /** 32 lower-case hexadecimal digits. */
  readonly traceId: string;
  /** The caller's span, 16 digits; empty = none. */
  readonly parentId: string;
  /** `tracestate` as it came; empty = none. */
  readonly state: string;
  /** Spans are made of it. */
  readonly isSampled: boolean;
  readonly hasTensors?: boolean;
  readonly receivedAt: number;
}

/** What is told of a request's tensors is cut to this length. */
const tensorsTextMax = 1000;

/** Times are on the clock of `DataPlane.now`; 0 = that point was not reached. */
export class Trace implements TraceContext {
  readonly traceId: string;
  readonly parentId: string;
  readonly state: string;
  readonly isSampled: boolean;
  readonly hasTensors: boolean;
  readonly receivedAt: number;
  /** The request was read as far as the choice of its version needs. */
  routeAt = 0;
  routedAt = 0;
  /** Its inputs are tensors of the model. */
  parsedAt = 0;
  encodeAt = 0;
  encodedAt = 0;
  /** Names, types and shapes, never data; empty = not asked for. */
  inputs = '';
  outputs = '';

  constructor({ traceId, parentId, state, isSampled, hasTensors = false, receivedAt }: TraceContext) {
    this.traceId = traceId;
    this.parentId = parentId;
    this.state = state;
    this.isSampled = isSampled;
    this.hasTensors = hasTensors;
    this.receivedAt = receivedAt;
  }

  parsed(inputs: readonly Tensor[], at: number): void {
    this.parsedAt = at;
    if (this.hasTensors) this.inputs = tensorsText(inputs);
  }

  encodes(outputs: readonly Tensor[], at: number): void {
    this.encodeAt = at;
    if (this.hasTensors) this.outputs = tensorsText(outputs);
  }
}

function tensorsText(tensors: readonly Tensor[]): string {
  const text = tensors.map(({ name, datatype, shape }) => `${name} ${datatype}[${shape.join()}]`).join(', ');
  return text.length <= tensorsTextMax ? text : `${text.slice(0, tensorsTextMax - 1)}…`;
}
