/**
 * Routes as they are written → experiments as gateway processes take them: names and aliases become versions.
 *
 * Where an alias points, the model's champion and which versions exist is what the registry says at that moment, so this is
 * done again for every table. A variant whose version cannot be found stays without one and its requests fall back.
 *
 * Must not know how a table travels.
 */
import { ownOf } from '../core/own.js';
import type { Experiment, Route, Variant } from '../core/route.js';
import { planOf, type ShadowPlan } from '../core/shadow-plan.js';
import { experimentNameOf, layerSaltOf } from './route-agreement.js';
import { conditionOf, placeOf } from './route-place.js';
import type { Config } from './schema.js';

type Routes = Readonly<Record<string, Route>>;
type ConfiguredRoute = Config['routes'][string];

/** What a variant or a shadow names. */
export type Target = Pick<ConfiguredRoute['variants'][string], 'model' | 'version' | 'alias'>;

/**
 * The routes of a table with their experiments and shadows.
 * @param phaseOf the number of a model's present phase, 1 = the first
 */
export function tableRoutes(configured: Config['routes'], routes: Routes, phaseOf: (model: string) => number): Routes {
  const models = Object.keys(configured);
  if (models.length === 0) return routes;
  const result: Record<string, Route> = { ...routes };
  for (const model of models) {
    const route = ownOf(routes, model);
    if (route === undefined) continue;
    const experiment = experimentOf(model, configured[model]!, { routes, phase: phaseOf(model) });
    const shadows = shadowsOf(model, configured[model]!, routes);
    result[model] = { ...route, ...(experiment && { experiment }), ...(shadows.length > 0 && { shadows }) };
  }
  return result;
}

/** @returns undefined for a route without variants */
export function experimentOf(
  model: string,
  route: ConfiguredRoute,
  { routes, phase }: { readonly routes: Routes; readonly phase: number },
): Experiment | undefined {
  if (route.default === undefined) return undefined;
  const name = experimentNameOf(model, route);
  const salt = route.salt ?? name;
  const { layer, holdout, overrides } = route;
  const all = Object.keys(route.variants);
  return {
    name,
    phase,
    salt,
    key: route.key.map((text) => placeOf(text)!),
    noKey: route.no_key,
    champion: route.default,
    variants: all.map((variant) => variantOf(model, variant, { route, routes })),
    coverage: route.coverage,
    layer: layer && { salt: layerSaltOf(layer), from: layer.range[0]!, to: layer.range[1]! },
    holdout: holdout && { salt: holdout.salt ?? holdout.name ?? name, share: holdout.percent / 100 },
    targeting: route.targeting.map(({ when, variants }) => ({
      conditions: when.map((text) => conditionOf(text)!),
      variants: variants ?? all,
    })),
    overrides: {
      header: overrides.header.toLowerCase() === 'x-sluice-variant' ? '' : overrides.header.toLowerCase(),
      allowed: overrides.allow,
      keys: Object.fromEntries(
        Object.entries(overrides.keys).flatMap(([variant, keys]) => keys.map((key) => [key, variant])),
      ),
    },
  };
}

function variantOf(
  model: string,
  name: string,
  { route, routes }: { readonly route: ConfiguredRoute; readonly routes: Routes },
): Variant {
  const target = route.variants[name]!;
  const version = versionOf(model, target, routes) ?? '';
  return { name, model: target.model ?? model, version, weight: target.weight };
}

/** Shadows whose version is there; the others see nothing until it is. */
function shadowsOf(route: string, { shadows }: ConfiguredRoute, routes: Routes): ShadowPlan[] {
  return shadows.flatMap((shadow) => {
    const version = versionOf(route, shadow, routes);
    if (version === undefined) return [];
    const { name, percent, sample_salt, when, max_concurrency, max_queue_size, timeout, max_loop_lag, compare } =
      shadow;
    const { output, outputs, rule, probabilities, absolute, relative, top_k } = compare;
    return planOf({
      route,
      name,
      version: { model: shadow.model ?? route, version },
      share: percent / 100,
      sampleSalt: sample_salt ?? name,
      when,
      inFlightMax: max_concurrency,
      queueMax: max_queue_size,
      timeoutMs: timeout ?? 0,
      loopLagMsMax: max_loop_lag,
      compare: {
        outputs: output === undefined ? outputs : [output],
        rule,
        isProbabilities: probabilities,
        absolute,
        relative,
        topK: top_k,
      },
    });
  });
}

/** The version that is meant now; undefined when there is none. */
export function versionOf(model: string, { model: other, version, alias }: Target, routes: Routes): string | undefined {
  if (version !== undefined) return version;
  const name = other ?? model;
  const route = ownOf(routes, name);
  if (alias === undefined || alias === 'champion') return route?.champion;
  return route !== undefined && Object.hasOwn(route.labels, alias) ? route.labels[alias] : undefined;
}

/** Another text = other versions, weights, coverage, targeting, salt or keys: a new phase begins (monitoring §4). */
export function phaseText({ variants, coverage, targeting, salt, key, noKey }: Experiment): string {
  return JSON.stringify([variants, coverage, targeting, salt, key, noKey]);
}
