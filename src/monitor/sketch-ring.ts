/**
 * The past of one version and role in bounded memory: 60 minutes, 24 hours and 30 days of sketches (monitoring §10.5).
 *
 *   a closed minute ─▶ its minute, its hour and its day, each a slot that is used again when its time has passed
 *
 * 23 features take 3.2 KB a sketch and 365 KB in all 114.
 *
 * The clock may be set. What lies before a slot's time is too old and counted as late; a slot that lies in the future is left
 * over from a clock that was wrong, and gives way.
 *
 * Must not know processes or what is concluded.
 */
import { minuteMs } from './minutes.js';
import { Sketch, sketchFrom } from './sketch.js';
import type { SketchLayout } from './sketch-layout.js';

const spans = [
  { unit: 'minute', ms: minuteMs, slots: 60 },
  { unit: 'hour', ms: 3_600_000, slots: 24 },
  { unit: 'day', ms: 86_400_000, slots: 30 },
] as const;
export type Span = (typeof spans)[number]['unit'];

interface Slot {
  /** Units since the epoch. */
  readonly index: number;
  readonly sketch: Sketch;
}

/** A slot as it is kept on disk. */
export interface SavedSlot {
  readonly unit: Span;
  readonly index: number;
  readonly buffer: ArrayBuffer;
}

export class SketchRing {
  readonly #layout: SketchLayout;
  readonly #slots: ReadonlyMap<Span, (Slot | undefined)[]>;
  /** Sketches for which a slot was taken by a later time. */
  late = 0;

  constructor(layout: SketchLayout) {
    this.#layout = layout;
    this.#slots = new Map(spans.map(({ unit, slots }) => [unit, new Array<Slot | undefined>(slots).fill(undefined)]));
  }

  /** @param minute since the epoch */
  add(minute: number, sketch: Sketch, nowMs: number): void {
    for (const { unit, ms, slots } of spans) {
      const index = Math.floor((minute * minuteMs) / ms);
      const newest = Math.floor(nowMs / ms) + 1;
      if (index > newest - 1 - slots && index <= newest) this.#slot(unit, index, newest)?.merge(sketch);
      else this.late++;
    }
  }

  #slot(unit: Span, index: number, newest: number): Sketch | undefined {
    const slots = this.#slots.get(unit)!;
    const known = slots[index % slots.length];
    if (known?.index === index) return known.sketch;
    if (known !== undefined && known.index > index && known.index <= newest) {
      this.late++;
      return undefined;
    }
    const sketch = new Sketch(this.#layout);
    slots[index % slots.length] = { index, sketch };
    return sketch;
  }

  /** One sketch of the last `count` units, the running one included. */
  last(unit: Span, count: number, nowMs: number): Sketch {
    const { ms } = spans.find((span) => span.unit === unit)!;
    const now = Math.floor(nowMs / ms);
    const all = new Sketch(this.#layout);
    for (const slot of this.#slots.get(unit)!) {
      if (slot !== undefined && slot.index <= now && slot.index > now - count) all.merge(slot.sketch);
    }
    return all;
  }

  get bytes(): number {
    return this.save().length * this.#layout.bytes;
  }

  /** The buffers are the ring's own: to be written, not to be given away. */
  save(): SavedSlot[] {
    return spans.flatMap(({ unit }) =>
      this.#slots
        .get(unit)!
        .flatMap((slot) => (slot === undefined ? [] : [{ unit, index: slot.index, buffer: slot.sketch.buffer }])),
    );
  }

  /** @throws INVALID_ARGUMENT when a slot was counted with another profile */
  restore(saved: readonly SavedSlot[]): void {
    for (const { unit, index, buffer } of saved) {
      const slots = this.#slots.get(unit)!;
      slots[index % slots.length] = { index, sketch: sketchFrom(this.#layout, buffer) };
    }
  }
}
