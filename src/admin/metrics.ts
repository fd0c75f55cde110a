/**
 * The counts of all processes as one text.
 *
 *   gateway process ─ snapshot, whole since its start ─▶ put(incarnation) ─┐
 *   gateway process ─ ended ───────────────────────────▶ end(incarnation) ─┼─▶ add up ─▶ cap ─▶ text()
 *   control ─ its own families ────────────────────────────────────────────┘
 *
 * What a process does not tell any more, because it ended or a version was closed long ago, stays in a retained sum, so that
 * a counter never goes down while control lives; gauges go with their process. Series of a version that was retired are
 * dropped after a while. The number of series is bounded: a series that was shown stays shown, and what comes when there is
 * no more room is added up under `_other`, one series for each family.
 *
 * Must not know who asks.
 */
import { nameOf, type VersionId } from '../core/model.js';
import type { Family, Series } from '../core/series.js';
import type { VersionStatistics } from '../core/statistics.js';
import { derivedFamilies } from './derived-families.js';
import { FamilySums } from './family-sums.js';
import { LabelTexts } from './label-texts.js';
import { type TextForm, textOf } from './metrics-text.js';
import { SeriesCap } from './series-cap.js';
import { tritonFamilies } from './triton-families.js';

const endedMax = 1000;
const retiredMax = 10_000;
const seriesMaxUsual = 5000;
const retiredKeptMs = 600_000;

export interface MetricsRoom {
  /** The latest counts of a process; an incarnation is one life of one process. What comes after its end is ignored. */
  put(incarnation: string, families: readonly Family[]): void;
  end(incarnation: string): void;
  /** A version was unloaded: its series are dropped after ten minutes. */
  retire(id: VersionId): void;
  /** It is loaded again. */
  restore(id: VersionId): void;
  /** All families added up, each series once. @param own families of control itself */
  families(own: readonly Family[]): Family[];
  /** @param own families of control itself */
  text(own: readonly Family[], asked?: AskedText): string;
}

export interface AskedText {
  readonly form?: TextForm;
  /** Versions whose counts are given under Triton's names, too. */
  readonly aliased?: readonly VersionStatistics[] | undefined;
  /** Families that somebody else wrote, as Prometheus text. */
  readonly more?: string;
}

export interface MetricsRoomOptions {
  readonly seriesMax?: number;
  readonly now?: () => number;
}

export function createMetricsRoom(options: MetricsRoomOptions = {}): MetricsRoom {
  return new Room(options.seriesMax ?? seriesMaxUsual, options.now ?? (() => performance.now()));
}

class Room implements MetricsRoom {
  readonly #now: () => number;
  readonly #living = new Map<string, readonly Family[]>();
  readonly #ended = new Set<string>();
  /** When each version was retired. */
  readonly #retired = new Map<string, number>();
  readonly #texts = new LabelTexts();
  readonly #cap: SeriesCap;
  #retained: readonly Family[] = [];

  constructor(seriesMax: number, now: () => number) {
    this.#cap = new SeriesCap(seriesMax);
    this.#now = now;
  }

  put(incarnation: string, families: readonly Family[]): void {
    if (this.#ended.has(incarnation)) return;
    const before = this.#living.get(incarnation);
    this.#living.set(incarnation, families);
    if (before !== undefined) this.#retain(untold(before, families));
  }

  end(incarnation: string): void {
    const last = this.#living.get(incarnation) ?? [];
    this.#living.delete(incarnation);
    this.#retain(last);
    this.#ended.add(incarnation);
    if (this.#ended.size > endedMax) this.#ended.delete(this.#ended.values().next().value!);
  }

  #retain(families: readonly Family[]): void {
    const growing = families.filter(({ type, series }) => type !== 'gauge' && series.length > 0);
    if (growing.length === 0) return;
    const sums = new FamilySums(this.#texts);
    sums.add(this.#retained);
    sums.add(growing);
    this.#retained = sums.families();
  }

  retire(id: VersionId): void {
    this.restore(id);
    this.#retired.set(nameOf(id), this.#now());
    if (this.#retired.size > retiredMax) this.#retired.delete(this.#retired.keys().next().value!);
  }

  restore(id: VersionId): void {
    this.#retired.delete(nameOf(id));
  }

  families(own: readonly Family[]): Family[] {
    return this.#sums(own).families();
  }

  text(own: readonly Family[], { form = 'prometheus', aliased, more = '' }: AskedText = {}): string {
    const sums = this.#sums(own);
    const counted = sums.families();
    sums.add(derivedFamilies(counted));
    if (aliased !== undefined) sums.add(tritonFamilies(counted, aliased));
    const shown = this.#cap.apply(sums.families());
    return textOf([...shown, ...this.#cap.families(shown)], form, more);
  }

  #sums(own: readonly Family[]): FamilySums {
    const gone = this.#gone();
    const isGone = ({ labels }: Series) =>
      labels.version !== undefined && gone.has(`${labels.model}@${labels.version}`);
    const isLeftOut = gone.size === 0 ? undefined : isGone;
    if (isLeftOut !== undefined)
      this.#retained = this.#retained.map((family) => ({
        ...family,
        series: family.series.filter((series) => !isGone(series)),
      }));
    const sums = new FamilySums(this.#texts);
    sums.add(own, isLeftOut);
    sums.add(this.#retained);
    for (const families of this.#living.values()) sums.add(families, isLeftOut);
    return sums;
  }

  /** Versions whose time has passed. */
  #gone(): ReadonlySet<string> {
    const until = this.#now() - retiredKeptMs;
    return new Set(Array.from(this.#retired).flatMap(([name, at]) => (at <= until ? [name] : [])));
  }
}

/** Series of `before` that are not in `after`. */
function untold(before: readonly Family[], after: readonly Family[]): Family[] {
  const afterByName = new Map<string, readonly Series[]>();
  // A process may tell a family in parts, each of a thread of its own.
  for (const { name, series } of after) {
    const known = afterByName.get(name);
    afterByName.set(name, known === undefined ? series : [...known, ...series]);
  }
  return before.flatMap((family) => {
    if (family.type === 'gauge') return [];
    const left = missing(family.series, afterByName.get(family.name) ?? []);
    return left.length === 0 ? [] : [{ ...family, series: left }];
  });
}

/** A process tells its series in an order that hardly changes, so most are found where the last one was found, or just after. */
function missing(before: readonly Series[], after: readonly Series[]): Series[] {
  let at = 0;
  return before.filter(({ labels }) => {
    for (let step = 0; step < after.length; step++) {
      const place = (at + step) % after.length;
      if (!isSame(labels, after[place]!.labels)) continue;
      at = place + 1;
      return false;
    }
    return true;
  });
}

function isSame(a: Series['labels'], b: Series['labels']): boolean {
  for (const name in a) if (a[name] !== b[name]) return false;
  for (const name in b) if (a[name] === undefined) return false;
  return true;
}
