/**
 * The sketches of a gateway process by minute, until control has them (monitoring §10.5).
 *
 *   rows ─▶ [this minute] [the one before] ─▶ closed, numbered ─▶ take() ─▶ control ─▶ acknowledge(number)
 *
 * Two minutes are open, because events come a little late; older ones count in the older of the two. What nobody fetches is
 * merged, the oldest two into one, so that a dead control process costs resolution and no memory. What was taken is not
 * merged any more: control could not tell that it has half of it.
 *
 * The clock is the wall's, and it may be set. Set forward, minutes close early; set back, both open ones close and their
 * number may come again, which control adds up.
 *
 * Must not know how sketches travel.
 */
import { Sketch } from './sketch.js';
import type { SketchLayout } from './sketch-layout.js';

export interface ClosedMinute {
  /** Ascending within a process; control forgets what it has seen already. */
  readonly number: number;
  /** Minutes since the epoch; of merged ones the last. */
  readonly minute: number;
  readonly sketch: Sketch;
  readonly observed: number;
  /** Events that never reached the observer. */
  readonly dropped: number;
}

interface OpenMinute {
  minute: number;
  sketch: Sketch;
  observed: number;
  dropped: number;
}

export const minuteMs = 60_000;
/** A step back of the clock that is no late event. */
const stepBackMinutes = 2;
const unacknowledgedMax = 60;

export class MinuteSketches {
  readonly #layout: SketchLayout;
  readonly #lengthMs: number;
  #current: OpenMinute;
  #before: OpenMinute | undefined;
  #closed: ClosedMinute[] = [];
  #number = 0;
  /** Up to which control has been given them. */
  #taken = 0;

  /** @param lengthMs of a minute, for those who cannot wait that long */
  constructor(layout: SketchLayout, nowMs: number, lengthMs = minuteMs) {
    this.#layout = layout;
    this.#lengthMs = lengthMs;
    this.#current = this.#opened(Math.floor(nowMs / lengthMs));
  }

  #opened(minute: number): OpenMinute {
    return { minute, sketch: new Sketch(this.#layout), observed: 0, dropped: 0 };
  }

  /** The sketch for an event of that time; `turn` has been called with the time of now. */
  sketchAt(eventMs: number): Sketch {
    const isNow = eventMs >= this.#current.minute * this.#lengthMs || this.#before === undefined;
    return isNow ? this.#current.sketch : this.#before!.sketch;
  }

  /** Events of the current minute by what became of them. */
  count(observed: number, dropped: number): void {
    this.#current.observed += observed;
    this.#current.dropped += dropped;
  }

  /** Nothing is to be turned. */
  isCurrent(nowMs: number): boolean {
    return Math.floor(nowMs / this.#lengthMs) === this.#current.minute;
  }

  /** To be called with each batch of events, and each second without any. */
  turn(nowMs: number): void {
    const minute = Math.floor(nowMs / this.#lengthMs);
    const later = minute - this.#current.minute;
    if (later === 0 || (later < 0 && later >= -stepBackMinutes)) return;
    if (this.#before !== undefined) this.#close(this.#before);
    if (later === 1) {
      this.#before = this.#current;
    } else {
      this.#close(this.#current);
      this.#before = undefined;
    }
    this.#current = this.#opened(minute);
  }

  /** Everything, for a process that is about to end. */
  closeAll(): void {
    if (this.#before !== undefined) this.#close(this.#before);
    this.#before = undefined;
    this.#close(this.#current);
    this.#current = this.#opened(this.#current.minute);
  }

  /** A minute without events is no news. */
  #close(open: OpenMinute): void {
    if (open.sketch.rows === 0 && open.observed === 0 && open.dropped === 0) return;
    this.#closed.push({ number: ++this.#number, ...open });
    if (this.#closed.length > unacknowledgedMax) this.#mergeOldest();
  }

  #mergeOldest(): void {
    const at = this.#closed.findIndex(({ number }) => number > this.#taken);
    const [older, newer] = [this.#closed[at], this.#closed[at + 1]];
    if (older === undefined || newer === undefined) return;
    newer.sketch.merge(older.sketch);
    const observed = older.observed + newer.observed;
    this.#closed.splice(at, 2, { ...newer, observed, dropped: older.dropped + newer.dropped });
  }

  /** Closed minutes that control has not acknowledged, oldest first; those it has taken before are among them. */
  take(): readonly ClosedMinute[] {
    this.#taken = this.#number;
    return [...this.#closed];
  }

  /** Control has everything up to this number. */
  acknowledge(number: number): void {
    this.#closed = this.#closed.filter((closed) => closed.number > number);
  }
}
