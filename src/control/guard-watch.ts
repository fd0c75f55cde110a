/**
 * PART OF THE ROOT: the watch after a swap. For its first minute a version that took over is compared with the last minute of
 * the one before, at every beat of every process; when the guard's rule says so, the one before is put back.
 *
 *   swapped() ─▶ watched ─ put(), blamed() ─▶ verdict ─▶ putBack()          its time is over, something else answers ─▶ forgotten
 *
 * What is watched is kept on disk, so that a restart within the minute takes the rest of it up: the counts of the new version
 * begin anew with the processes, those of the one before are the kept ones.
 *
 * Must not know the rule, or how a version is put back.
 */
import { nameOf, type VersionId } from '../core/model.js';
import type { Family } from '../core/series.js';
import { firstWindow, type GuardVerdict, type GuardWindows, guardVerdict } from '../monitor/guard.js';
import { nothingServed, type Served, servedSince } from '../monitor/served.js';
import { TrafficHistory } from './traffic-history.js';

/** A version that took the place of another. */
export interface Swap {
  readonly model: string;
  readonly version: string;
  readonly previous: string;
}

/** A watch as it is kept, by model. */
export type KeptWatches = Readonly<
  Record<
    string,
    {
      readonly version: string;
      readonly previous: string;
      /** Milliseconds since 1970. */
      readonly swappedAt: number;
      readonly before: Served;
    }
  >
>;

export interface GuardWatchOptions {
  /** How long after a swap; 0 = not at all. */
  readonly watchMs: number;
  readonly putBack: (swap: Swap, verdict: GuardVerdict) => Promise<void>;
  readonly remember: (watches: KeptWatches) => Promise<void>;
  readonly remembered: KeptWatches;
  /** A version that was to be put back, or a watch that was to be kept, and could not be. */
  readonly report: (what: string, error: unknown) => void;
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly epochNow: () => number;
}

interface Watched extends Swap {
  readonly at: number;
  readonly swappedAt: number;
  /** The last minute of the one before. */
  readonly before: Served;
  /** What the new one had answered when it took over. */
  readonly begun: Served;
  windows: GuardWindows;
}

export class GuardWatch {
  readonly #options: GuardWatchOptions;
  readonly #history: TrafficHistory;
  /** By model. */
  readonly #watched = new Map<string, Watched>();
  #saving: Promise<void> = Promise.resolve();
  #isSaveDue = false;

  constructor(options: GuardWatchOptions) {
    this.#options = options;
    this.#history = new TrafficHistory(options.now);
    if (options.watchMs > 0) this.#resume();
  }

  /** A clock that was set back since makes a watch longer, but never longer than a new one. */
  #resume(): void {
    const { remembered, watchMs, now, epochNow } = this.#options;
    for (const [model, kept] of Object.entries(remembered)) {
      const sinceSwapMs = Math.max(0, epochNow() - kept.swappedAt);
      if (sinceSwapMs > watchMs) continue;
      const windows = firstWindow(sinceSwapMs);
      this.#watched.set(model, { model, ...kept, at: now() - sinceSwapMs, begun: nothingServed, windows });
    }
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
    const { watchMs, now, epochNow } = this.#options;
    if (watchMs === 0) return;
    const { model, version, previous } = swap;
    this.#watched.set(model, {
      ...swap,
      at: now(),
      swappedAt: epochNow(),
      before: this.#history.lastMinuteOf({ model, version: previous }),
      begun: this.#history.of({ model, version }),
      windows: firstWindow(0),
    });
    this.#save();
  }

  /** This version answers, and did not take the place of another: after a start, or opened only now. */
  answers(model: string, version: string | undefined): void {
    if (this.#watched.get(model)?.version !== version) this.forget(model);
  }

  /** Something else has been decided about this model. */
  forget(model: string): void {
    if (this.#watched.delete(model)) this.#save();
  }

  /** Resolves when what is watched is kept. */
  saved(): Promise<void> {
    return this.#saving;
  }

  /** Many changes at once are one write of the last of them. */
  #save(): void {
    if (this.#isSaveDue) return;
    this.#isSaveDue = true;
    const { remember, report } = this.#options;
    this.#saving = this.#saving.then(() => {
      this.#isSaveDue = false;
      return remember(this.#kept()).catch((error: unknown) => report('keep which versions are watched', error));
    });
  }

  #kept(): KeptWatches {
    const kept: Record<string, KeptWatches[string]> = {};
    for (const [model, { version, previous, swappedAt, before }] of this.#watched)
      kept[model] = { version, previous, swappedAt, before };
    return kept;
  }

  /** A process died while it ran this version. */
  blamed({ model, version }: VersionId, reason: 'crashed' | 'hung'): void {
    const watched = this.#watched.get(model);
    if (watched?.version === version) this.#judge(watched, reason);
  }

  #judge(watched: Watched, blamed: 'crashed' | 'hung' | null): void {
    const { watchMs, now, putBack, report } = this.#options;
    const { model, version, at, before, begun, windows } = watched;
    const sinceSwapMs = now() - at;
    if (sinceSwapMs > watchMs) return this.forget(model);
    const after = servedSince(this.#history.of({ model, version }), begun);
    const verdict = guardVerdict({ sinceSwapMs, before, after, windows, blamed });
    watched.windows = verdict.windows;
    if (!verdict.isRollback) return;
    this.forget(model);
    void putBack(watched, verdict).catch((error: unknown) => report(`put ${nameOf(watched)} back`, error));
  }
}
