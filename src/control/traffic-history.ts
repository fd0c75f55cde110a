/**
 * PART OF THE ROOT: what each version answered, over all processes that live or lived, now and a minute ago.
 *
 *   process ─ families, whole since its start ─▶ put(life) ─┐
 *   process ─ ended ────────────────────────▶ end(life) ─┴─▶ of(version), lastMinuteOf(version)
 *
 * Must not know what is concluded from it.
 */
import { nameOf, type VersionId } from '../core/model.js';
import type { Family, Series } from '../core/series.js';
import {
  nothingServed,
  type Served,
  servedBy,
  servedFamilies,
  servedSince,
  servedTogether,
} from '../monitor/served.js';

type ByVersion = ReadonlyMap<string, Served>;

interface Mark {
  readonly at: number;
  readonly traffic: ByVersion;
}

/** What a process told last; looked through when somebody asks, which at most beats nobody does. */
class Told {
  readonly #families: readonly Family[];
  #traffic: ByVersion | undefined;

  constructor(families: readonly Family[]) {
    this.#families = families;
  }

  get traffic(): ByVersion {
    this.#traffic ??= trafficByVersion(this.#families);
    return this.#traffic;
  }
}

const minuteMs = 60_000;
const markMs = 10_000;
/** Versions remembered of processes that ended; the oldest are forgotten. */
const endedMax = 10_000;

export class TrafficHistory {
  readonly #now: () => number;
  readonly #living = new Map<string, Told>();
  readonly #ended = new Map<string, Served>();
  /** Oldest first; the first one is a minute old once there was one. */
  readonly #marks: Mark[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The latest counts of a process. */
  put(life: string, families: readonly Family[]): void {
    this.#living.set(life, new Told(families));
    const at = this.#now();
    if (at - (this.#marks.at(-1)?.at ?? -Infinity) < markMs) return;
    this.#marks.push({ at, traffic: this.#all() });
    while (this.#marks.length > 1 && this.#marks[1]!.at <= at - minuteMs) this.#marks.shift();
  }

  end(life: string): void {
    for (const [name, traffic] of this.#living.get(life)?.traffic ?? []) {
      const sum = added(this.#ended.get(name), traffic);
      this.#ended.delete(name);
      this.#ended.set(name, sum);
    }
    this.#living.delete(life);
    while (this.#ended.size > endedMax) this.#ended.delete(this.#ended.keys().next().value!);
  }

  /** Since control started. */
  of(id: VersionId): Served {
    const name = nameOf(id);
    let sum = this.#ended.get(name);
    for (const { traffic } of this.#living.values()) sum = added(sum, traffic.get(name));
    return sum ?? nothingServed;
  }

  lastMinuteOf(id: VersionId): Served {
    const [oldest] = this.#marks;
    const isAMinuteOld = oldest !== undefined && oldest.at <= this.#now() - minuteMs;
    const before = isAMinuteOld ? oldest.traffic.get(nameOf(id)) : undefined;
    return servedSince(this.of(id), before ?? nothingServed);
  }

  /** What has not changed since the last mark is the same value, so that a thousand idle versions cost nothing. */
  #all(): ByVersion {
    const last = this.#marks.at(-1)?.traffic;
    const sums = new Map(this.#ended);
    for (const { traffic } of this.#living.values())
      for (const [name, counts] of traffic) sums.set(name, added(sums.get(name), counts));
    for (const [name, sum] of sums) {
      const known = last?.get(name);
      if (known?.requests === sum.requests) sums.set(name, known);
    }
    return sums;
  }
}

function added(a: Served | undefined, b: Served | undefined): Served {
  return a === undefined || b === undefined ? (a ?? b ?? nothingServed) : servedTogether(a, b);
}

/** One pass over the series: a table of a thousand models is looked through once, not once for each of them. */
function trafficByVersion(families: readonly Family[]): ByVersion {
  const seriesOf = new Map<string, { readonly id: VersionId; readonly families: Map<string, Series[]> }>();
  const told = families.filter(({ name }) => servedFamilies.includes(name));
  for (const family of told) {
    for (const series of family.series) {
      const { model, version } = series.labels;
      if (model === undefined || version === undefined) continue;
      const name = nameOf({ model, version });
      const own = seriesOf.get(name) ?? { id: { model, version }, families: new Map<string, Series[]>() };
      seriesOf.set(name, own);
      const list = own.families.get(family.name);
      if (list === undefined) own.families.set(family.name, [series]);
      else list.push(series);
    }
  }
  const traffic = new Map<string, Served>();
  for (const [name, { id, families: own }] of seriesOf) {
    const ofVersion = told.map((family) => ({ ...family, series: own.get(family.name) ?? [] }));
    traffic.set(name, servedBy(ofVersion, id));
  }
  return traffic;
}
