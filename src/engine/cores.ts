/**
 * Permits for runs on threads, for all versions of a process together.
 *
 *   batcher A ─┐                      ┌─▶ permit ─▶ cut a batch and run it
 *   batcher B ─┼─ want() ─▶ waiting ──┤
 *   batcher C ─┘      by rank, then   └─▶ … one for each core
 *                     round robin
 *
 * Without it every version would start as many runs as it has threads and the cores would be shared by the kernel, a batch
 * job's as much as an online model's. A batch is cut when its permit is granted, not before: what waits can still be
 * cancelled, and grows meanwhile.
 *
 * Background runs have permits of their own, one fewer than there are cores, and begin only while no primary waits. A run
 * that never ends thus keeps nobody but its kind from a permit; where cores are short the kernel decides by niceness.
 *
 * Must not know models, batches or threads.
 */

export type Rank = 'primary' | 'background';

/** Somebody who has work for a core. `start` takes the permit with it and gives it back by calling `release` with its rank once. */
export interface Claimant {
  readonly rank: Rank;
  /** @returns false when there was nothing to start after all; the permit is then offered to the next. */
  start(): boolean;
}

export class Cores {
  readonly #free: Record<Rank, number>;
  readonly #waiting: Readonly<Record<Rank, Claimant[]>> = { primary: [], background: [] };

  /** @param permits primary runs at the same time, at least 1 */
  constructor(permits: number) {
    this.#free = { primary: permits, background: Math.max(1, permits - 1) };
  }

  /** Starts the claimant as soon as there is a core for it; asking twice is asking once. */
  want(claimant: Claimant): void {
    const waiting = this.#waiting[claimant.rank];
    if (!waiting.includes(claimant)) waiting.push(claimant);
    this.#grant();
  }

  release(rank: Rank): void {
    this.#free[rank]++;
    this.#grant();
  }

  /** A version that closes wants nothing any more. */
  forget(claimant: Claimant): void {
    const waiting = this.#waiting[claimant.rank];
    const at = waiting.indexOf(claimant);
    if (at >= 0) waiting.splice(at, 1);
  }

  #grant(): void {
    this.#grantTo('primary');
    if (this.#waiting.primary.length === 0) this.#grantTo('background');
  }

  #grantTo(rank: Rank): void {
    const waiting = this.#waiting[rank];
    while (this.#free[rank] > 0 && waiting.length > 0) {
      this.#free[rank]--;
      if (!waiting.shift()!.start()) this.#free[rank]++;
    }
  }
}
