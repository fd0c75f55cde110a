/**
 * The reference of one feature: what its values were like when the model was made (monitoring §10.1–§10.4).
 *
 *   column ─▶ kindOf() ─▶ numericProfile() │ categoricalProfile() │ idProfile() ─▶ counts in bins that never change again
 *
 * Everything that is counted later is counted in these bins, on every gateway and in every language.
 *
 * Must not know files, or which features a model has.
 */
import { type Cast, castFor, keyIn, numberIn } from './cleaning.js';
import { binIndex, type NumericRange, rangeOf } from './numeric-bins.js';
import { Sum } from './stats/sum.js';

export { binIndex } from './numeric-bins.js';

/** What an operator says about a feature. */
export interface FeatureWeight {
  /** Of the feature in the model's verdict. */
  readonly weight?: number;
  /** The feature's drift alone is the model's drift. */
  readonly critical?: boolean;
}

export interface NumericProfile extends NumericRange, Required<FeatureWeight> {
  readonly kind: 'numeric';
  /** Finite values. */
  readonly n: number;
  readonly missing: number;
  readonly invalid: number;
  /** Of the inner bins: nothing of the reference is outside. */
  readonly counts: readonly number[];
  readonly mean: number | null;
  /** Sum of the squared distances from the mean. */
  readonly m2: number | null;
  readonly zeros: number;
}

export interface CategoricalProfile extends Required<FeatureWeight> {
  readonly kind: 'categorical';
  /** Values that are not missing. */
  readonly n: number;
  readonly missing: number;
  /** The keys that have a bin of their own. */
  readonly counts: Readonly<Record<string, number>>;
  /** How many values have a key without a bin. */
  readonly other: number;
  readonly other_keys: readonly string[];
  /** Every key of the reference is listed, so that a new one can be told from a rare one. */
  readonly unseen_tracked: boolean;
}

/** Of a feature that names its rows: only how many there are. */
export interface IdProfile extends Required<FeatureWeight> {
  readonly kind: 'id';
  readonly n: number;
  readonly missing: number;
  readonly distinct: number;
}

export type FeatureProfile = NumericProfile | CategoricalProfile | IdProfile;

export interface ColumnOptions extends FeatureWeight {
  /** Inner bins of a numeric feature at most. */
  readonly bins?: number;
  /** Of the model input. */
  readonly datatype?: string;
}

export const binsMax = 100;
/** Keys with a bin of their own. */
export const keysMax = 100;
export const otherKeysMax = 900;
/** UTF-16 units of a key that is listed; longer ones count as `other`, so that a profile stays small. */
export const keyLengthMax = 1024;

/** @param values of any type: what is no number is counted as invalid, null and NaN as missing */
export function numericProfile(values: ArrayLike<unknown>, options: ColumnOptions = {}): NumericProfile {
  const { finite, missing, invalid, zeros } = numbersOf(values, castFor(options.datatype));
  const range = rangeOf(finite, Math.min(binsMax, Math.max(1, Math.trunc(options.bins ?? 10))));
  const counts = new Array<number>(range.lo === null ? 0 : range.edges.length + 1).fill(0);
  for (const x of finite) counts[binIndex(range, x) - 1]!++;
  const n = finite.length;
  return { kind: 'numeric', n, missing, invalid, ...range, counts, ...spreadOf(finite), zeros, ...weightOf(options) };
}

function weightOf({ weight = 1, critical = false }: FeatureWeight): Required<FeatureWeight> {
  return { weight, critical };
}

/** Finite values in ascending order, and how many were something else. */
function numbersOf(values: ArrayLike<unknown>, cast: Cast) {
  const finite = new Float64Array(values.length);
  let [n, missing, invalid, zeros] = [0, 0, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const x = numberIn(values[i], cast);
    if (Number.isNaN(x)) missing++;
    else if (x === Infinity) invalid++;
    else finite[n++] = x;
    if (x === 0) zeros++;
  }
  return { finite: finite.slice(0, n).sort(), missing, invalid, zeros };
}

/** Null where there is nothing, or where squares pass the largest double. */
function spreadOf(values: Float64Array): { mean: number | null; m2: number | null } {
  if (values.length === 0) return { mean: null, m2: null };
  const total = new Sum();
  for (const x of values) total.add(x / values.length);
  const mean = total.value;
  const squares = new Sum();
  for (const x of values) squares.add((x - mean) ** 2);
  return { mean, m2: Number.isFinite(squares.value) ? squares.value : null };
}

/** Keys in code-unit order: a million of them may come in, at most 1,000 are listed. */
export function categoricalProfile(values: ArrayLike<unknown>, options: ColumnOptions = {}): CategoricalProfile {
  const { counts, missing } = countsByKey(values, castFor(options.datatype));
  return profileOfKeys(counts, missing, options);
}

function profileOfKeys(
  counts: ReadonlyMap<string, number>,
  missing: number,
  options: FeatureWeight,
): CategoricalProfile {
  const keys = [...counts.keys()].filter((key) => key.length <= keyLengthMax).sort();
  const own = keys.length <= keysMax ? keys : mostFrequent(keys, counts).sort();
  const ownKeys = new Set(own);
  const others = keys.filter((key) => !ownKeys.has(key));
  let n = 0;
  for (const count of counts.values()) n += count;
  const inOwn = own.reduce((sum, key) => sum + counts.get(key)!, 0);
  return {
    kind: 'categorical',
    n,
    missing,
    counts: Object.fromEntries(own.map((key) => [key, counts.get(key)!])),
    other: n - inOwn,
    other_keys: others.slice(0, otherKeysMax),
    unseen_tracked: counts.size - own.length <= Math.min(otherKeysMax, others.length),
    ...weightOf(options),
  };
}

/** Of equal ones the smaller key first: `keys` are in order and sorting keeps it. */
function mostFrequent(keys: readonly string[], counts: ReadonlyMap<string, number>): string[] {
  return keys.toSorted((a, b) => counts.get(b)! - counts.get(a)!).slice(0, keysMax);
}

function countsByKey(values: ArrayLike<unknown>, cast: Cast): { counts: Map<string, number>; missing: number } {
  const counts = new Map<string, number>();
  let missing = 0;
  for (let i = 0; i < values.length; i++) {
    const key = keyIn(values[i], cast);
    if (key === null) missing++;
    else counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return { counts, missing };
}

function idProfile(values: ArrayLike<unknown>, options: ColumnOptions): IdProfile {
  const { counts, missing } = countsByKey(values, castFor(options.datatype));
  return { kind: 'id', n: values.length - missing, missing, distinct: counts.size, ...weightOf(options) };
}

/** @param kind what the manifest says; without it the values decide */
export function featureProfile(
  values: ArrayLike<unknown>,
  options: ColumnOptions & { readonly kind?: FeatureProfile['kind'] } = {},
): FeatureProfile {
  const kind = options.kind ?? kindOf(values, options.datatype);
  if (kind === 'numeric') return numericProfile(values, options);
  return kind === 'id' ? idProfile(values, options) : categoricalProfile(values, options);
}

const fewNumbersMax = 20;
const distinctKeysMax = 1000;

/** §10.2, for a feature of which the manifest says nothing. */
export function kindOf(values: ArrayLike<unknown>, datatype?: string): FeatureProfile['kind'] {
  const cast = castFor(datatype);
  if (!isOfKeys(values, datatype)) {
    const distinct = new Set<number>();
    for (let i = 0; i < values.length && distinct.size <= fewNumbersMax; i++) {
      const x = numberIn(values[i], cast);
      if (Number.isFinite(x)) distinct.add(x);
    }
    return distinct.size >= 2 && distinct.size <= fewNumbersMax ? 'categorical' : 'numeric';
  }
  const { counts } = countsByKey(values, cast);
  if (counts.size <= distinctKeysMax) return 'categorical';
  let singletons = 0;
  for (const count of counts.values()) if (count === 1) singletons++;
  return singletons > counts.size / 2 ? 'id' : 'categorical';
}

/** By the datatype; without one by what most of the values are, so that one stray text does not make a number a category. */
function isOfKeys(values: ArrayLike<unknown>, datatype: string | undefined): boolean {
  if (datatype !== undefined) return datatype === 'BYTES' || datatype === 'BOOL';
  let [numbers, others] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const type = typeof values[i];
    if (type === 'number' || type === 'bigint') numbers++;
    else if (values[i] !== null && values[i] !== undefined) others++;
  }
  return others > numbers;
}
