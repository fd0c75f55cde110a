/**
 * PART OF THE ROOT, in the observer thread: a provisional profile of the first rows of a version that came without one.
 *
 * Every process collects; the first that has enough writes the file, and all take that one. What the others have collected is
 * thrown away: two profiles of one version would give counts that cannot be added.
 *
 * Must not know sketches.
 */
import { linkSync, rmSync, writeFileSync } from 'node:fs';
import type { VersionId } from '../core/model.js';
import type { Watched } from '../core/watched.js';
import { buildProfile } from '../monitor/profile-build.js';
import type { ReferenceProfile } from '../monitor/profile-document.js';
import { WarmUp } from '../monitor/warm-up.js';
import { cellsOf, predictionsOf, type SeenEvent, type SeenTensors } from './seen.js';

export class TapWarmUp {
  readonly #id: VersionId;
  readonly #watched: Watched;
  readonly #rows: WarmUp;
  readonly #inputs: ReadonlySet<string>;
  readonly #labels: (string | null)[] = [];
  readonly #scores: (number | null)[] = [];

  constructor(id: VersionId, watched: Watched) {
    this.#id = id;
    this.#watched = watched;
    this.#inputs = new Set(watched.features.map(({ input }) => input));
    const features = watched.features.map(({ isCritical: critical, ...feature }) => ({ ...feature, critical }));
    this.#rows = new WarmUp(id.model, features, watched.warmUpRows);
  }

  add(event: SeenEvent, { inputs, outputs }: SeenTensors): void {
    const items = Math.max(1, event.items);
    const isCut = inputs.some(({ name, data, length }) => data.length < length && this.#inputs.has(name));
    if (isCut) return;
    const told =
      items === 1
        ? [{ label: event.prediction, score: event.score }]
        : predictionsOf(outputs, { items, rows: items, watched: this.#watched });
    for (let item = 0; item < items && !this.isFull; item++) {
      this.#rows.add(cellsOf(this.#watched.features, inputs, item, items));
      this.#labels.push(told[item]?.label ?? null);
      this.#scores.push(told[item]?.score ?? null);
    }
  }

  get isFull(): boolean {
    return this.#rows.isFull;
  }

  #profile(): ReferenceProfile {
    const { model, version } = this.#id;
    const profile = this.#rows.profile(version);
    if (!this.#watched.isOutputShown) return profile;
    const has = (values: readonly unknown[]) => values.some((value) => value !== null);
    const { prediction, score } = buildProfile({
      model,
      version,
      baseline: 'live',
      columns: [],
      ...(has(this.#labels) && { prediction: { values: this.#predictions() } }),
      ...(has(this.#scores) && { score: { values: this.#scores, datatype: 'FP32' } }),
    });
    return { ...profile, ...(prediction && { prediction }), ...(score && { score }) };
  }

  /** A regression's labels are its numbers. */
  #predictions(): readonly (string | number | null)[] {
    if (this.#watched.semantics?.task !== 'regression') return this.#labels;
    return this.#labels.map((label) => (label === null ? null : Number(label)));
  }

  /** Writes the profile unless there is one already. @param scratch a name that nobody else uses */
  write(file: string, scratch: string): void {
    writeFileSync(scratch, `${JSON.stringify(this.#profile())}\n`, { mode: 0o600 });
    try {
      linkSync(scratch, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(scratch, { force: true });
    }
  }
}
