/**
 * Parts of routes that are each right and yet do not go together: within one route, and between routes of one layer.
 *
 * Must not know which models exist.
 */
import type { z } from 'zod';
import type { RouteConfig } from './routes.js';

type Context = z.core.$RefinementCtx;
type Path = readonly (string | number)[];

function complain(context: Context, path: Path, expected: string): void {
  context.addIssue({ code: 'custom', path: [...path], message: `expected ${expected}` });
}

export function checkRoute(route: RouteConfig, context: Context): void {
  const names = Object.keys(route.variants);
  if (names.length > 0) checkSplit(route, names, context);
  else if (route.default !== undefined || route.canary !== undefined || route.shadows.length === 0) {
    complain(context, ['variants'], 'at least one variant, or shadows alone');
  }
  checkNames(route, names, context);
  checkShadows(route, context);
}

function checkSplit(route: RouteConfig, names: readonly string[], context: Context): void {
  const { variants, key, no_key } = route;
  if (route.default === undefined) complain(context, ['default'], `one of the variants: ${names.join(', ')}`);
  if (names.every((name) => variants[name]!.weight === 0)) {
    complain(context, ['variants'], 'at least one weight above 0');
  }
  if (names.length > 1 && key.length === 0 && no_key === 'champion') {
    complain(context, ['key'], 'at least one place such as header:x-user-id, or no_key: request');
  }
  for (const [at, { variants: chosen }] of route.targeting.entries()) {
    if (chosen?.every((name) => (variants[name]?.weight ?? 1) === 0)) {
      complain(context, ['targeting', at, 'variants'], 'at least one variant with a weight above 0');
    }
  }
}

/** Every name of a variant is that of one. */
function checkNames(route: RouteConfig, names: readonly string[], context: Context): void {
  const check = (name: string, path: Path) => {
    if (!names.includes(name))
      complain(context, path, names.length === 0 ? 'no variant' : `one of the variants: ${names.join(', ')}`);
  };
  if (route.default !== undefined) check(route.default, ['default']);
  for (const [at, name] of route.overrides.allow.entries()) check(name, ['overrides', 'allow', at]);
  for (const [at, rule] of route.targeting.entries()) {
    for (const [place, name] of (rule.variants ?? []).entries()) check(name, ['targeting', at, 'variants', place]);
  }
  const seen = new Map<string, string>();
  for (const [name, keys] of Object.entries(route.overrides.keys)) {
    check(name, ['overrides', 'keys', name]);
    for (const [at, key] of keys.entries()) {
      const other = seen.get(key);
      if (other !== undefined)
        complain(context, ['overrides', 'keys', name, at], `a key that '${other}' does not have`);
      seen.set(key, name);
    }
  }
  if (route.canary === undefined) return;
  if (route.readout !== undefined) complain(context, ['readout'], 'none, because the canary says what is measured');
  check(route.canary.variant, ['canary', 'variant']);
  if (route.canary.variant === route.default) {
    complain(context, ['canary', 'variant'], 'another variant than the default');
  }
  if (route.default !== undefined) checkAlone(route, [route.default, route.canary.variant], context);
}

/** A canary has its route to itself: two variants, which share whatever is targeted. */
function checkAlone({ variants, targeting }: RouteConfig, pair: readonly [string, string], context: Context): void {
  if (pair.some((name) => variants[name] === undefined)) return;
  for (const [name, { weight }] of Object.entries(variants)) {
    if (weight > 0 && !pair.includes(name))
      complain(context, ['variants', name, 'weight'], 'weight 0, because a canary compares two variants alone');
  }
  for (const [at, { variants: chosen = pair }] of targeting.entries()) {
    if (pair.some((name) => !chosen.includes(name)))
      complain(context, ['targeting', at, 'variants'], `both variants of the canary: ${pair.join(', ')}`);
  }
}

function checkShadows({ shadows }: RouteConfig, context: Context): void {
  for (const [at, { name, compare }] of shadows.entries()) {
    if (shadows.findIndex((other) => other.name === name) < at) {
      complain(context, ['shadows', at, 'name'], 'a name that no shadow before it has');
    }
    if (compare.output !== undefined && compare.outputs !== undefined) {
      complain(context, ['shadows', at, 'compare'], 'either output or outputs');
    }
  }
}

/** What routes share by name is the same in each, and what they must not share differs. */
export function checkTogether(routes: Readonly<Record<string, RouteConfig>>, context: Context): void {
  const all = Object.entries(routes);
  for (const [at, [model, route]] of all.entries()) {
    const name = experimentNameOf(model, route);
    if (name.length > 64)
      complain(context, [model, 'experiment'], 'a name of its own, because that of the model has over 64 characters');
    for (const [other, before] of all.slice(0, at)) {
      if (experimentNameOf(other, before) === name) {
        complain(context, [model, 'experiment'], `another name than '${name}', which the route of '${other}' has`);
      }
      checkLayer({ model, route, other, before }, context);
      checkHoldout({ model, route, other, before }, context);
    }
  }
}

interface Pair {
  readonly model: string;
  readonly route: RouteConfig;
  readonly other: string;
  readonly before: RouteConfig;
}

/** Experiments of one layer own parts of it that do not overlap. */
function checkLayer({ model, route: { layer }, other, before }: Pair, context: Context): void {
  if (layer === undefined || before.layer?.name !== layer.name) return;
  if (layerSaltOf(layer) !== layerSaltOf(before.layer)) {
    complain(context, [model, 'layer', 'salt'], `the salt that layer '${layer.name}' has in '${other}'`);
  }
  const [from, to] = before.layer.range;
  if (layer.range[0] >= to || from >= layer.range[1]) return;
  const free = `a part of layer '${layer.name}' outside [${from}, ${to}), which '${other}' has`;
  complain(context, [model, 'layer', 'range'], `${free}: a layer has 100 % in all`);
}

function checkHoldout({ model, route: { holdout }, other, before }: Pair, context: Context): void {
  if (holdout?.name === undefined || before.holdout?.name !== holdout.name) return;
  if (holdout.salt === before.holdout.salt && holdout.percent === before.holdout.percent) return;
  complain(context, [model, 'holdout'], `the salt and percentage that holdout '${holdout.name}' has in '${other}'`);
}

export function experimentNameOf(model: string, { experiment }: Pick<RouteConfig, 'experiment'>): string {
  return experiment ?? model;
}

export function layerSaltOf({ name, salt }: Pick<NonNullable<RouteConfig['layer']>, 'name' | 'salt'>): string {
  return salt ?? name;
}
