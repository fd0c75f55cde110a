/**
 * Windows of drift that are as long as they must be (monitoring §12): closed minutes are collected until there are enough rows.
 *
 *   closed minutes of all processes ─▶ add() ─▶ rows ≥ min_n, or 24 h old ─▶ due() ─▶ the window; the next one starts empty
 *
 * A busy model is judged every minute, a quiet one once a day. Windows do not overlap, so that two in a row are two pieces of
 * evidence. Age is that of a clock that cannot be set.
 *
 * Must not know what a window is compared with.
 */
import { Sketch } from './sketch.js';
import type { SketchLayout } from './sketch-layout.js';

export interface WindowPart {
  readonly minute: number;
  readonly sketch: Sketch;
  readonly observed: number;
  readonly dropped: number;
}

export interface SketchWindow {
  readonly sketch: Sketch;
  /** Minutes since the epoch, both included. */
  readonly fromMinute: number;
  readonly toMinute: number;
  /** More than a tenth of the events never arrived. */
  readonly degraded: boolean;
}

export interface WindowOptions {
  readonly minN?: number;
  readonly ageMsMax?: number;
  /** Between two windows at least. */
  readonly betweenMs?: number;
}

const observedShareMin = 0.9;

export class AdaptiveWindow {
  readonly #layout: SketchLayout;
  readonly #minN: number;
  readonly #ageMsMax: number;
  readonly #betweenMs: number;
  #sketch: Sketch;
  #fromMinute = Infinity;
  #toMinute = -Infinity;
  #observed = 0;
  #dropped = 0;
  #openedMs: number | undefined;
  #evaluatedMs = -Infinity;

  constructor(layout: SketchLayout, { minN = 500, ageMsMax = 86_400_000, betweenMs = 60_000 }: WindowOptions = {}) {
    this.#layout = layout;
    this.#minN = minN;
    this.#ageMsMax = ageMsMax;
    this.#betweenMs = betweenMs;
    this.#sketch = new Sketch(layout);
  }

  /** @param monotonicMs of a clock that only goes forward */
  add({ minute, sketch, observed, dropped }: WindowPart, monotonicMs: number): void {
    this.#openedMs ??= monotonicMs;
    this.#sketch.merge(sketch);
    this.#fromMinute = Math.min(this.#fromMinute, minute);
    this.#toMinute = Math.max(this.#toMinute, minute);
    this.#observed += observed;
    this.#dropped += dropped;
  }

  /** What has been collected so far; it decides nothing. Undefined before the first minute. */
  provisional(): SketchWindow | undefined {
    if (this.#openedMs === undefined) return undefined;
    const all = this.#observed + this.#dropped;
    return {
      sketch: this.#sketch,
      fromMinute: this.#fromMinute,
      toMinute: this.#toMinute,
      degraded: all > 0 && this.#observed / all < observedShareMin,
    };
  }

  /** The window that is to be judged now, if one is; the next one begins. */
  due(monotonicMs: number): SketchWindow | undefined {
    const window = this.provisional();
    if (window === undefined || monotonicMs - this.#evaluatedMs < this.#betweenMs) return undefined;
    const isOld = monotonicMs - this.#openedMs! >= this.#ageMsMax;
    if (window.sketch.rows < this.#minN && !isOld) return undefined;
    this.#evaluatedMs = monotonicMs;
    this.#restart();
    return window;
  }

  #restart(): void {
    this.#sketch = new Sketch(this.#layout);
    this.#fromMinute = Infinity;
    this.#toMinute = -Infinity;
    this.#observed = 0;
    this.#dropped = 0;
    this.#openedMs = undefined;
  }
}
