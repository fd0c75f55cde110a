/**
 * PART OF THE ROOT: the watch after a swap. For its first minute a version that took over is compared with the last minute of
 * the one before, at every beat of every process; when the guard's rule says so, the one before is put back.
 *
 *   swapped() ─▶ watched ─ put(), blamed() ─▶ verdict ─▶ putBack()          its time is over, something else answers ─▶ forgotten
 *
 * Must not know the rule, or how a version is put back.
 */
import { nameOf, type VersionId } from '../core/model.js';
import type { Family } from '../core/series.js';
import type { Traffic } from '../monitor/breach.js';
import { type GuardVerdict, guardVerdict } from '../monitor/guard.js';
import { TrafficHistory, trafficAfter } from './traffic-history.js';

/** A version that took the place of another. */
export interface Swap {
  readonly model: string;
  readonly version: string;
  readonly previous: string;
}

export interface GuardWatchOptions {
  /** How long after a swap; 0 = not at all. */
  readonly watchMs: number;
  readonly putBack: (swap: Swap, verdict: GuardVerdict) => Promise<void>;
  /** A version that was to be put back and could not be. */
  readonly report: (what: string, error: unknown) => void;
  readonly now: () => number;
}

interface Watched extends Swap {
  readonly at: number;
  /** The last minute of the one before. */
  readonly before: Traffic;
  /** What the new one had answered when it took over. */
  readonly begun: Traffic;
}

export class GuardWatch {
  readonly #options: GuardWatchOptions;
  readonly #history: TrafficHistory;
  /** By model. */
  readonly #watched = new Map<string, Watched>();

  constructor(options: GuardWatchOptions) {
    this.#options = options;
    this.#history = new TrafficHistory(options.now);
  }

  /** The latest counts of a process. */
  put(life: string, families: readonly Family[]): void {
    if (this.#options.watchMs === 0) return;
    this.#history.put(life, families);
    for (const watched of this.#watched.values()) this.#judge(watched, null);
  }

  end(life: string): void {
    this.#history.end(life);
  }

  swapped(swap: Swap): void {
    const { watchMs, now } = this.#options;
    if (watchMs === 0) return;
    const { model, version, previous } = swap;
    this.#watched.set(model, {
      ...swap,
      at: now(),
      before: this.#history.lastMinuteOf({ model, version: previous }),
      begun: this.#history.of({ model, version }),
    });
  }

  /** Something else has been decided about this model. */
  forget(model: string): void {
    this.#watched.delete(model);
  }

  /** A process died while it ran this version. */
  blamed({ model, version }: VersionId, reason: 'crashed' | 'hung'): void {
    const watched = this.#watched.get(model);
    if (watched?.version === version) this.#judge(watched, reason);
  }

  #judge(watched: Watched, blamed: 'crashed' | 'hung' | null): void {
    const { watchMs, now, putBack, report } = this.#options;
    const { model, version, at, before, begun } = watched;
    const sinceSwapMs = now() - at;
    if (sinceSwapMs > watchMs) return this.forget(model);
    const after = trafficAfter(this.#history.of({ model, version }), begun);
    const verdict = guardVerdict({ sinceSwapMs, before, after, blamed });
    if (!verdict.isRollback) return;
    this.forget(model);
    void putBack(watched, verdict).catch((error: unknown) => report(`put ${nameOf(watched)} back`, error));
  }
}
