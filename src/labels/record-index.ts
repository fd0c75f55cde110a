/**
 * Records of many days, found by the hash of a text, within a horizon.
 *
 * A record is looked for on the day that is likely first, then on the others from today back. Memory: the directories of the
 * runs, and of two days what is in no run yet.
 *
 * Must not know what a record means.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DayIndex, type Placed, type RecordKind } from './day-index.js';
import { daysIn, horizonOf } from './days.js';
import type { Hash } from './run.js';

export interface RecordIndexOptions {
  readonly root: string;
  readonly kind: RecordKind;
  readonly days: number;
  readonly headMax: number;
  readonly epochMs: () => number;
}

/** Of a day that is read on: requests that began before midnight end after it. */
const growingDays = 2;

export class RecordIndex {
  readonly #options: RecordIndexOptions;
  /** The newest first. */
  #days = new Map<string, DayIndex>();
  /** Of days that are removed. */
  #damagedBefore = 0;

  constructor(options: RecordIndexOptions) {
    this.#options = options;
  }

  /** Reads all that is there, the oldest first. Comes up for air between the days. @param onRecord is told of every record */
  async open(onRecord?: (payload: Buffer) => void): Promise<void> {
    this.retain();
    for (const day of daysIn(this.#options.root).reverse()) {
      const index = this.#dayOf(day);
      index.refresh();
      if (onRecord !== undefined) index.each(onRecord);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #dayOf(day: string): DayIndex {
    let index = this.#days.get(day);
    if (index === undefined) {
      const { root, kind, headMax } = this.#options;
      index = new DayIndex({ directory: join(root, day), kind, headMax });
      this.#days = new Map([...this.#days, [day, index] as const].sort(([a], [b]) => (a < b ? 1 : -1)));
    }
    return index;
  }

  /** Reads on where something may have been written. */
  refresh(onRecord?: (record: Placed) => void): void {
    for (const day of daysIn(this.#options.root).slice(0, growingDays)) this.#dayOf(day).refresh(onRecord);
  }

  /** Of one day, wherever it is. */
  refreshDay(day: string): void {
    this.#dayOf(day).refresh();
  }

  /** @param likely the day to look at first */
  *find(hash: Hash, likely?: string): Generator<Placed & { readonly day: string }> {
    const first = likely === undefined ? undefined : this.#days.get(likely);
    if (first !== undefined) for (const record of first.find(hash)) yield { ...record, day: likely! };
    for (const [day, index] of this.#days) {
      if (index !== first) for (const record of index.find(hash)) yield { ...record, day };
    }
  }

  /** Of that day only. */
  findOn(day: string, hash: Hash): Placed[] {
    return this.#days.get(day)?.find(hash) ?? [];
  }

  /** Another record of the same file. */
  at(day: string, file: string, offset: number): Buffer | undefined {
    return this.#days.get(day)?.at({ file, offset });
  }

  *counts(): Generator<readonly [string, number]> {
    for (const index of this.#days.values()) yield* index.counts();
  }

  get entries(): number {
    return [...this.#days.values()].reduce((sum, { entries }) => sum + entries, 0);
  }

  /** Files whose rest is no records. */
  get damaged(): number {
    return [...this.#days.values()].reduce((sum, { damaged }) => sum + damaged, this.#damagedBefore);
  }

  /** Removes the days behind the horizon. */
  retain(): void {
    const { root, days, epochMs } = this.#options;
    const last = horizonOf(epochMs(), days);
    for (const day of daysIn(root)) {
      if (day >= last) continue;
      const index = this.#days.get(day);
      this.#days.delete(day);
      this.#damagedBefore += index?.damaged ?? 0;
      void index?.close().catch(() => {});
      rmSync(join(root, day), { recursive: true, force: true });
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#days.values()].map((day) => day.close()));
    this.#days.clear();
  }
}
