/**
 * A file of public keys → the keys by which tokens are verified: a JWKS as issuers publish it, or PEM blocks.
 *
 * Keys of a JWKS that are for something else, or of a kind that is not used here, are passed over, as its standard wants
 * (RFC 7517 §5); whatever claims to be a key of ours must be one. A private key is refused: whoever put it there has put a
 * secret in the wrong place.
 *
 * Must not know where the text was read.
 */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { invalid } from '../core/errors.js';
import { type TokenAlgorithm, type TokenKey, tokenAlgorithms } from '../core/token-rules.js';

const keysMax = 100;
/** A token costs at most so many signature checks. */
const keysOfKidMax = 4;
const rsaBitsMin = 2048;

const rsa: readonly TokenAlgorithm[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const ofCurve: Readonly<Record<string, TokenAlgorithm>> = {
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
};
const usedCurves = ['P-256', 'P-384', 'P-521'];

const jwk = z.looseObject({
  kty: z.string(),
  kid: z.string().max(256).optional(),
  use: z.string().optional(),
  alg: z.string().optional(),
  crv: z.string().optional(),
});
const jwks = z.object({ keys: z.array(jwk).max(keysMax) });

/** @throws INVALID_ARGUMENT saying what was expected and what came */
export function tokenKeysIn(text: string, allowed: readonly TokenAlgorithm[]): TokenKey[] {
  const found = text.trimStart().startsWith('{') ? keysOfJwks(text) : keysOfPem(text);
  const keys = found.flatMap((key) => {
    const algorithms = key.algorithms.filter((algorithm) => allowed.includes(algorithm));
    return algorithms.length === 0 ? [] : [{ ...key, algorithms }];
  });
  if (keys.length === 0) throw invalid(`expected a public key for ${allowed.join(', ')}, got none`);
  for (const { kid } of keys) {
    const same = keys.filter((other) => other.kid === kid).length;
    if (same > keysOfKidMax) throw invalid(`expected at most ${keysOfKidMax} keys ${kidText(kid)}, got ${same}`);
  }
  return keys;
}

function kidText(kid: string): string {
  return kid === '' ? 'without kid' : `of kid '${kid.slice(0, 64)}'`;
}

function keysOfJwks(text: string): TokenKey[] {
  const { keys } = checkedJwks(text);
  return keys.flatMap((key, place) => {
    if ('d' in key || 'k' in key) throw invalid(`keys.${place}: expected a public key, got a secret one`);
    if (!isOurs(key)) return [];
    const { kid = '', alg } = key;
    const { algorithms, pem } = keyOf(`keys.${place}`, { key: key as JsonWebKey, format: 'jwk' });
    return [{ kid, algorithms: algorithms.filter((algorithm) => alg === undefined || alg === algorithm), pem }];
  });
}

function checkedJwks(text: string): z.output<typeof jwks> {
  const expected = `expected a JWKS, {"keys": [{"kty": "RSA", …}]} with at most ${keysMax} keys`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(`${expected}, got text that is not JSON`);
  }
  const result = jwks.safeParse(value);
  if (result.success) return result.data;
  const place = result.error.issues[0]!.path.join('.');
  throw invalid(place === '' ? `${expected}, got something else` : `${expected}, got something else at ${place}`);
}

function isOurs({ kty, use, alg, crv }: z.output<typeof jwk>): boolean {
  if (use !== undefined && use !== 'sig') return false;
  if (alg !== undefined && !tokenAlgorithms.some((known) => known === alg)) return false;
  return kty === 'RSA' || (kty === 'EC' && usedCurves.includes(crv ?? ''));
}

function keysOfPem(text: string): TokenKey[] {
  const blocks = text.match(/-----BEGIN [^-]*-----[^-]*-----END [^-]*-----/g) ?? [];
  const foreign = text.match(/-----BEGIN (?!(RSA )?PUBLIC KEY-)[A-Z0-9 ]{1,64}-----/);
  if (blocks.length === 0 || blocks.length > keysOfKidMax || foreign !== null) {
    const got = foreign?.[0] ?? `${blocks.length} blocks`;
    throw invalid(`expected a JWKS, or 1 to ${keysOfKidMax} PEM blocks PUBLIC KEY, got ${got}`);
  }
  return blocks.map((block, place) => ({ kid: '', ...keyOf(`block ${place + 1}`, block) }));
}

function keyOf(place: string, given: Parameters<typeof createPublicKey>[0]): Omit<TokenKey, 'kid'> {
  let key: KeyObject;
  try {
    key = createPublicKey(given);
  } catch {
    throw invalid(`${place}: expected a public key, got one that cannot be read`);
  }
  return { algorithms: algorithmsOf(place, key), pem: String(key.export({ type: 'spki', format: 'pem' })) };
}

function algorithmsOf(
  place: string,
  { asymmetricKeyType, asymmetricKeyDetails }: KeyObject,
): readonly TokenAlgorithm[] {
  const { modulusLength = 0, namedCurve = '' } = asymmetricKeyDetails ?? {};
  if (asymmetricKeyType === 'rsa') {
    if (modulusLength >= rsaBitsMin) return rsa;
    throw invalid(`${place}: expected an RSA key of at least ${rsaBitsMin} bits, got ${modulusLength}`);
  }
  const algorithm = asymmetricKeyType === 'ec' ? ofCurve[namedCurve] : undefined;
  if (algorithm !== undefined) return [algorithm];
  const got = `${asymmetricKeyType} ${namedCurve}`.trim();
  throw invalid(`${place}: expected an RSA key or one of ${usedCurves.join(', ')}, got ${got}`);
}
