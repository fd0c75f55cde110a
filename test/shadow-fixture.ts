/**
 * Shadows without a gateway: a clock that is set, turns of the loop that are taken by hand, versions that answer when told.
 *
 * Must not know what is tested.
 */
import { GatewayError } from '../src/core/errors.js';
import { Cancellation, type InferenceReply, type InferenceRequest } from '../src/core/inference.js';
import type { Version } from '../src/core/model.js';
import { planOf, type ShadowPlan } from '../src/core/shadow-plan.js';
import type { ShadowOutcome, ShadowReport } from '../src/core/shadow-report.js';
import type { Tensor } from '../src/core/tensor.js';
import { Shadows } from '../src/shadow/shadows.js';
import { batchPolicy } from './batch-fixture.js';

export const scores = (...values: number[]): Tensor => ({
  name: 'y',
  datatype: 'FP32',
  shape: [1, values.length],
  data: Float32Array.from(values),
});

export function versionOf(version: string, infer: Version['infer'] = () => new Promise(() => {})): Version {
  const id = { model: 'm', version };
  return {
    id,
    signature: { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, -1] }], outputs: [] },
    batch: batchPolicy(),
    config: {} as Version['config'],
    labels: {},
    infer,
  };
}

export function replyOf(version: string, outputs: readonly Tensor[], inferMs = 1): InferenceReply {
  return {
    version: { model: 'm', version },
    outputs,
    timing: { queueMs: 0, inputMs: 0, inferMs, outputMs: 0, batchRows: 1 },
  };
}

export const primary = versionOf('1');

export function requestOf(id: string, changes: Partial<InferenceRequest> = {}): InferenceRequest {
  return {
    id,
    model: 'm',
    version: primary,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: Float32Array.of(1, 2, 3, 4) }],
    rows: 1,
    outputs: undefined,
    parameters: new Map(),
    priority: 0,
    timeoutMs: 0,
    receivedAt: 0,
    deadlineAt: 1000,
    cancellation: new Cancellation(),
    protocol: 'http',
    ...changes,
  };
}

type Said = Partial<Omit<ShadowPlan, 'compare'>> & { readonly compare?: Partial<ShadowPlan['compare']> };

export const shadowPlan = (said: Said = {}): ShadowPlan =>
  planOf({ route: 'm', name: 'candidate', version: { model: 'm', version: '2' }, ...said });

/** A call of the shadow's version that waits for its answer. */
export interface Pending {
  readonly request: InferenceRequest;
  answer(outputs: readonly Tensor[], inferMs?: number): void;
  fail(error: GatewayError): void;
}

export class Stage {
  readonly shadows: Shadows;
  readonly pending: Pending[] = [];
  /** Open versions by number. */
  readonly open = new Map<string, Version>();
  now = 0;
  loopLagMs = 0;
  #due: (() => void)[] = [];
  #moment: (() => void)[] = [];

  constructor(plans: readonly ShadowPlan[] = [shadowPlan()], heldBytesMax?: number) {
    for (const version of ['2', '3']) {
      this.open.set(
        version,
        versionOf(
          version,
          (request) =>
            new Promise((resolve, reject) => {
              this.pending.push({
                request,
                answer: (outputs, inferMs) => resolve(replyOf(version, outputs, inferMs)),
                fail: reject,
              });
            }),
        ),
      );
    }
    this.shadows = new Shadows({
      target: ({ version }) => this.open.get(version),
      now: () => this.now,
      loopLagMs: () => this.loopLagMs,
      later: (work) => this.#due.push(work),
      inAMoment: (work) => this.#moment.push(work),
      ...(heldBytesMax === undefined ? {} : { heldBytesMax }),
    });
    this.shadows.publish(plans);
  }

  /** Takes turns of the loop until nothing is due any more, moments included. */
  async turns(): Promise<void> {
    do {
      await this.turnsAtOnce();
      for (const work of this.#moment.splice(0)) work();
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#due.length > 0 || this.#moment.length > 0);
  }

  /** Takes turns of the loop, but no moment passes. */
  async turnsAtOnce(): Promise<void> {
    do {
      for (const work of this.#due.splice(0)) work();
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#due.length > 0);
  }

  /** A request that the primary answers at once. */
  send(id: string, outputs: readonly Tensor[] = [scores(0.9, 0.1)], changes: Partial<InferenceRequest> = {}): void {
    this.shadows.begin(requestOf(id, changes))?.end(replyOf('1', outputs));
  }

  get report(): ShadowReport {
    return this.shadows.reports('all')[0]!;
  }

  /** Outcomes that happened. */
  get outcomes(): Partial<Record<ShadowOutcome, number>> {
    return Object.fromEntries(Object.entries(this.report.outcomes).filter(([, count]) => count > 0));
  }

  gauge(name: string): number {
    return this.shadows.families().find((family) => family.name === name)?.series[0]?.value ?? Number.NaN;
  }
}

export const failure = (code: 'INTERNAL' | 'INVALID_ARGUMENT' | 'RESOURCE_EXHAUSTED' = 'INTERNAL') =>
  new GatewayError(code, 'no');
