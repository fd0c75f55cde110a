/**
 * PART OF THE ROOT, loaded by its URL into the observer thread: what requests were like, minute by minute.
 *
 *   event ─▶ TapVersion (sketches of its minute) ─ closed ─▶ report ─▶ main thread ─▶ control ─▶ hear: kept
 *
 * One report is on its way at a time and it is of bounded size; what control has not said to have is sent again. That is the
 * one file of the gateway process by which it reaches the room of statistics: `gateway.ts` itself must not. What it needs to
 * know stands in its URL.
 *
 * It never throws: a version that cannot be watched is left alone, and requests are logged all the same.
 *
 * Must not know segments, or what is concluded.
 */
import { threadId } from 'node:worker_threads';
import type { ClosedSketch, SketchesKept } from '../core/closed-sketch.js';
import type { Tap } from '../predictions/intake.js';
import type { SubjectRecord } from '../predictions/subject.js';
import { joinTapFor, withJoin } from './join-tap.js';
import { type TapPlace, TapVersion } from './tap-version.js';

const versionsMax = 500;
const idleMs = 3_600_000;
const reportBytesMax = 4 * 2 ** 20;
const resendMs = 10_000;
const tickMsMax = 1000;
/** Events that failed tell nothing of what the model answers. */
const failedStatus = 400;

export interface TapOptions extends TapPlace {
  readonly report: (closed: readonly ClosedSketch[]) => void;
  readonly nowMs: () => number;
}

export class SketchTap implements Tap {
  readonly #options: TapOptions;
  readonly #versions = new Map<number, TapVersion>();
  readonly #broken = new Set<number>();
  #sentAt: number | undefined;

  constructor(options: TapOptions) {
    this.#options = options;
  }

  event(...[event, subject, tensors]: Parameters<Tap['event']>): void {
    if (tensors === undefined || event.status >= failedStatus || this.#broken.has(subject.id)) return;
    const nowMs = this.#options.nowMs();
    try {
      this.#versionOf(subject, nowMs)?.take(event.role, event, tensors, nowMs);
    } catch {
      // A profile that cannot be read will not be readable for the next request.
      this.#broken.add(subject.id);
      this.#versions.delete(subject.id);
    }
  }

  #versionOf(subject: SubjectRecord, nowMs: number): TapVersion | undefined {
    let version = this.#versions.get(subject.id);
    if (version === undefined && this.#hasRoom(nowMs)) {
      version = new TapVersion(subject, this.#options, nowMs);
      this.#versions.set(subject.id, version);
    }
    return version;
  }

  #hasRoom(nowMs: number): boolean {
    if (this.#versions.size < versionsMax) return true;
    for (const [id, version] of this.#versions) {
      if (nowMs - version.seenAt > idleMs && version.closed().length === 0) return this.#versions.delete(id);
    }
    return false;
  }

  /** Nobody knows of which version they were: each takes the part that it has of those that came. */
  lost(count: number): void {
    let observed = 0;
    for (const version of this.#versions.values()) observed += version.observed;
    if (observed === 0) return;
    for (const version of this.#versions.values()) version.lose((count * version.observed) / observed);
  }

  tick(): void {
    const nowMs = this.#options.nowMs();
    for (const version of this.#versions.values()) version.tick(nowMs);
    this.#report(nowMs);
  }

  #report(nowMs: number): void {
    const isUnderWay = this.#sentAt !== undefined && nowMs >= this.#sentAt && nowMs - this.#sentAt < resendMs;
    if (isUnderWay) return;
    const closed = bounded(this.#closed());
    this.#sentAt = closed.length === 0 ? undefined : nowMs;
    if (closed.length > 0) this.#options.report(closed);
  }

  #closed(): ClosedSketch[] {
    return [...this.#versions.values()].flatMap((version) => version.closed());
  }

  hear(message: unknown): void {
    for (const [key, number] of Object.entries(message as SketchesKept)) {
      const [id, role] = key.split('/');
      this.#versions.get(Number(id))?.acknowledge(role!, number);
    }
    this.#sentAt = undefined;
    this.#report(this.#options.nowMs());
  }

  /** What is there now goes up whole: nobody will ask again. */
  close(): void {
    for (const version of this.#versions.values()) version.closeAll();
    const closed = this.#closed();
    if (closed.length > 0) this.#options.report(closed);
  }
}

/** The first of them; one at least. */
function bounded(closed: readonly ClosedSketch[]): readonly ClosedSketch[] {
  let bytes = 0;
  const end = closed.findIndex(({ buffer }) => {
    bytes += buffer.byteLength;
    return bytes > reportBytesMax;
  });
  return end === -1 ? closed : closed.slice(0, Math.max(1, end));
}

/** For the observer. */
export function openTap(report: (value: unknown) => void): Tap {
  const { searchParams } = new URL(import.meta.url);
  const sketches = sketchTapFor(searchParams, report) ?? { event: () => {} };
  const join = joinTapFor(searchParams);
  return join === undefined ? sketches : withJoin(sketches, join);
}

/** @returns undefined when nothing is watched */
function sketchTapFor(parameters: URLSearchParams, report: (value: unknown) => void): Tap | undefined {
  const profiles = parameters.get('profiles');
  if (profiles === null) return undefined;
  const minuteMs = Number(parameters.get('minute_ms'));
  const tap = new SketchTap({
    profiles,
    minuteMs,
    thread: `${process.pid}-${threadId}`,
    report,
    nowMs: Date.now,
  });
  setInterval(() => tap.tick(), Math.min(tickMsMax, minuteMs / 2)).unref();
  return tap;
}
