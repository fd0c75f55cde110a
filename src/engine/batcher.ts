/**
 * One queue in front of one version.
 *
 *   infer() → [ waiting, by level and shape ] → cut → run(batch) → each caller's promise
 *
 * A batch is cut when a lane is free, not when it is full: a lone request on an idle process goes at once, and while every
 * lane is busy, requests gather here and the next batch is larger by itself. The queue is looked at once a loop turn, so
 * that requests read from sockets together go together. Nothing may queue further down, or deadlines and cancellation would
 * be decided in two places.
 *
 * Must not know tensors, threads, routes or protocols: it is given `run`, `now` and the lanes as numbers.
 */
import { GatewayError } from '../core/errors.js';
import type { InferenceReply, InferenceRequest } from '../core/inference.js';
import type { BatchPolicy, QueuePolicy } from '../core/model.js';
import type { Claimant, Cores, Rank } from './cores.js';
import { Entry, type Queue } from './entry.js';
import type { Turns } from './turns.js';

export type LaneKind = 'inline' | 'thread';

export interface BatcherOptions {
  readonly policy: BatchPolicy;
  readonly rank: Rank;
  readonly cores: Cores;
  /** Runs on threads at the same time. */
  readonly threads: number;
  readonly now: () => number;
  /** Most rows of `bucket` that may run inline; 0 = none. */
  readonly inlineRowsMax: number;
  /** Runs a batch and answers every entry of it; never rejects. */
  readonly run: (batch: readonly Entry[], lane: LaneKind) => void | Promise<void>;
  /** Waiting this long makes a request more urgent by one level. */
  readonly priorityAgingMs: number;
  /** How tenants share the queue; undefined = first come, first served. */
  readonly turns?: Turns | undefined;
}

export interface QueueView {
  readonly rows: number;
  readonly oldestMs: number;
  readonly rowsMax: number;
  readonly preferredRows: readonly number[];
  readonly delayUs: number;
}

/** Microseconds still to wait before a batch is cut; 0 = now. Pure, so that the policy is tested without a clock. */
export function waitUs(queue: QueueView): number {
  if (queue.delayUs === 0 || queue.rows >= queue.rowsMax) return 0;
  const largest = Math.max(0, ...queue.preferredRows);
  if (largest > 0 && queue.rows >= largest) return 0;
  return Math.max(0, queue.delayUs - queue.oldestMs * 1000);
}

/** A timer fires up to a millisecond late, so a shorter wait looks again every loop turn. */
const timerGrainUs = 1000;

export class Batcher implements Queue {
  readonly #options: BatcherOptions;
  readonly #claimant: Claimant;
  #waiting: Entry[] = [];
  /** Batches on threads; their callers still have deadlines. */
  readonly #running = new Set<readonly Entry[]>();
  readonly #countOf = new Map<number, number>();
  #isLookDue = false;
  #lookTimer: NodeJS.Timeout | undefined;
  #expiryTimer: NodeJS.Timeout | undefined;
  #expiryAt = Number.POSITIVE_INFINITY;
  #onIdle: (() => void) | undefined;

  constructor(options: BatcherOptions) {
    this.#options = options;
    this.#claimant = { rank: options.rank, start: () => this.#startOnThread() };
  }

  get depth(): number {
    return this.#waiting.length;
  }

  get inFlight(): number {
    let count = this.#waiting.length;
    for (const batch of this.#running) count += batch.length;
    return count;
  }

  /**
   * Queues a request.
   * @returns its reply; rejects with RESOURCE_EXHAUSTED when the queue is full, DEADLINE_EXCEEDED, CANCELLED or the run's error
   */
  infer(request: InferenceRequest, bucket: string | undefined): Promise<InferenceReply> {
    const at = this.#options.now();
    const refusal = this.#refusalOf(request, at);
    return refusal === undefined ? this.#queue(request, bucket, at).reply : Promise.reject(refusal);
  }

  /** @see Queue */
  leave(entry: Entry): void {
    this.#abandon(entry, cancelled());
  }

  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void> {
    if (this.inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #policyOf(level: number): QueuePolicy {
    return this.#options.policy.levels[level] ?? this.#options.policy.queue;
  }

  #levelOf(request: InferenceRequest): number {
    const { priorityLevels, defaultPriority } = this.#options.policy;
    return request.priority === 0 || request.priority > priorityLevels ? defaultPriority : request.priority;
  }

  #refusalOf(request: InferenceRequest, at: number): GatewayError | undefined {
    if (request.cancellation.isCancelled) return cancelled();
    if (request.deadlineAt <= at) return expired();
    const level = this.#levelOf(request);
    if ((this.#countOf.get(level) ?? 0) < this.#policyOf(level).sizeMax) return undefined;
    return new GatewayError('RESOURCE_EXHAUSTED', 'Exceeds maximum queue size', {
      reason: 'queue_full',
      retryAfterMs: 1000,
    });
  }

  #queue(request: InferenceRequest, bucket: string | undefined, queuedAt: number): Entry {
    const level = this.#levelOf(request);
    const policy = this.#policyOf(level);
    let timeoutMs = policy.timeoutMs === 0 ? Number.POSITIVE_INFINITY : policy.timeoutMs;
    if (policy.allowTimeoutOverride && request.timeoutMs > 0) timeoutMs = Math.min(timeoutMs, request.timeoutMs);
    const expiresAt = Math.min(queuedAt + timeoutMs, request.deadlineAt);
    const entry = new Entry(this, request, bucket, { level, queuedAt, expiresAt });
    this.#waiting.push(entry);
    this.#countOf.set(level, (this.#countOf.get(level) ?? 0) + 1);
    this.#lookSoon();
    return entry;
  }

  #lookSoon(): void {
    if (this.#isLookDue) return;
    this.#isLookDue = true;
    setImmediate(() => {
      this.#isLookDue = false;
      this.#look();
    });
  }

  /** Cuts as many batches as there are lanes, then sees to it that what is left is looked at again. */
  #look(): void {
    while (this.#waiting.length > 0) {
      const head = this.#head();
      const delayUs = this.#waitUs(head);
      if (delayUs > 0) {
        this.#lookLater(delayUs);
        break;
      }
      if (!this.#isInline(head)) {
        if (this.#running.size < this.#options.threads) this.#options.cores.want(this.#claimant);
        break;
      }
      void this.#options.run(this.#cut(head, this.#options.inlineRowsMax), 'inline');
      // One inline run a turn: sockets are read in between, and what they bring joins the next batch.
      if (this.#waiting.length > 0) this.#lookSoon();
      break;
    }
    if (this.#waiting.length > 0) this.#watchExpiry();
    this.#tellIdle();
  }

  /** @see Claimant.start: one batch of those that may not run inline. */
  #startOnThread(): boolean {
    const head = this.#waiting.length > 0 ? this.#head() : undefined;
    if (head === undefined || this.#running.size >= this.#options.threads || this.#waitUs(head) > 0) return false;
    const batch = this.#cut(head, Math.max(this.#options.policy.rowsMax, 1));
    this.#running.add(batch);
    this.#watchExpiry();
    void Promise.resolve(this.#options.run(batch, 'thread')).then(() => {
      this.#running.delete(batch);
      this.#options.cores.release(this.#options.rank);
      this.#look();
    });
    if (this.#waiting.length > 0 && this.#running.size < this.#options.threads)
      this.#options.cores.want(this.#claimant);
    return true;
  }

  #isInline(head: Entry): boolean {
    // Without an inline lane a request of no rows must not slip through as small enough.
    const { inlineRowsMax } = this.#options;
    return inlineRowsMax > 0 && head.rows <= inlineRowsMax;
  }

  /** Who goes next: the most urgent level, ageing included, then whose turn it is, then the oldest. */
  #head(): Entry {
    const { policy, priorityAgingMs, now, turns } = this.#options;
    let best = this.#waiting[0]!;
    if (policy.priorityLevels === 0 && !best.isDelayed)
      return turns === undefined ? best : turns.next(this.#waiting, 1)[0]!;
    const at = now();
    const urgencyOf = (entry: Entry) =>
      entry.isDelayed ? Number.MAX_VALUE : entry.level - Math.floor((at - entry.queuedAt) / priorityAgingMs);
    for (const entry of this.#waiting) if (urgencyOf(entry) < urgencyOf(best)) best = entry;
    return best;
  }

  #waitUs(head: Entry): number {
    const { policy, now } = this.#options;
    if (policy.delayUs === 0 || head.bucket === undefined) return 0;
    let rows = 0;
    for (const entry of this.#waiting) if (entry.bucket === head.bucket) rows += entry.rows;
    const { rowsMax, preferredRows, delayUs } = policy;
    return waitUs({ rows, oldestMs: now() - head.queuedAt, rowsMax, preferredRows, delayUs });
  }

  /** Takes the head and what may run with it out of the queue: its bucket, its level or better, in order of arrival. */
  #cut(head: Entry, rowsMax: number): Entry[] {
    const batch: Entry[] = [head];
    if (head.bucket !== undefined) {
      const limit = this.#preferred(head, rowsMax);
      let rows = head.rows;
      for (const entry of this.#inTurn(head, limit)) {
        if (entry === head || entry.bucket !== head.bucket || rows + entry.rows > limit) continue;
        batch.push(entry);
        rows += entry.rows;
      }
    }
    this.#options.turns?.took(batch, this.#waiting);
    if (batch.length === this.#waiting.length) this.#waiting = [];
    else {
      const taken = new Set(batch);
      this.#waiting = this.#waiting.filter((entry) => !taken.has(entry));
    }
    for (const entry of batch) this.#countOf.set(entry.level, this.#countOf.get(entry.level)! - 1);
    return batch;
  }

  /** Who may join the head, in the order of their turns. */
  #inTurn({ bucket }: Entry, rowsMax: number): readonly Entry[] {
    const { turns } = this.#options;
    if (turns === undefined) return this.#waiting;
    return turns.next(
      this.#waiting.filter((entry) => entry.bucket === bucket),
      rowsMax,
    );
  }

  /** The largest preferred size that the waiting rows fill, else the maximum. */
  #preferred(head: Entry, rowsMax: number): number {
    const { preferredRows } = this.#options.policy;
    if (preferredRows.length === 0) return rowsMax;
    let rows = 0;
    for (const entry of this.#waiting) if (entry.bucket === head.bucket) rows += entry.rows;
    const filled = preferredRows.filter((size) => size <= rows && size <= rowsMax);
    return filled.length === 0 ? rowsMax : Math.max(...filled);
  }

  #lookLater(delayUs: number): void {
    if (delayUs < timerGrainUs) return this.#lookSoon();
    if (this.#lookTimer !== undefined) return;
    this.#lookTimer = setTimeout(() => {
      this.#lookTimer = undefined;
      this.#look();
    }, delayUs / 1000);
  }

  /** Arms one timer for the earliest deadline of everything unanswered. */
  #watchExpiry(): void {
    let next = Number.POSITIVE_INFINITY;
    for (const entry of this.#waiting) next = Math.min(next, entry.expiresAt);
    for (const batch of this.#running) {
      for (const entry of batch) if (!entry.isDone) next = Math.min(next, entry.request.deadlineAt);
    }
    if (next >= this.#expiryAt || next === Number.POSITIVE_INFINITY) return;
    clearTimeout(this.#expiryTimer);
    this.#expiryAt = next;
    const delayMs = Math.min(Math.max(0, next - this.#options.now()), 2 ** 31 - 1);
    this.#expiryTimer = setTimeout(() => this.#expire(), delayMs);
  }

  #expire(): void {
    this.#expiryAt = Number.POSITIVE_INFINITY;
    // A timer may fire a fraction of a millisecond early by this clock; an entry that close is due.
    const at = this.#options.now() + 1;
    for (const entry of this.#waiting.filter(({ expiresAt }) => expiresAt <= at)) {
      if (this.#policyOf(entry.level).timeoutAction === 'DELAY' && entry.request.deadlineAt > at) {
        entry.isDelayed = true;
        entry.expiresAt = entry.request.deadlineAt;
        this.#waiting.push(this.#waiting.splice(this.#waiting.indexOf(entry), 1)[0]!);
      } else this.#abandon(entry, expired());
    }
    for (const batch of this.#running) {
      for (const entry of batch) if (!entry.isDone && entry.request.deadlineAt <= at) this.#abandon(entry, expired());
    }
    this.#watchExpiry();
    this.#tellIdle();
  }

  /** Answers somebody who will not get a result; takes him out of the queue when he is still in it. */
  #abandon(entry: Entry, error: GatewayError): void {
    if (entry.isDone) return;
    const at = this.#waiting.indexOf(entry);
    if (at >= 0) {
      this.#waiting.splice(at, 1);
      this.#countOf.set(entry.level, this.#countOf.get(entry.level)! - 1);
      this.#tellIdle();
    }
    entry.refuse(error);
  }

  #tellIdle(): void {
    if (this.#onIdle === undefined || this.inFlight > 0) return;
    clearTimeout(this.#expiryTimer);
    clearTimeout(this.#lookTimer);
    this.#options.cores.forget(this.#claimant);
    this.#onIdle();
    this.#onIdle = undefined;
  }
}

function expired(): GatewayError {
  return new GatewayError('DEADLINE_EXCEEDED', 'Request timeout expired', { reason: 'deadline' });
}

function cancelled(): GatewayError {
  return new GatewayError('CANCELLED', 'request was cancelled by its caller', { reason: 'cancelled' });
}
