/**
 * PART OF THE ROOT: by which rules of the configuration the offers of all sources become the models that are wanted, and what
 * another configuration would make of them.
 *
 * Must not know how a configuration comes into force.
 */
import { unreadableClaims } from '../config/claim-places.js';
import type { Config } from '../config/schema.js';
import { invalid } from '../core/errors.js';
import type { Log } from '../log.js';
import type { Catalogue, CatalogueOptions, OfferedModel } from '../registry/catalogue.js';
import type { Registry } from '../registry/registry.js';
import { ownPolicyOf } from '../registry/repository.js';
import { isServed } from '../registry/versions.js';
import type { SourceConfig } from './network-sources.js';
import { problemsWith, routedVersions } from './routes.js';
import { shadowedVersions } from './shadows.js';

export interface ModelChange {
  readonly model: string;
  readonly loads: readonly string[];
  readonly unloads: readonly string[];
  /** The version that answers by default, when that is another one. */
  readonly champion: { readonly from: string | null; readonly to: string | null } | null;
}

/** The rules of a configuration that may be another one each time it is asked for. */
export function catalogueOptions(
  sources: readonly SourceConfig[],
  config: () => Config,
  log: Pick<Log, 'debug'>,
): CatalogueOptions {
  return {
    sources: sources.map(({ name, models, versions, approval }) => ({
      name,
      models,
      versions,
      approvalTag: approval?.tag,
    })),
    policyOf: (model) => config().model_overrides[model]?.version_policy,
    ownPolicyOf,
    defaultPolicy: () => config().models.version_policy,
    routed: (model) => routedVersions(config().routes, model),
    shadowed: (model) => shadowedVersions(config().routes, model),
    ignored: (what) => log.debug('models.ignored', { what }),
  };
}

/** What would be loaded, unloaded and moved under other rules. @throws INVALID_ARGUMENT with a line for each route that cannot be */
export function foreseen(
  next: Config,
  { catalogue, rules, registry }: { catalogue: Catalogue; rules: CatalogueOptions; registry: Registry },
): ModelChange[] {
  const offered = catalogue.under(rules);
  const claims = unreadableClaims(next).map(({ path, message }) => ({ path: `routes.${path}`, message }));
  const problems = [...problemsWith(next.routes, offered), ...claims];
  if (problems.length > 0) throw invalid(problems.map(({ path, message }) => `${path}: ${message}`).join('\n'));
  return modelChanges(registry, offered);
}

function modelChanges(registry: Registry, offered: readonly OfferedModel[]): ModelChange[] {
  return [...registry.models()].flatMap((model) => {
    const next = offered.find(({ name }) => name === model.name);
    const wanted = next?.wanted.map(({ version }) => version) ?? [];
    const open = [...model.versions.values()].filter(isServed).map(({ id }) => id.version);
    const loads = wanted.filter((version) => !open.includes(version));
    const to = next?.aliases.champion ?? wanted.at(-1) ?? model.champion ?? null;
    const unloads = open.filter((version) => !wanted.includes(version) && version !== to);
    const from = model.champion ?? null;
    const isHeld = model.choice.hold !== undefined || model.choice.aliases.champion !== undefined;
    const champion = isHeld || from === to ? null : { from, to };
    if (loads.length === 0 && unloads.length === 0 && champion === null) return [];
    return [{ model: model.name, loads, unloads, champion }];
  });
}
