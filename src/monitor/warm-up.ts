/**
 * A profile of the first live rows, for a version that came without one (monitoring §10.6). It says `live` wherever it is
 * shown: what it calls normal is what came first.
 *
 * Must not know where rows come from.
 */
import { keyLengthMax } from './profile.js';
import { buildProfile, type FeatureSpec, keptFeatures } from './profile-build.js';
import type { ReferenceProfile } from './profile-document.js';

const rowsLeast = 1000;
const rowsMost = 10_000;
/** In place of texts too long to be listed: they count together. */
const longText = 'x'.repeat(keyLengthMax + 1);

export class WarmUp {
  readonly #model: string;
  readonly #rowsMax: number;
  readonly #columns: readonly { readonly spec: FeatureSpec; readonly at: number; readonly values: unknown[] }[];
  #rows = 0;

  /** @param rows from 1,000 to 10,000 */
  constructor(model: string, features: readonly FeatureSpec[], rows = 5000) {
    this.#model = model;
    this.#rowsMax = Math.min(rowsMost, Math.max(rowsLeast, rows));
    const at = new Map(features.map((spec, i) => [spec, i]));
    this.#columns = keptFeatures(model, features).map((spec) => ({ spec, at: at.get(spec)!, values: [] }));
  }

  /** One row in the order of the features; a missing value is null. */
  add(row: ArrayLike<unknown>): void {
    if (this.isFull) return;
    for (const { at, values } of this.#columns) values.push(kept(row[at]));
    this.#rows++;
  }

  get isFull(): boolean {
    return this.#rows >= this.#rowsMax;
  }

  profile(version: string): ReferenceProfile {
    const columns = this.#columns.map(({ spec, values }) => ({ ...spec, values }));
    return buildProfile({ model: this.#model, version, baseline: 'live', source: { rows: this.#rows }, columns });
  }
}

/** What is no scalar is held as its text, so that nobody's object stays alive. */
function kept(value: unknown): unknown {
  const scalar = typeof value === 'object' && value !== null ? (JSON.stringify(value) ?? null) : value;
  return typeof scalar === 'string' && scalar.length > keyLengthMax ? longText : scalar;
}
