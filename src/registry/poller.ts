/**
 * Asks one source again and again, and tells what it has: with jitter, later after every failure, never more than one question
 * at a time.
 *
 *   due ─▶ list ─┬ same    ─▶ nothing        hint ("poll now") ─▶ due at once, at most once a second
 *                ├ listing ─▶ onListing
 *                └ failure ─▶ onHealth once, back-off; the fifth in a row: rest
 *
 * A source over the network that rests is asked by its back-off alone: one question in each pause, whoever else wants to know
 * or to fetch meanwhile is told so at once. The first answer ends it.
 *
 * Must not know what is done with a listing.
 */
import { GatewayError } from '../core/errors.js';
import { Refusal } from './refusal.js';
import type { Listing, Source } from './source.js';

export interface SourceHealth {
  readonly name: string;
  readonly type: string;
  readonly isUp: boolean;
  /** Empty while it is up. */
  readonly reason: string;
  /** Milliseconds since 1970; undefined = never yet. */
  readonly lastSuccessAt: number | undefined;
}

export interface PollerOptions {
  readonly source: Source;
  /** 0 = only when told. */
  readonly intervalMs: number;
  readonly listTimeoutMs: number;
  readonly onListing: (listing: Listing) => void;
  /** Called when it goes up or down. */
  readonly onHealth: (health: SourceHealth) => void;
  /** What it says is not what it should be; told when it begins to be so. */
  readonly onRefusal: (refusal: Refusal) => void;
  readonly onPoll: (result: 'changed' | 'same' | 'failed') => void;
  readonly epochNow: () => number;
  /** Milliseconds of processor time that this process has used. */
  readonly cpuMs: () => number;
  readonly random: () => number;
}

const jitter = 0.2;
const backoffMsMax = 300_000;
/** Failures in a row after which a source rests. */
const restFailures = 5;
const hintGapMs = 1000;
/** A folder that takes long to list is listed so much less often: listing it is work of this machine. */
const restPerWork = 100;
/** On a busy machine the work of others is taken for the listing's; a new version must not wait for ever. */
const restIntervalsMax = 10;

export class Poller {
  readonly source: Source;
  readonly #options: PollerOptions;
  #timer: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;
  /** Begins when the question under way has been answered. */
  #next: Promise<void> | undefined;
  #askedAt = 0;
  #nextAt = 0;
  #isHinted = false;
  #isClosed = false;
  #failures = 0;
  #lastUsedMs = 0;
  #reason = '';
  #lastSuccessAt: number | undefined;
  /** Others stand in for it until it answers. */
  #isLate = false;
  #abort = new AbortController();

  constructor(options: PollerOptions) {
    this.source = options.source;
    this.#options = options;
  }

  get health(): SourceHealth {
    const { name, type } = this.source;
    const isUp = this.#failures === 0 && !this.#isLate;
    return { name, type, isUp, reason: this.#reason, lastSuccessAt: this.#lastSuccessAt };
  }

  /** Nobody waits for its first answer any longer: until it comes, the source counts as down. */
  late(): void {
    if (this.#polling === undefined || this.#failures > 0 || this.#lastSuccessAt !== undefined) return;
    this.#isLate = true;
    this.#reason = 'it has not answered yet';
    this.#options.onHealth(this.health);
  }

  /** Asks for the first time; whatever comes of it, the next question follows when it is due. */
  async start(): Promise<void> {
    await this.#poll();
  }

  /** @throws UNAVAILABLE while it rests */
  checkAwake(): void {
    if (!this.#isResting()) return;
    const { name } = this.source;
    throw new GatewayError(
      'UNAVAILABLE',
      `source '${name}' failed ${this.#failures} times in a row and is asked again in ${this.#untilNextS()} s: ${this.#reason}`,
    );
  }

  /** Something has changed, says somebody who need not be believed. */
  hint(): void {
    if (!this.#isResting()) this.wake();
  }

  /** An operator wants it asked, even though it rests. */
  wake(): void {
    // A hint that waits for its turn stands for all that come meanwhile; they must not put it off.
    if (this.#isHinted) return;
    this.#isHinted = true;
    if (this.#polling === undefined) this.#schedule(this.#hintGapMs());
  }

  /** Asks now: what was asked before may have been answered before. @throws why it could not be asked */
  async now(): Promise<void> {
    this.checkAwake();
    await (this.#polling === undefined ? this.#poll() : this.#pollAfter(this.#polling));
    if (this.#failures > 0)
      throw new GatewayError('UNAVAILABLE', `source '${this.source.name}' could not be asked: ${this.#reason}`);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#abort.abort();
    await this.source.close();
  }

  #pollAfter(polling: Promise<void>): Promise<void> {
    this.#next ??= polling.then(() => {
      this.#next = undefined;
      return this.#poll();
    });
    return this.#next;
  }

  #poll(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#polling ??= this.#ask();
    return this.#polling;
  }

  async #ask(): Promise<void> {
    clearTimeout(this.#timer);
    this.#abort = new AbortController();
    this.#askedAt = this.#options.epochNow();
    this.#isHinted = false;
    const cpuMs = this.#options.cpuMs();
    try {
      const listing = await this.#listed();
      this.#succeeded();
      this.#options.onPoll(listing === undefined ? 'same' : 'changed');
      if (listing !== undefined) this.#options.onListing(listing);
    } catch (error) {
      this.#failed(GatewayError.from(error));
    } finally {
      this.#polling = undefined;
      this.#schedule(this.#isHinted ? this.#hintGapMs() : this.#restMs(this.#options.cpuMs() - cpuMs));
    }
  }

  async #listed(): Promise<Listing | undefined> {
    const { listTimeoutMs } = this.#options;
    // Not AbortSignal.any of a timeout: nothing holds on to that timeout, and collected with the garbage it never comes.
    const timer = setTimeout(() => this.#abort.abort(), listTimeoutMs);
    try {
      return await this.source.list(this.#abort.signal);
    } catch (error) {
      if (!this.#abort.signal.aborted) throw error;
      throw new GatewayError('UNAVAILABLE', `it did not answer within ${listTimeoutMs} ms`);
    } finally {
      clearTimeout(timer);
    }
  }

  #succeeded(): void {
    const wasDown = this.#failures > 0 || this.#isLate;
    this.#isLate = false;
    this.#failures = 0;
    this.#reason = '';
    this.#lastSuccessAt = this.#options.epochNow();
    if (wasDown) this.#options.onHealth(this.health);
  }

  #failed(error: GatewayError): void {
    this.#options.onPoll('failed');
    this.#failures++;
    const isNews = this.#failures === 1 && !this.#isLate;
    if (error instanceof Refusal && this.#reason !== error.message) this.#options.onRefusal(error);
    this.#reason = error.message;
    if (isNews && !this.#isClosed) this.#options.onHealth(this.health);
  }

  /** A folder costs nobody anything, and what is never asked by itself would never wake. */
  #isResting(): boolean {
    const isAskedByItself = this.#options.intervalMs > 0 && this.source.type !== 'directory';
    return isAskedByItself && this.#failures >= restFailures;
  }

  #untilNextS(): number {
    return Math.max(1, Math.ceil((this.#nextAt - this.#options.epochNow()) / 1000));
  }

  /** Until a hint may be followed, whatever the clock has done since. */
  #hintGapMs(): number {
    const sinceMs = Math.max(0, this.#options.epochNow() - this.#askedAt);
    return Math.max(0, hintGapMs - sinceMs);
  }

  /** @param usedMs processor time while the source was asked: its own, and whatever else the process did meanwhile */
  #restMs(usedMs: number): number | undefined {
    const { intervalMs, random } = this.#options;
    // What else was done is there once; what listing costs is there each time.
    const workMs = Math.min(usedMs, this.#lastUsedMs);
    this.#lastUsedMs = usedMs;
    if (intervalMs === 0) return undefined;
    const backoffMs = Math.min(backoffMsMax, intervalMs * 2 ** Math.min(20, this.#failures));
    const costMs = this.source.type === 'directory' ? workMs * restPerWork : 0;
    const restMs = Math.min(costMs, intervalMs * restIntervalsMax);
    return Math.max(backoffMs, restMs) * (1 + jitter * (2 * random() - 1));
  }

  #schedule(afterMs: number | undefined): void {
    clearTimeout(this.#timer);
    if (afterMs === undefined || this.#isClosed) return;
    this.#nextAt = this.#options.epochNow() + afterMs;
    this.#timer = setTimeout(() => void this.#poll(), afterMs).unref();
  }
}
