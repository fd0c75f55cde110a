/**
 * How many more requests may be sampled, shared out among processes: all of them together take no more, but for what others
 * sampled since they last told while their part was given away.
 *
 *   set(4) ─▶ caps 2 · 2 ─▶ processes sample ─▶ told 2 · 0 ─▶ caps 3 · 1 ─▶ told 3 · 1 ─▶ nothing is left
 *
 * A cap is a total since the start of its process: whatever a process has sampled and not yet told counts against it.
 *
 * Must not know settings, or what is sampled.
 */

/** Of one process. */
interface Taken {
  total: number;
  cap: number;
}

export class TraceBudget {
  readonly #taken: Taken[];
  #left: number;

  /** @param totals of each process, at this moment as far as it has told */
  constructor(left: number, totals: readonly number[]) {
    this.#left = left;
    this.#taken = totals.map((total) => ({ total, cap: total }));
    this.#share();
  }

  get left(): number {
    return this.#left;
  }

  /** Of each process: how many it may have sampled since its start. */
  get caps(): number[] {
    return this.#taken.map(({ cap }) => cap);
  }

  /** @returns true when the caps have changed: a process has nothing left and others have */
  told(process: number, total: number): boolean {
    const taken = this.#taken[process]!;
    this.#left = Math.max(0, this.#left - Math.max(0, total - taken.total));
    taken.total = total;
    if (total < taken.cap || this.#left === 0) return false;
    return this.#share();
  }

  /** Its place is taken by another, which begins at nothing. */
  ended(process: number): void {
    Object.assign(this.#taken[process]!, { total: 0, cap: 0 });
    this.#share();
  }

  /** Equal parts; what does not come out even goes to those that had nothing left. */
  #share(): boolean {
    const part = Math.floor(this.#left / this.#taken.length);
    let odd = this.#left % this.#taken.length;
    const before = String(this.caps);
    for (const taken of this.#taken.toSorted((a, b) => a.cap - a.total - (b.cap - b.total)))
      taken.cap = taken.total + part + (odd-- > 0 ? 1 : 0);
    return String(this.caps) !== before;
  }
}
