/** A split of two, `old` and `new`. By the vectors of the assignment user-1 is `new` and user-3 `old`. */
import type { Experiment } from '../src/core/route.js';

/** Versions 1 and 2 of a model. */
export function oldAndNew(model: string): Experiment['variants'] {
  return [
    { name: 'old', model, version: '1', weight: 80 },
    { name: 'new', model, version: '2', weight: 20 },
  ];
}

/** Where V2 clients may put their key. */
export const headerOrParameter: Experiment['key'] = [
  { source: 'header', name: 'x-user-id' },
  { source: 'param', name: 'user_id' },
];

export function experimentOf(change: Partial<Experiment> = {}): Experiment {
  return {
    name: 'spring',
    phase: 1,
    salt: 'spring',
    key: [{ source: 'header', name: 'x-user-id' }],
    noKey: 'champion',
    champion: 'old',
    variants: oldAndNew('m'),
    coverage: 1,
    layer: undefined,
    holdout: undefined,
    targeting: [],
    overrides: { header: '', allowed: [], keys: {} },
    ...change,
  };
}
