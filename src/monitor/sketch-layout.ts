/**
 * Where the numbers of each feature lie in a sketch: one plan for all sketches of a version, made of its profile.
 *
 *   buffer:  fingerprint │ rows │ feature 0: its numbers │ feature 1 │ … │ expected outcomes (doubles)  │ registers of ids (bytes)
 *   numeric: n │ invalid │ zeros │ mean │ M2 │ min │ max │ counts of all bins but the last      categorical: counts of all bins
 *   id:      n        expected outcomes: tp │ fp │ fn │ tn, only where the profile calibrates scores
 *
 * What follows from other numbers is not kept: missing = rows − the others, the last bin of a numeric feature = n − the other
 * bins. A variant keeps 114 sketches, so each double here costs it 912 bytes for each feature.
 *
 * Must not know what is sketched or when.
 */
import { murmur3 } from '../core/murmur3.js';
import { binCount, keysOf, otherBin, unseenBin } from './feature-bins.js';
import { registers } from './hyperloglog.js';
import type { CategoricalProfile, FeatureProfile, NumericProfile } from './profile.js';
import type { ReferenceProfile } from './profile-document.js';

/** What features are judged together. */
export type Family = 'features' | 'outputs' | 'multivariate';

export interface SketchedFeature {
  readonly name: string;
  readonly family: Family;
  readonly profile: FeatureProfile;
}

/** Names that inputs cannot have in reports of a family of their own. */
export const predictionName = 'prediction';
export const scoreName = 'score';
export const errorName = 'reconstruction_error';

/** Everything of a profile that is counted live, in the order of the sketch. */
export function sketchedFeatures({ features, prediction, score, pca }: ReferenceProfile): SketchedFeature[] {
  const listed: SketchedFeature[] = Object.entries(features).map(([name, profile]) => ({
    name,
    family: 'features',
    profile,
  }));
  if (prediction) listed.push({ name: predictionName, family: 'outputs', profile: prediction });
  if (score) listed.push({ name: scoreName, family: 'outputs', profile: score });
  if (pca?.error) listed.push({ name: errorName, family: 'multivariate', profile: pca.error });
  return listed;
}

export const headerDoubles = 2;
/** tp, fp, fn, tn: sums of chances. */
export const expectedDoubles = 4;
/** Doubles of a numeric feature before its counts. */
export const momentDoubles = 7;
/**
 * Equal parts of [lo, hi], each of which knows the first bin that a value in it can be in. With 64 a value took a sixth longer:
 * more of them share a cell with an edge.
 */
export const gridCells = 256;
/** Ids take 4 KB a sketch; further ones are counted without their distinct values. */
export const sketchedIdsMax = 4;

export const numericCode = 0;
export const categoricalCode = 1;
export const idCode = 2;

export class SketchLayout {
  readonly features: readonly SketchedFeature[];
  /** Two sketches may be merged when theirs are equal. */
  readonly fingerprint: number;
  readonly doubles: number;
  readonly bytes: number;
  /** Each by feature: its kind, where its numbers start, how many bins it has. */
  readonly kinds: Uint8Array;
  readonly starts: Int32Array;
  readonly bins: Int32Array;
  /** lo, edges …, hi of all numeric features in a row. */
  readonly bounds: Float64Array;
  readonly boundStarts: Int32Array;
  /** Cells of a value: (x − lo)·scale; one more than `gridCells` a feature, for hi itself. */
  readonly gridScales: Float64Array;
  readonly grid: Uint8Array;
  /** Where the registers of an id start in the buffer; −1 = none. */
  readonly registerStarts: Int32Array;
  readonly lookups: readonly (KeyLookup | undefined)[];
  /** Where expected outcomes start; −1 = none are kept. */
  readonly expectedStart: number;

  constructor(profile: ReferenceProfile) {
    this.features = sketchedFeatures(profile);
    const { length } = this.features;
    this.kinds = new Uint8Array(length);
    this.starts = new Int32Array(length);
    this.bins = new Int32Array(length);
    this.boundStarts = new Int32Array(length);
    this.registerStarts = new Int32Array(length).fill(-1);
    this.gridScales = new Float64Array(length);
    this.grid = new Uint8Array(length * (gridCells + 1)).fill(1);
    const bounds: number[] = [];
    let doubles = headerDoubles;
    for (const [i, { profile: reference }] of this.features.entries()) {
      this.starts[i] = doubles;
      this.boundStarts[i] = bounds.length;
      if (reference.kind === 'numeric') {
        bounds.push(reference.lo ?? Infinity, ...reference.edges, reference.hi ?? -Infinity);
        this.#placeGrid(i, reference);
      }
      this.kinds[i] = codeOf(reference);
      this.bins[i] = reference.kind === 'id' ? 1 : binCount(reference);
      doubles += this.bins[i]! + (reference.kind === 'numeric' ? momentDoubles - 1 : 0);
    }
    this.bounds = Float64Array.from(bounds);
    this.lookups = this.features.map(({ profile: { kind }, profile }) =>
      kind === 'categorical' ? new KeyLookup(profile as CategoricalProfile) : undefined,
    );
    this.expectedStart = profile.calibration === undefined ? -1 : doubles;
    if (profile.calibration !== undefined) doubles += expectedDoubles;
    this.doubles = doubles;
    this.bytes = doubles * 8 + this.#placeRegisters(doubles * 8);
    this.fingerprint = fingerprintOf(this.features, profile.calibration);
  }

  /** An edge in an earlier cell is below every value of this one, whatever rounding does: cells rise with values. */
  #placeGrid(feature: number, { lo, hi, edges }: NumericProfile): void {
    const scale = lo === null || hi === null ? 0 : gridCells / (hi - lo);
    this.gridScales[feature] = Number.isFinite(scale) ? scale : 0;
    const first = feature * (gridCells + 1);
    for (let cell = 0; cell <= gridCells; cell++) {
      const below = edges.filter((edge) => cellOf(edge, lo!, this.gridScales[feature]!) < cell);
      this.grid[first + cell] = 1 + below.length;
    }
  }

  #placeRegisters(from: number): number {
    let ids = 0;
    for (const [i, kind] of this.kinds.entries()) {
      if (kind === idCode && ids < sketchedIdsMax) this.registerStarts[i] = from + registers * ids++;
    }
    return registers * ids;
  }

  /** @returns −1 for a name that is not sketched */
  indexOf(family: Family, name: string): number {
    return this.features.findIndex((feature) => feature.family === family && feature.name === name);
  }
}

/** What is out of all range is in the first cell; `x` is in [lo, hi]. */
export function cellOf(x: number, lo: number, scale: number): number {
  return ((x - lo) * scale) | 0;
}

function codeOf({ kind }: FeatureProfile): number {
  return kind === 'numeric' ? numericCode : kind === 'categorical' ? categoricalCode : idCode;
}

/** Changes with everything that gives the counts their meaning. */
function fingerprintOf(features: readonly SketchedFeature[], calibration: ReferenceProfile['calibration']): number {
  const texts: unknown[] = features.map(({ name, family, profile }) => {
    if (profile.kind === 'numeric') return [family, name, profile.lo, profile.hi, ...profile.edges];
    if (profile.kind === 'id') return [family, name];
    return [family, name, keysOf(profile), profile.other_keys, profile.unseen_tracked];
  });
  if (calibration !== undefined) texts.push(['calibration', calibration.x, calibration.y]);
  return murmur3(JSON.stringify(texts), 1);
}

/** Key → bin of one categorical feature, without making a text of a number. */
export class KeyLookup {
  readonly #byText = new Map<string, number>();
  readonly #byNumber = new Map<number, number>();
  /** For keys that are not listed. */
  readonly #rest: number;

  constructor(profile: CategoricalProfile) {
    const other = otherBin(profile);
    this.#rest = unseenBin(profile) ?? other!;
    for (const [bin, key] of keysOf(profile).entries()) this.#put(key, bin);
    if (other !== undefined) for (const key of profile.other_keys) this.#put(key, other);
  }

  #put(key: string, bin: number): void {
    this.#byText.set(key, bin);
    if (key !== '' && String(Number(key)) === key) this.#byNumber.set(Number(key), bin);
  }

  ofText(key: string): number {
    return this.#byText.get(key) ?? this.#rest;
  }

  ofNumber(key: number): number {
    return this.#byNumber.get(key) ?? this.#rest;
  }
}
