/**
 * What one shadow has found so far: running counts that a report is made of.
 *
 * Must not know how requests are copied; it is told the outcomes and the pairs.
 */

import { RunningMoments } from '../core/moments.js';
import { uniform } from '../core/murmur3.js';
import { isCompared, type ShadowPlan } from '../core/shadow-plan.js';
import {
  byDifference,
  bySample,
  type Mismatch,
  type OutcomeCounts,
  type ShadowOutcome,
  type ShadowReport,
  sampledMax,
  shadowOutcomes,
  worstMax,
} from '../core/shadow-report.js';
import type { Tensor } from '../core/tensor.js';
import { sizeOf } from './held.js';
import { OutputTally } from './output-tally.js';
import { type ItemResult, PairComparison } from './pair.js';
import { Ranked } from './ranked.js';

/** Both answers to one request. */
export interface AnsweredPair {
  readonly requestId: string;
  readonly primary: readonly Tensor[];
  readonly shadow: readonly Tensor[];
  /** Items along the first dimension of an output; 0 = an output is one item. */
  readonly rows: number;
  /** Shadow − primary. */
  readonly latencyMs: number;
}

/** One mismatch, before it is known whether it is kept. */
type Apart = Omit<Mismatch, 'requestId' | 'u'>;

export class Tally {
  readonly #plan: ShadowPlan;
  readonly #comparison: PairComparison;
  readonly #outcomes = Object.fromEntries(shadowOutcomes.map((outcome) => [outcome, 0])) as Record<
    ShadowOutcome,
    number
  >;
  readonly #outputs = new Map<string, OutputTally>();
  readonly #latency = new RunningMoments();
  readonly #bytes = new RunningMoments();
  readonly #worst = new Ranked(worstMax, byDifference);
  readonly #sampled = new Ranked(sampledMax, bySample);
  #pairs = 0;
  #mismatchedPairs = 0;
  #statusMismatches = 0;
  /** Of the pair that is being compared: its worst item. */
  #apart: Apart | undefined;

  constructor(plan: ShadowPlan) {
    this.#plan = plan;
    this.#comparison = new PairComparison(plan.compare);
  }

  get outcomes(): OutcomeCounts {
    return this.#outcomes;
  }

  count(outcome: ShadowOutcome): void {
    this.#outcomes[outcome]++;
  }

  /** Primary and shadow ended differently. */
  countStatusMismatch(): void {
    this.#statusMismatches++;
  }

  /** Compares two answers. An output of the primary that the shadow does not have is a mismatch of shape. */
  add(pair: AnsweredPair): void {
    this.#pairs++;
    this.#latency.add(pair.latencyMs);
    this.#apart = undefined;
    let bytes = 0;
    for (const primary of pair.primary) {
      if (!isCompared(this.#plan, primary.name)) continue;
      const shadow = pair.shadow.find(({ name }) => name === primary.name);
      bytes += (shadow === undefined ? 0 : sizeOf(shadow)) - sizeOf(primary);
      this.#addOutput(primary, shadow, pair.rows);
    }
    this.#bytes.add(bytes);
    if (this.#apart !== undefined) this.#keep(pair.requestId, this.#apart);
  }

  #addOutput(primary: Tensor, shadow: Tensor | undefined, rows: number): void {
    const tally = this.#outputOf(primary.name);
    const verdict =
      shadow === undefined
        ? 'shape_mismatch'
        : this.#comparison.compare(primary, shadow, rows, (item) => {
            tally.add(item);
            if (!item.isAgreed) this.#noteApart(primary.name, item);
          });
    if (verdict === 'too_large') tally.tooLarge++;
    if (verdict !== 'shape_mismatch') return;
    tally.shapeMismatches++;
    this.#apart = { output: primary.name, item: 0, maxAbsDiff: Infinity, primaryLabel: '', shadowLabel: '' };
  }

  #outputOf(name: string): OutputTally {
    let tally = this.#outputs.get(name);
    if (tally === undefined) {
      tally = new OutputTally(name);
      this.#outputs.set(name, tally);
    }
    return tally;
  }

  #noteApart(output: string, { index, measures, primaryLabel = '', shadowLabel = '' }: ItemResult): void {
    const maxAbsDiff = measures[0]!;
    if (this.#apart !== undefined && !(maxAbsDiff > this.#apart.maxAbsDiff)) return;
    const labels = { primaryLabel: String(primaryLabel), shadowLabel: String(shadowLabel) };
    this.#apart = { output, item: index, maxAbsDiff, ...labels };
  }

  #keep(requestId: string, apart: Apart): void {
    this.#mismatchedPairs++;
    const mismatch: Mismatch = { ...apart, requestId, u: uniform(`mismatch:${requestId}`) };
    this.#worst.offer(mismatch);
    this.#sampled.offer(mismatch);
  }

  /** @param examples without them a report is small: for what is asked every second */
  report(examples: 'all' | 'none'): ShadowReport {
    const { route, name, version } = this.#plan;
    return {
      route,
      shadow: name,
      model: version.model,
      version: version.version,
      outcomes: { ...this.#outcomes },
      pairs: this.#pairs,
      mismatchedPairs: this.#mismatchedPairs,
      statusMismatches: this.#statusMismatches,
      latencyMs: this.#latency.value(),
      outputBytes: this.#bytes.value(),
      outputs: Array.from(this.#outputs.values(), (output) => output.report()),
      worst: examples === 'all' ? [...this.#worst.items] : [],
      sampled: examples === 'all' ? [...this.#sampled.items] : [],
    };
  }
}
