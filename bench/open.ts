/**
 * The open loop: requests are due at times that were decided before, whatever the server does.
 *
 *   schedule ─ due ─▶ a free connection ─ send ─▶ server          latency = answered − due
 *                 └─▶ none free: it waits here, and the wait counts
 *
 * Latency counts from the time a request was due, not from the time it was sent. A server that stalls for a second therefore
 * shows that second in every request that was due within it, as its users would see it; a loop that waits for answers would
 * have sent none of them (coordinated omission).
 *
 * What waits here is a number, not a list: the next due time. So a server that is far too slow costs no memory.
 *
 * Must not know protocols, windows or reports.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Caller, CallerFactory } from './caller.js';
import { type Load, sweepOverdue } from './load.js';
import type { Meter } from './meter.js';

export interface OpenOptions {
  /** Most requests in flight. */
  readonly connections: number;
  /** Milliseconds from one arrival to the next. */
  readonly gapMs: () => number;
  readonly timeoutMs: number;
  readonly meter: Meter;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Opened before the first arrival; the others when they are needed. */
const openAtStart = 16;
/** A timer comes up to this late; what is due sooner is waited for turn by turn. */
const timerGrainMs = 2;
/** After the end, how long requests that were due may still be answered. */
const drainMsMax = 5000;
/** Counted one by one; more than this is a server that is far too slow, whatever the number. */
const unansweredMax = 1_000_000;

export function openLoad(openCaller: CallerFactory, requestCount: number, options: OpenOptions): Load {
  return new OpenLoop(openCaller, requestCount, options);
}

class OpenLoop implements Load {
  readonly #options: OpenOptions;
  readonly #openCaller: CallerFactory;
  readonly #requestCount: number;
  readonly #callers: Caller[] = [];
  /** Ready when they were put here; the last one in is the first one out. */
  readonly #free: Caller[] = [];
  readonly #stopSweeping: () => void;
  #index = 0;
  #dueAt: number;
  /** Connections asked for that are not there yet. */
  #opening = 0;
  /** No request is due after this. */
  #endAt = Number.POSITIVE_INFINITY;
  #isOver = false;
  #timer: NodeJS.Timeout | undefined;
  #turn: NodeJS.Immediate | undefined;

  constructor(openCaller: CallerFactory, requestCount: number, options: OpenOptions) {
    this.#options = options;
    this.#openCaller = openCaller;
    this.#requestCount = requestCount;
    this.#dueAt = options.now() + options.gapMs();
    for (let open = 0; open < Math.min(openAtStart, options.connections); open++) this.#addCaller();
    this.#stopSweeping = sweepOverdue(this.#callers, options);
    this.#wait();
  }

  #addCaller(): void {
    this.#opening++;
    const { meter, now } = this.#options;
    const caller = this.#openCaller({
      ready: (ready) => {
        if (this.#opening > 0) this.#opening--;
        this.#free.push(ready);
        this.#pump();
      },
      answered: (answered, code) => {
        if (this.#isOver) return;
        const at = now();
        const latencyUs = (at - answered.dueAt) * 1000;
        if (code !== '') meter.refuse(code, latencyUs, at);
        else if (at > this.#endAt) meter.lateAnswer(latencyUs, at);
        else meter.answer(latencyUs, at);
        if (!answered.isReady) return;
        this.#free.push(answered);
        // Only what waits already is sent from here; the rest has its own time.
        if (this.#dueAt <= at) this.#pump();
      },
      lost: (_, code) => this.#lose(code),
      failed: (code) => this.#lose(code),
    });
    this.#callers.push(caller);
    caller.open();
  }

  #lose(code: string): void {
    if (!this.#isOver) this.#options.meter.lose(code);
  }

  /** Sends everything that is due, as far as connections go. */
  #pump(): void {
    if (this.#isOver) return;
    const { now, gapMs, meter, connections } = this.#options;
    let at = now();
    while (this.#dueAt <= at && this.#dueAt <= this.#endAt) {
      const caller = this.#takeFree();
      if (caller === undefined) {
        if (this.#opening === 0 && this.#callers.length < connections) this.#addMore();
        return;
      }
      caller.dueAt = this.#dueAt;
      caller.sentAt = at;
      meter.sentLate((at - this.#dueAt) * 1000);
      caller.send(this.#index);
      this.#index = (this.#index + 1) % this.#requestCount;
      this.#dueAt += gapMs();
      at = now();
    }
  }

  /** As many again as there are, so that a burst is soon met. */
  #addMore(): void {
    const wanted = Math.min(this.#options.connections, this.#callers.length * 2);
    while (this.#callers.length < wanted) this.#addCaller();
  }

  #takeFree(): Caller | undefined {
    for (;;) {
      const caller = this.#free.pop();
      if (caller === undefined || (caller.isReady && !caller.isBusy)) return caller;
    }
  }

  /** Sleeps while there is time, then looks every turn of the event loop: a timer alone would add a millisecond to each. */
  #wait(): void {
    if (this.#isOver) return;
    const untilDueMs = this.#dueAt - this.#options.now();
    if (untilDueMs > timerGrainMs) {
      this.#timer = setTimeout(() => this.#look(), Math.min(untilDueMs - timerGrainMs + 1, 1000));
    } else if (untilDueMs > 0 || this.#free.length > 0) {
      this.#turn = setImmediate(() => this.#look());
    } else {
      // Everything is in flight: an answer will pump, this is for the case that none comes.
      this.#timer = setTimeout(() => this.#look(), 1);
    }
  }

  #look(): void {
    this.#pump();
    this.#wait();
  }

  #isDone(): boolean {
    return this.#dueAt > this.#endAt && !this.#callers.some(({ isBusy }) => isBusy);
  }

  async stop(): Promise<void> {
    const { now, gapMs, meter, timeoutMs } = this.#options;
    this.#endAt = now();
    const giveUpAt = this.#endAt + Math.min(drainMsMax, timeoutMs);
    while (!this.#isDone() && now() < giveUpAt) await sleep(1);
    let unanswered = this.#callers.filter(({ isBusy }) => isBusy).length;
    for (; this.#dueAt <= this.#endAt && unanswered < unansweredMax; this.#dueAt += gapMs()) unanswered++;
    meter.lose('unanswered', unanswered);
    this.#isOver = true;
    this.#stopSweeping();
    clearTimeout(this.#timer);
    clearImmediate(this.#turn);
    for (const caller of this.#callers) caller.close();
  }
}
