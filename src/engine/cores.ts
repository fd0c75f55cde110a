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
 * Must not know models, batches or threads.
 */

export type Rank = 'primary' | 'background';

/** Somebody who has work for a core. `start` takes the permit with it and gives it back by calling `release` once. */
export interface Claimant {
  readonly rank: Rank;
  /** @returns false when there was nothing to start after all; the permit is then offered to the next. */
  start(): boolean;
}

export class Cores {
  #free: number;
  readonly #primary: Claimant[] = [];
  readonly #background: Claimant[] = [];

  /** @param permits runs at the same time, at least 1 */
  constructor(permits: number) {
    this.#free = permits;
  }

  /** Starts the claimant as soon as there is a core for it; asking twice is asking once. */
  want(claimant: Claimant): void {
    const waiting = claimant.rank === 'primary' ? this.#primary : this.#background;
    if (!waiting.includes(claimant)) waiting.push(claimant);
    this.#grant();
  }

  release(): void {
    this.#free++;
    this.#grant();
  }

  /** A version that closes wants nothing any more. */
  forget(claimant: Claimant): void {
    for (const waiting of [this.#primary, this.#background]) {
      const at = waiting.indexOf(claimant);
      if (at >= 0) waiting.splice(at, 1);
    }
  }

  #grant(): void {
    while (this.#free > 0) {
      const claimant = this.#primary.shift() ?? this.#background.shift();
      if (claimant === undefined) return;
      this.#free--;
      if (!claimant.start()) this.#free++;
    }
  }
}
