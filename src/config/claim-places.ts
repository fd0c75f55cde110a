/**
 * Where a configuration reads claims of tokens: that asks for keys by which tokens are believed.
 *
 * Must not know tokens.
 */
import { conditionOf, placeOf } from './route-place.js';
import type { Config } from './schema.js';

export interface ClaimPlace {
  /** Within its option: `digits.key.0`. */
  readonly path: string;
  readonly message: string;
}

/** Places in routes that nothing could be read from. */
export function unreadableClaims({ auth, routes }: Pick<Config, 'auth' | 'routes'>): ClaimPlace[] {
  if (auth.jwt.keys !== '') return [];
  return Object.entries(routes).flatMap(([model, { key, targeting }]) => [
    ...claimsIn(key, (at) => `${model}.key.${at}`),
    ...targeting.flatMap(({ when }, rule) => claimsIn(when, (at) => `${model}.targeting.${rule}.when.${at}`)),
  ]);
}

/** Those in the places that tell tenants apart. */
export function unreadableTenants({ auth, quotas }: Pick<Config, 'auth' | 'quotas'>): ClaimPlace[] {
  return auth.jwt.keys === '' ? claimsIn(quotas.key, String) : [];
}

function claimsIn(texts: readonly string[], pathOf: (at: number) => string): ClaimPlace[] {
  return texts.flatMap((text, at) => {
    const place = placeOf(text) ?? conditionOf(text)?.place;
    if (place?.source !== 'jwt') return [];
    const message = `expected auth.jwt.keys to name a file of public keys, got jwt:${place.name} without one`;
    return [{ path: pathOf(at), message }];
  });
}
