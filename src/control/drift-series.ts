/**
 * PART OF THE ROOT: one version in one role: what all processes saw of it, the window under way, and what was concluded.
 *
 *   closed minutes ─▶ ring (an hour, a day, a month)
 *                └──▶ window ─ enough rows ─▶ decideDrift, decideQuality, estimate ─▶ document, and what has changed
 *
 * Must not know files, processes or who is told.
 */
import type { DriftStretch, SketchStretch } from '../admin/drift-operations.js';
import { type EstimateDocument, type ExpectedCounts, estimateDocument, estimateLevel } from '../monitor/cbpe.js';
import { decideQuality, type QualityState } from '../monitor/data-quality.js';
import { type DriftDecision, type DriftOptions, type DriftState, decideDrift } from '../monitor/drift.js';
import { type DriftDocument, driftDocument, featureWindows, qualityInputs } from '../monitor/drift-document.js';
import { minuteMs } from '../monitor/minutes.js';
import { type Level, quiet } from '../monitor/persistence.js';
import type { ReferenceProfile } from '../monitor/profile-document.js';
import { Sketch, sketchFrom } from '../monitor/sketch.js';
import { SketchLayout } from '../monitor/sketch-layout.js';
import { type SavedSlot, SketchRing, type Span } from '../monitor/sketch-ring.js';
import { AdaptiveWindow, type SketchWindow } from '../monitor/windows.js';
import { changesBetween, type DriftChanges, frozenDrift, frozenQuality } from './drift-changes.js';

export interface SeriesOptions {
  readonly profile: ReferenceProfile;
  readonly rule: Required<DriftOptions>;
  /** Between two windows at least. */
  readonly betweenMs: number;
  readonly windowAgeMs: number;
  /** The version tells two classes apart. */
  readonly isBinary: boolean;
}

/** A closed minute whose buffer is not checked yet. */
export interface SeriesPart {
  readonly fromMs: number;
  readonly buffer: ArrayBuffer;
  readonly observed: number;
  readonly dropped: number;
}

export interface Clocks {
  /** Of the wall. */
  readonly epochMs: number;
  /** Only ever forward. */
  readonly monotonicMs: number;
}

interface Saved {
  readonly format: 1;
  readonly fingerprint: number;
  readonly ring: readonly SavedSlot[];
  readonly open: { readonly buffer: ArrayBuffer; readonly fromMinute: number; readonly toMinute: number } | undefined;
  readonly drift: DriftState;
  readonly quality: QualityState;
  readonly estimate?: Level;
  readonly judged: DriftDocument | undefined;
  readonly windows: number;
}

export class DriftSeries {
  readonly profile: ReferenceProfile;
  readonly #options: SeriesOptions;
  readonly #layout: SketchLayout;
  readonly #ring: SketchRing;
  readonly #window: AdaptiveWindow;
  #drift: DriftState = {};
  #quality: QualityState = {};
  #estimate: Level = quiet;
  #judged: DriftDocument | undefined;
  /** That were judged. */
  windows = 0;
  /** Something is to be saved. */
  isChanged = false;

  constructor(options: SeriesOptions) {
    const { profile, rule, betweenMs, windowAgeMs } = options;
    this.profile = profile;
    this.#options = options;
    this.#layout = new SketchLayout(profile);
    this.#ring = new SketchRing(this.#layout);
    this.#window = new AdaptiveWindow(this.#layout, { minN: rule.minN, ageMsMax: windowAgeMs, betweenMs });
  }

  /** @throws INVALID_ARGUMENT when it was counted by another profile */
  add({ fromMs, buffer, observed, dropped }: SeriesPart, { epochMs, monotonicMs }: Clocks): void {
    const sketch = sketchFrom(this.#layout, buffer);
    const minute = Math.floor(fromMs / minuteMs);
    this.#ring.add(minute, sketch, epochMs);
    this.#window.add({ minute, sketch, observed, dropped }, monotonicMs);
    this.isChanged = true;
  }

  /** Judges the window when it is due. @returns what is different from before; undefined when it is not due */
  judge(monotonicMs: number): DriftChanges | undefined {
    const window = this.#window.due(monotonicMs);
    if (window === undefined) return undefined;
    const { rule } = this.#options;
    const decision = decideDrift(featureWindows(window.sketch), this.#drift, rule);
    const quality = decideQuality(qualityInputs(window.sketch), this.#quality, rule);
    const expected = window.sketch.expected();
    const level = expected === undefined ? this.#estimate : estimateLevel(this.#estimate, expected, this.#chunks);
    const changes = changesBetween(
      { drift: this.#drift, quality: this.#quality, estimate: this.#estimate },
      { decision, results: quality.results, estimate: level },
    );
    this.#drift = decision.next;
    this.#quality = quality.next;
    this.#estimate = level;
    const estimate = this.#estimateOf(window.sketch);
    this.#judged = driftDocument({ profile: this.profile, window, decision, quality: quality.results, estimate });
    this.windows++;
    this.isChanged = true;
    return changes;
  }

  get #chunks(): readonly number[] {
    return this.profile.performance?.chunks ?? [];
  }

  #estimateOf(sketch: Sketch): EstimateDocument | undefined {
    const { isBinary } = this.#options;
    const expected = sketch.expected();
    return expected && estimateDocument(expected, this.#chunks, { isFired: this.#estimate.isFired, isBinary });
  }

  get judged(): DriftDocument | undefined {
    return this.#judged;
  }

  get openRows(): number {
    return this.#window.provisional()?.sketch.rows ?? 0;
  }

  /** Of the whole minutes since then, of the last hour at most; undefined where scores are not calibrated. */
  expectedSince(sinceMs: number, epochMs: number): ExpectedCounts | undefined {
    const minutes = Math.min(minutesMost, Math.floor((epochMs - sinceMs) / minuteMs));
    return minutes < 1 ? undefined : this.#ring.last('minute', minutes, epochMs).expected();
  }

  /** @returns undefined when there is nothing of that stretch */
  document(stretch: DriftStretch, epochMs: number): DriftDocument | undefined {
    if (stretch === 'judged') return this.#judged;
    const window = this.window(stretch, epochMs);
    return window === undefined || window.sketch.rows === 0 ? undefined : this.#provisional(window);
  }

  /** What was counted in that stretch. */
  window(stretch: SketchStretch, epochMs: number): SketchWindow | undefined {
    return stretch === 'open' ? this.#window.provisional() : this.#past(stretch, epochMs);
  }

  #past({ unit, count }: Exclude<SketchStretch, string>, epochMs: number): SketchWindow {
    const sketch = this.#ring.last(unit, count, epochMs);
    const ms = unitMs[unit];
    const from = (Math.floor(epochMs / ms) - count + 1) * ms;
    return {
      sketch,
      fromMinute: Math.floor(from / minuteMs),
      toMinute: Math.floor(epochMs / minuteMs),
      degraded: false,
    };
  }

  /** Compared, but nothing is concluded: what has fired stays as it is. */
  #provisional(window: SketchWindow): DriftDocument {
    const { rule } = this.#options;
    const decision: DriftDecision = decideDrift(featureWindows(window.sketch), frozenDrift(this.#drift), rule);
    const { results: quality } = decideQuality(qualityInputs(window.sketch), frozenQuality(this.#quality), rule);
    const estimate = this.#estimateOf(window.sketch);
    return driftDocument({ profile: this.profile, window, decision, quality, estimate, provisional: true });
  }

  save(): Saved {
    const window = this.#window.provisional();
    this.isChanged = false;
    return {
      format: 1,
      fingerprint: this.#layout.fingerprint,
      ring: this.#ring.save(),
      open: window && { buffer: window.sketch.buffer, fromMinute: window.fromMinute, toMinute: window.toMinute },
      drift: this.#drift,
      quality: this.#quality,
      estimate: this.#estimate,
      judged: this.#judged,
      windows: this.windows,
    };
  }

  /** @returns whether it was of this profile */
  restore(state: unknown, { monotonicMs }: Clocks): boolean {
    const saved = state as Saved | undefined;
    if (saved?.format !== 1 || saved.fingerprint !== this.#layout.fingerprint) return false;
    this.#ring.restore(saved.ring);
    if (saved.open !== undefined) this.#reopen(saved.open, monotonicMs);
    this.#drift = saved.drift;
    this.#quality = saved.quality;
    this.#estimate = saved.estimate ?? quiet;
    this.#judged = saved.judged && { ...saved.judged, estimate: saved.judged.estimate ?? null };
    this.windows = saved.windows;
    return true;
  }

  #reopen({ buffer, fromMinute, toMinute }: NonNullable<Saved['open']>, monotonicMs: number): void {
    const sketch = sketchFrom(this.#layout, buffer);
    this.#window.add({ minute: fromMinute, sketch, observed: sketch.rows, dropped: 0 }, monotonicMs);
    const nothing = { sketch: new Sketch(this.#layout), observed: 0, dropped: 0 };
    this.#window.add({ minute: toMinute, ...nothing }, monotonicMs);
  }
}

const minutesMost = 60;
const unitMs: Readonly<Record<Span, number>> = { minute: minuteMs, hour: 3_600_000, day: 86_400_000 };
