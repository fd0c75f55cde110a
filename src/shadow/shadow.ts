/**
 * One shadow: the copies of requests that it was given, from the moment it agrees to one until both answers are compared.
 *
 *   reasonAgainst? ─▶ open ─▶ held ─ primary done ─▶ waiting ─ together ─▶ running ─▶ answered ─▶ compared, counted, forgotten
 *                       └──────── when: parallel ────────────────────▲
 *
 * Copies are started together, a moment later or when there are as many as may run: a hop to a thread and back costs callers
 * as much for one as for ten, and nobody waits for a shadow.
 *
 * Nobody waits for it, so everything happens `later`, never in the call that brings a copy, and everything has a limit: what
 * finds no room is counted by its reason and forgotten. A target that hangs costs its copies in flight and in the queue, and
 * from then on one refusal a request. Nothing is tried twice.
 *
 * Must not know routes or who answers the caller.
 */
import { GatewayError } from '../core/errors.js';
import { Cancellation, type InferenceReply, type InferenceRequest } from '../core/inference.js';
import type { Version } from '../core/model.js';
import { hashAfter, prefixOf, shareOf } from '../core/murmur3.js';
import type { ShadowPlan } from '../core/shadow-plan.js';
import type { ShadowOutcome, ShadowReport } from '../core/shadow-report.js';
import type { ShadowAnswer } from './answer.js';
import { Breaker } from './breaker.js';
import { answerOf, type Copy, requestOf } from './copy.js';
import { latencyOf, type Original } from './original.js';
import { Tally } from './tally.js';

export interface ShadowClock {
  readonly now: () => number;
  /** p99 of the recent delays of the event loop. */
  readonly loopLagMs: () => number;
  /** Runs the work in a later turn of the loop, after what is being answered now. */
  readonly later: (work: () => void) => void;
  /** The same after some ten milliseconds, while more comes together. */
  readonly inAMoment: (work: () => void) => void;
  /** Is told of every copy that ran. Must not throw, and keeps nothing of it. */
  readonly onAnswer?: ((answer: ShadowAnswer) => void) | undefined;
}

export interface ShadowOptions extends ShadowClock {
  readonly plan: ShadowPlan;
  /** The open version that is the shadow; undefined while it is not. */
  readonly target: () => Version | undefined;
}

/** When neither the plan nor the primary sets a time. */
const timeoutMsDefault = 60_000;
/**
 * Elements compared in one turn of the loop, at least one pair: a tenth of a millisecond, at 0.2 µs for all measures of one.
 * A request that comes meanwhile waits for so long.
 */
const elementsPerTurn = 500;
/** What a pair costs beside its elements, in elements. */
const elementsPerPair = 50;

export class Shadow {
  readonly plan: ShadowPlan;
  readonly #options: ShadowOptions;
  readonly #tally: Tally;
  readonly #breaker = new Breaker();
  readonly #sample: ReturnType<typeof prefixOf>;
  readonly #running = new Set<Copy>();
  #waiting: Copy[] = [];
  /** Both answers are there. */
  #answered: Copy[] = [];
  #isDue = false;
  #isStartDue = false;
  #isGathering = false;
  #isClosed = false;

  constructor(options: ShadowOptions) {
    this.plan = options.plan;
    this.#options = options;
    this.#tally = new Tally(options.plan);
    this.#sample = prefixOf(`shadow:${options.plan.sampleSalt}:`);
  }

  get inFlight(): number {
    return this.#running.size;
  }

  get depth(): number {
    return this.#waiting.length;
  }

  get isBreakerOpen(): boolean {
    return !this.#breaker.isClosed;
  }

  /** Whether a request would be copied for this shadow, before anything is spent on it. */
  reasonAgainst(request: InferenceRequest): ShadowOutcome | undefined {
    const { share, version, loopLagMsMax } = this.plan;
    if (share < 1 && shareOf(hashAfter(this.#sample, request.id)) >= share) return 'sampled_out';
    const { id } = request.version;
    if (id.version === version.version && id.model === version.model) return 'same_version';
    if (!this.#breaker.allows(this.#options.now())) return 'breaker';
    if (this.#isFull()) return 'queue_full';
    if (this.#options.loopLagMs() > loopLagMsMax) return 'loop_lag';
    return this.#options.target() === undefined ? 'not_ready' : undefined;
  }

  count(outcome: ShadowOutcome): void {
    this.#tally.count(outcome);
  }

  /** Takes part in a request that is about to run. Every copy is brought to its end by one call of `primaryDone`. */
  open(original: Original): Copy {
    original.use();
    const copy: Copy = {
      original,
      state: 'held',
      passage: 'refused',
      cancellation: undefined,
      timer: undefined,
      version: undefined,
      startedAt: 0,
      settledAt: 0,
      result: undefined,
    };
    if (this.plan.when === 'parallel') this.#enqueue(copy);
    return copy;
  }

  /** @param hasOutputs the answer of the primary could be kept */
  primaryDone(copy: Copy, hasOutputs: boolean): void {
    const { state, original } = copy;
    if (state === 'answered') this.#compareLater(copy);
    else if (state === 'held' || state === 'waiting') {
      if (original.isRefused) this.#forget(copy, 'primary_refused');
      else if (!hasOutputs) this.#forget(copy, 'bytes');
      else if (state === 'held') this.#enqueue(copy);
    }
  }

  #isFull(): boolean {
    const { inFlightMax, queueMax } = this.plan;
    return this.#waiting.length >= queueMax + Math.max(0, inFlightMax - this.#running.size);
  }

  #enqueue(copy: Copy): void {
    if (this.#isClosed) return this.#forget(copy, 'removed');
    if (this.#isFull()) return this.#forget(copy, 'queue_full');
    copy.state = 'waiting';
    this.#waiting.push(copy);
    this.#startSoon();
  }

  /** In the next turn when they are as many as may run, or meant to run beside the primary; otherwise when some have gathered. */
  #startSoon(): void {
    const { inFlightMax, when } = this.plan;
    if (when === 'parallel' || this.#running.size + this.#waiting.length >= inFlightMax) {
      this.#isStartDue = true;
      this.#soon();
    } else if (!this.#isGathering) {
      this.#isGathering = true;
      this.#options.inAMoment(() => {
        this.#isGathering = false;
        this.#startAll();
      });
    }
  }

  #soon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#options.later(() => {
      this.#isDue = false;
      this.#work();
    });
  }

  /** One turn: compares what is answered, as far as its time goes, then starts what is due. */
  #work(): void {
    let elements = 0;
    while (this.#answered.length > 0 && elements < elementsPerTurn) {
      const copy = this.#answered.shift()!;
      elements += elementsPerPair;
      for (const { data } of copy.original.outputs) elements += data.length;
      this.#conclude(copy);
    }
    if (this.#isStartDue) this.#startAll();
    if (this.#answered.length > 0) this.#soon();
  }

  #startAll(): void {
    this.#isStartDue = false;
    while (this.#waiting.length > 0 && this.#running.size < this.plan.inFlightMax) this.#start(this.#waiting.shift()!);
  }

  #start(copy: Copy): void {
    const { now, loopLagMs, target } = this.#options;
    if (loopLagMs() > this.plan.loopLagMsMax) return this.#forget(copy, 'loop_lag');
    const version = target();
    if (version === undefined) return this.#forget(copy, 'not_ready');
    copy.passage = this.#breaker.start(now());
    if (copy.passage === 'refused') return this.#forget(copy, 'breaker');
    const timeoutMs = this.#timeoutMsOf(copy.original);
    copy.state = 'running';
    copy.version = version;
    copy.startedAt = now();
    copy.cancellation = new Cancellation();
    copy.timer = setTimeout(() => this.#expire(copy), timeoutMs).unref();
    this.#running.add(copy);
    try {
      version.infer(requestOf(copy, version, copy.startedAt, timeoutMs)).then(
        (reply) => this.#settle(copy, reply),
        (thrown: unknown) => this.#settle(copy, GatewayError.from(thrown)),
      );
    } catch (thrown) {
      this.#settle(copy, GatewayError.from(thrown));
    }
  }

  #timeoutMsOf({ givenMs }: Original): number {
    if (this.plan.timeoutMs > 0) return this.plan.timeoutMs;
    return Number.isFinite(givenMs) ? 2 * givenMs : timeoutMsDefault;
  }

  /** The target may not know deadlines, or hang: the copy ends here, and what comes later is not looked at. */
  #expire(copy: Copy): void {
    this.#settle(copy, new GatewayError('DEADLINE_EXCEEDED', 'the shadow took too long', { reason: 'deadline' }));
    copy.cancellation?.cancel();
  }

  #settle(copy: Copy, result: InferenceReply | GatewayError): void {
    if (copy.state !== 'running') return;
    clearTimeout(copy.timer);
    copy.state = 'answered';
    copy.result = result;
    copy.settledAt = this.#options.now();
    // A request that fails for the primary in the same way is no failure of the shadow.
    const isFailure = result instanceof GatewayError && result.code !== copy.original.code;
    this.#breaker.add(copy.passage, isFailure, copy.settledAt);
    if (copy.original.code !== undefined) this.#compareLater(copy);
  }

  #compareLater(copy: Copy): void {
    this.#answered.push(copy);
    this.#soon();
  }

  #conclude(copy: Copy): void {
    const { original, result } = copy;
    this.#options.onAnswer?.(answerOf(copy, this.plan.name));
    if (result instanceof GatewayError) {
      if (!original.isRefused && result.code !== original.code) this.#tally.countStatusMismatch();
      return this.#forget(copy, result.code === 'DEADLINE_EXCEEDED' ? 'timeout' : 'error');
    }
    if (original.code !== 'OK' && !original.isRefused) this.#tally.countStatusMismatch();
    if (original.outputs.length > 0) {
      this.#tally.add({
        requestId: original.id,
        primary: original.outputs,
        shadow: result!.outputs,
        rows: original.rows,
        latencyMs: latencyOf(result!.timing) - original.latencyMs,
      });
    }
    this.#forget(copy, 'ok');
  }

  #forget(copy: Copy, outcome: ShadowOutcome): void {
    if (copy.state === 'over') return;
    const at = copy.state === 'waiting' ? this.#waiting.indexOf(copy) : -1;
    if (at >= 0) this.#waiting.splice(at, 1);
    copy.state = 'over';
    copy.result = undefined;
    this.#running.delete(copy);
    this.#tally.count(outcome);
    copy.original.release();
    if (this.#waiting.length > 0) this.#startSoon();
  }

  /** Gives up everything that is not compared yet; the counts stay. */
  close(): void {
    this.#isClosed = true;
    for (const copy of [...this.#waiting, ...this.#running]) {
      clearTimeout(copy.timer);
      this.#forget(copy, 'removed');
      copy.cancellation?.cancel();
    }
    this.#answered = [];
  }

  report(examples: 'all' | 'none'): ShadowReport {
    return this.#tally.report(examples);
  }
}
