/** Keys and tokens as an issuer makes them: signed by hand, so that also what no library would sign can be asked for. */
import { createSign, generateKeyPairSync, type KeyObject } from 'node:crypto';

export interface Issuer {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly pem: string;
}

export function ecIssuer(): Issuer {
  return issuerOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }));
}

export function rsaIssuer(modulusLength = 2048): Issuer {
  return issuerOf(generateKeyPairSync('rsa', { modulusLength }));
}

function issuerOf({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }): Issuer {
  return { publicKey, privateKey, pem: String(publicKey.export({ type: 'spki', format: 'pem' })) };
}

/** A set of keys as issuers publish it, by kid. */
export function jwksOf(issuers: Readonly<Record<string, Issuer>>, more: readonly object[] = []): string {
  const keys = Object.entries(issuers).map(([kid, { publicKey }]) => ({
    ...publicKey.export({ format: 'jwk' }),
    kid,
    use: 'sig',
  }));
  return JSON.stringify({ keys: [...keys, ...more] });
}

export const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Signed by ES256 or RS256, as the key wants. */
export function tokenOf(claims: object, { privateKey }: Issuer, header: object = {}): string {
  const alg = privateKey.asymmetricKeyType === 'ec' ? 'ES256' : 'RS256';
  const signed = `${encoded({ alg, typ: 'JWT', ...header })}.${encoded(claims)}`;
  const signature = createSign('sha256').update(signed).sign({ key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}
