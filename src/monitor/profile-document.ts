/**
 * The reference profile that ships with a version (monitoring §10.6), read with suspicion: it comes out of an artifact.
 *
 * What is read here is bounded in every direction (features, keys, edges, components) and consistent (edges ascend inside
 * [lo, hi], counts add up), so that nobody behind it has to look again.
 *
 * Must not know files or digests.
 */
import { z } from 'zod';
import { GatewayError } from '../core/errors.js';
import { hintOf } from '../core/nearest.js';
import {
  binsMax,
  type CategoricalProfile,
  type FeatureProfile,
  keyLengthMax,
  keysMax,
  type NumericProfile,
  otherKeysMax,
} from './profile.js';
import type { Pca } from './reconstruction.js';

export interface ReferenceProfile {
  readonly profile_version: 1;
  readonly model: string;
  readonly version: string;
  /** `live`: made of the first rows served, because none came with the version. Shown wherever it is used. */
  readonly baseline: 'training' | 'validation' | 'log' | 'live';
  readonly source?: { readonly dataset?: string; readonly rows?: number; readonly sha256?: string };
  readonly features: Readonly<Record<string, FeatureProfile>>;
  /** What the model answered, as a category or a number. */
  readonly prediction?: NumericProfile | CategoricalProfile;
  readonly score?: NumericProfile;
  readonly calibration?: Calibration;
  readonly performance?: Performance;
  readonly pca?: Pca & { readonly error?: NumericProfile };
}

/** Scores and the share of positives among rows with that score. */
export interface Calibration {
  readonly x: readonly number[];
  readonly y: readonly number[];
}

/** What the version reached on labelled data, by metric, over `n` rows. */
export interface Performance {
  readonly n?: number;
  /** The estimate without labels in equal parts of the reference. */
  readonly chunks?: readonly number[];
  readonly [metric: string]: number | readonly number[] | undefined;
}

export const featuresMax = 200;
const bytesMax = 16 * 1024 * 1024;
const componentsMax = 64;
const knotsMax = 1000;
const chunksMax = 100;

const count = z.int().min(0);
const finite = z.number();
const weight = z.number().min(0).max(1e6).default(1);
const critical = z.boolean().default(false);
const name = z
  .string()
  .min(1)
  .max(256)
  .refine((text) => text !== '__proto__', 'expected another name');
const key = z.string().max(keyLengthMax);

const numeric = z
  .strictObject({
    kind: z.literal('numeric'),
    n: count,
    missing: count,
    invalid: count.default(0),
    lo: finite.nullable(),
    hi: finite.nullable(),
    edges: z.array(finite).max(binsMax),
    counts: z.array(count).max(binsMax + 1),
    mean: finite.nullable(),
    m2: z.number().min(0).nullable(),
    zeros: count.default(0),
    weight,
    critical,
  })
  .superRefine((profile, context) => complain(context, wrongInNumeric(profile)));

function wrongInNumeric({ n, lo, hi, edges, counts, zeros }: NumericProfile): string | undefined {
  if ((lo === null) !== (hi === null) || (lo === null) !== (n === 0)) return 'expected lo and hi exactly when n > 0';
  if (lo === null || hi === null) return counts.length + edges.length > 0 ? 'expected no bins when n is 0' : undefined;
  if (lo > hi) return `expected lo <= hi, got ${lo} and ${hi}`;
  for (const [i, edge] of edges.entries()) {
    if (edge < lo || edge >= hi) return `expected edges in [lo, hi), got ${edge}`;
    if (i > 0 && edge <= edges[i - 1]!) return 'expected edges strictly ascending';
  }
  if (counts.length !== edges.length + 1) return `expected ${edges.length + 1} counts, got ${counts.length}`;
  if (sumOf(counts) !== n) return `expected counts that add up to n = ${n}, got ${sumOf(counts)}`;
  return zeros > n ? 'expected at most n zeros' : undefined;
}

/** Not z.record: a category may be called `__proto__`, and the value is taken as it is. */
const countsByKey = z.custom<Readonly<Record<string, number>>>((value) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  if (entries.length > keysMax) return false;
  return entries.every(([key, count]) => key.length <= keyLengthMax && Number.isSafeInteger(count) && count >= 0);
}, `expected at most ${keysMax} categories with their counts`);

const categorical = z
  .strictObject({
    kind: z.literal('categorical'),
    n: count,
    missing: count,
    counts: countsByKey,
    other: count.default(0),
    other_keys: z.array(key).max(otherKeysMax).default([]),
    unseen_tracked: z.boolean().default(true),
    weight,
    critical,
  })
  .superRefine((profile, context) => complain(context, wrongInCategorical(profile)));

function wrongInCategorical({ n, counts, other, other_keys }: CategoricalProfile): string | undefined {
  const total = sumOf(Object.values(counts)) + other;
  if (total !== n) return `expected counts and other that add up to n = ${n}, got ${total}`;
  if (other_keys.some((key) => Object.hasOwn(counts, key))) return 'expected other_keys without the keys of counts';
  return undefined;
}

const id = z.strictObject({ kind: z.literal('id'), n: count, missing: count, distinct: count, weight, critical });

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

const feature = z.discriminatedUnion('kind', [numeric, categorical, id]);
const output = z.discriminatedUnion('kind', [numeric, categorical]);

const calibration = z
  .strictObject({ x: z.array(finite).min(1).max(knotsMax), y: z.array(z.number().min(0).max(1)).max(knotsMax) })
  .superRefine(({ x, y }, context) =>
    complain(context, x.length === y.length ? undefined : `expected as many x as y, got ${x.length} and ${y.length}`),
  );

const performance = z
  .object({ n: count.optional(), chunks: z.array(finite).max(chunksMax).optional() })
  .catchall(z.union([finite, z.array(finite).max(chunksMax)]));

const pca = z
  .strictObject({
    features: z.array(name).min(1).max(featuresMax),
    mean: z.array(finite),
    scale: z.array(z.number().positive()),
    components: z.array(z.array(finite)).min(1).max(componentsMax),
    error: numeric.optional(),
  })
  .superRefine(({ features, mean, scale, components }, context) => {
    const rows = [mean, scale, ...components];
    const isWrong = rows.some((row) => row.length !== features.length);
    complain(context, isWrong ? `expected ${features.length} numbers in mean, scale and each component` : undefined);
  });

function complain(context: z.core.$RefinementCtx, message: string | undefined): void {
  if (message !== undefined) context.addIssue({ code: 'custom', message });
}

const schema = z.strictObject({
  profile_version: z.literal(1),
  model: z.string().max(128),
  version: z.string().max(32),
  baseline: z.enum(['training', 'validation', 'log', 'live']),
  source: z
    .looseObject({ dataset: z.string().optional(), rows: count.optional(), sha256: z.string().optional() })
    .optional(),
  features: z.record(name, feature).superRefine((features, context) => {
    const got = Object.keys(features).length;
    complain(context, got > featuresMax ? `expected at most ${featuresMax} features, got ${got}` : undefined);
  }),
  prediction: output.optional(),
  score: numeric.optional(),
  calibration: calibration.optional(),
  performance: performance.optional(),
  pca: pca.optional(),
}) satisfies z.ZodType<ReferenceProfile>;

/** @throws FAILED_PRECONDITION naming the place, what was expected and, for an unknown key, what was probably meant */
export function parseProfile(text: string): ReferenceProfile {
  if (text.length > bytesMax) throw refused(`it is longer than ${bytesMax} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refused((error as Error).message);
  }
  return checkedProfile(value);
}

/** The same for a value that was read already. */
export function checkedProfile(value: unknown): ReferenceProfile {
  const tooMany = featuresIn(value);
  if (tooMany > featuresMax) throw refused(`'features': expected at most ${featuresMax} features, got ${tooMany}`);
  const result = schema.safeParse(value);
  if (!result.success) throw refused(reasonOf(result.error.issues[0]!));
  return result.data;
}

/** Counted first: nobody waits for the check of a million features to hear that they are too many. */
function featuresIn(value: unknown): number {
  const features = (value as { features?: unknown } | null)?.features;
  return typeof features === 'object' && features !== null ? Object.keys(features).length : 0;
}

function reasonOf(issue: z.core.$ZodIssue): string {
  const place = issue.path.map(String).join('.').slice(0, 300);
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!.slice(0, 100);
    const known = place === '' ? Object.keys(schema.shape) : [];
    return `unknown key '${place === '' ? key : `${place}.${key}`}'${hintOf(key, known)}`;
  }
  return place === '' ? issue.message : `'${place}': ${issue.message}`;
}

function refused(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `profile.json: ${reason}`);
}
