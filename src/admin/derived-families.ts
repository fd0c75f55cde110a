/**
 * Families that are quotients of others: what each process counts adds up, a share of it does not, so it is made of the sums.
 *
 * Must not know who counts.
 */
import { type Family, type Series, seriesKey } from '../core/series.js';

export function derivedFamilies(families: readonly Family[]): Family[] {
  const pairs = seriesOf(families, 'sluice_shadow_pairs_total');
  const apart = new Map(
    seriesOf(families, 'sluice_shadow_mismatched_pairs_total').map(({ labels, value }) => [seriesKey(labels), value]),
  );
  if (pairs.length === 0) return [];
  return [
    {
      name: 'sluice_shadow_disagreement_ratio',
      help: 'Share of compared requests on which a shadow does not agree, since the shadow is there.',
      type: 'gauge',
      series: pairs.flatMap(({ labels, value }) =>
        value === 0 ? [] : [{ labels, value: (apart.get(seriesKey(labels)) ?? 0) / value }],
      ),
    },
  ];
}

function seriesOf(families: readonly Family[], name: string): readonly Series[] {
  return families.find((family) => family.name === name)?.series ?? [];
}
