/**
 * `routes:` – who gets which version of a model: the split between variants, shadows beside it, a canary that moves it.
 *
 * Everything that can be judged from the text alone is refused here with the path of the key and what was expected; whether
 * models, versions and aliases exist is asked by `route-problems.ts`. Names that end up in headers are of a safe alphabet.
 *
 * Must not know which models exist, or how a request is assigned.
 */
import { z } from 'zod';
import { checkRoute, checkTogether } from './route-agreement.js';
import { canary, isTarget, readout, shadow } from './route-followers.js';
import { conditionOf, placeOf } from './route-place.js';
import { alias, expecting, list, modelName, named, number, safeName, variantName, version } from './route-words.js';

/** Each variant costs a hash for every request. */
const variantsMax = 32;
const keysOfVariantMax = 1000;

const place = z
  .string(expecting('a place such as header:x-user-id'))
  .refine(
    (text) => placeOf(text) !== undefined,
    expecting('header:<name>, cookie:<name>, jwt:<claim>, or param:<name> with a name that has no meaning of its own'),
  );

const condition = z
  .string(expecting('a condition such as header:x-country == SE'))
  .refine(
    (text) => conditionOf(text) !== undefined,
    expecting('<place> == value, in [a, b], < number, <=, >, >= or exists, as in header:x-country == SE'),
  );

const variant = z
  .strictObject({
    version: version.optional(),
    alias: alias.optional(),
    model: modelName.optional(),
    weight: number(0, 1_000_000, 'a weight'),
  })
  .refine(isTarget, expecting('version, alias or model, and not both version and alias'));

/** `checkout`, or with its range: `{name: checkout, range: [0, 0.5]}`. */
const layer = z.preprocess(
  (value) => (typeof value === 'string' ? { name: value } : value),
  z.strictObject({
    name: safeName,
    salt: safeName.optional(),
    range: z
      .tuple([number(0, 1, 'a number'), number(0, 1, 'a number')], expecting('a range such as [0, 0.5]'))
      .refine(([from, to]) => from < to, expecting('a range whose end is above its start, such as [0, 0.5]'))
      .default([0, 1]),
  }),
);

/** `5`, in percent, or with a name that makes it the same keys in several routes: `{name: global, percent: 5}`. */
const holdout = z.preprocess(
  (value) => (typeof value === 'number' ? { percent: value } : value),
  z.strictObject({
    name: safeName.optional(),
    salt: safeName.optional(),
    percent: number(0, 100, 'a percentage'),
  }),
);

const overrides = z.strictObject({
  header: z
    .string(expecting('the name of a header'))
    .regex(/^[0-9A-Za-z_-]{1,128}$/, expecting('the name of a header'))
    .default('x-sluice-variant'),
  allow: list(variantName, variantsMax, 'names of variants').default([]),
  keys: named(
    variantName,
    list(
      z.string(expecting('a key')).min(1, expecting('a key')).max(256, expecting('a key of at most 256 characters')),
      keysOfVariantMax,
      'keys',
    ),
    variantsMax,
  ).default({}),
});

const rule = z.strictObject({
  when: list(condition, 16, 'conditions'),
  /** Those that share what the conditions hold for; absent = all. */
  variants: list(variantName, variantsMax, 'names of variants').optional(),
});

const route = z
  .strictObject({
    /** Default: the name of the model. */
    experiment: safeName.optional(),
    key: list(place, 8, 'places').default([]),
    no_key: z.enum(['champion', 'request'], expecting('champion or request')).default('champion'),
    /** Default: the name of the experiment. */
    salt: safeName.optional(),
    /** The variant of everybody who takes no part. */
    default: variantName.optional(),
    variants: named(variantName, variant, variantsMax).default({}),
    coverage: number(0, 1, 'a share').default(1),
    layer: layer.optional(),
    holdout: holdout.optional(),
    targeting: list(rule, 32, 'rules').default([]),
    overrides: overrides.default(overrides.parse({})),
    shadows: list(shadow, 8, 'shadows').default([]),
    canary: canary.optional(),
    readout: readout.optional(),
  })
  .superRefine(checkRoute);

export type RouteConfig = z.output<typeof route>;

export const routes = named(modelName, route, 1000).superRefine(checkTogether);
