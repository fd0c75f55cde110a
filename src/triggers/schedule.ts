/**
 * Wakes whoever has something to do at a time of day: the next time is asked for, waited for, and then said to be there.
 *
 * It never waits longer than a minute at once, so that a clock that was set, or a machine that slept, costs a minute at most.
 *
 * Must not know what there is to do.
 */

export interface ScheduleOptions {
  /** Milliseconds since the epoch of what comes next; undefined = nothing does. */
  readonly nextMs: () => number | undefined;
  /** It is time. Called again as long as `nextMs` is not in the future. */
  readonly onTime: () => Promise<void>;
  /** It could not be done, and is tried again soon. */
  readonly onFault: (error: unknown) => void;
  readonly epochNow: () => number;
  readonly after: (delayMs: number, work: () => void) => () => void;
}

const waitMsMax = 60_000;
/** What could not be done is tried again so much later. */
const brokenMs = 5000;

export class Schedule {
  readonly #options: ScheduleOptions;
  #cancel: () => void = () => {};
  #isStopped = false;

  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#wait(0);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  #wait(leastMs: number): void {
    if (this.#isStopped) return;
    const { nextMs, epochNow, after } = this.#options;
    const inMs = (nextMs() ?? Number.POSITIVE_INFINITY) - epochNow();
    this.#cancel = after(Math.min(waitMsMax, Math.max(leastMs, 1, inMs)), () => void this.#look());
  }

  async #look(): Promise<void> {
    const { nextMs, epochNow, onTime, onFault } = this.#options;
    let leastMs = 0;
    try {
      if ((nextMs() ?? Number.POSITIVE_INFINITY) <= epochNow()) await onTime();
    } catch (error) {
      onFault(error);
      leastMs = brokenMs;
    }
    this.#wait(leastMs);
  }
}
