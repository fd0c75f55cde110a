/**
 * PART OF THE ROOT: what of a version is watched, from its declared features, its profile and what may not be looked at.
 *
 *   features without `ignore` and without what a rule drops ─▶ Watched
 *   profile.json, as far as those features go               ─▶ ReferenceProfile
 *
 * A value that a rule drops never reaches the observer: counted as it arrives, it would look like drift.
 *
 * Must not know files or sketches.
 */
import type { Config } from '../config/schema.js';
import type { VersionSpec } from '../core/model.js';
import type { Watched, WatchedFeature } from '../core/watched.js';
import type { ReferenceProfile } from '../monitor/profile-document.js';

type Rules = Config['prediction_log']['redact'][string];

export function watchedOf(spec: VersionSpec, rules: Rules, warmUpRows: number): Watched {
  const features = (spec.features ?? []).flatMap(({ kind, ...feature }): WatchedFeature[] => {
    const input = spec.signature.inputs.find(({ name }) => name === feature.input);
    if (kind === 'ignore' || input === undefined || isDropped(feature, rules)) return [];
    return [{ ...feature, kind, datatype: input.datatype }];
  });
  const { labels, semantics } = spec;
  const isOutputShown = !rules.some(({ target }) => target.startsWith('/outputs/'));
  return { features, isOutputShown, labels, semantics, warmUpRows };
}

function isDropped(feature: Pick<WatchedFeature, 'name' | 'input' | 'column'>, rules: Rules): boolean {
  const { name, input, column } = feature;
  const whole = `/inputs/${input.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  const places = [name, whole, `${whole}/${column}`];
  return rules.some(({ target, how }) => how === 'drop' && places.includes(target));
}

/** What of a profile can be counted, and the names of what cannot because the version does not declare it. */
export function countable(
  profile: ReferenceProfile,
  { features, isOutputShown }: Watched,
): { readonly profile: ReferenceProfile; readonly unknown: readonly string[] } {
  const { prediction, score, calibration, pca, ...rest } = profile;
  const known = new Set(features.map(({ name }) => name));
  const entries = Object.entries(profile.features);
  return {
    profile: {
      ...rest,
      features: Object.fromEntries(entries.filter(([name]) => known.has(name))),
      ...(isOutputShown && prediction && { prediction }),
      ...(isOutputShown && score && { score }),
      ...(isOutputShown && calibration && { calibration }),
      ...(pca?.features.every((name) => known.has(name)) && { pca }),
    },
    unknown: entries.map(([name]) => name).filter((name) => !known.has(name)),
  };
}
