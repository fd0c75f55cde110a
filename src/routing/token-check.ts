/**
 * One token against the rules: header → key → signature → time, issuer, audience → its claims, or why it is not believed.
 *
 * The key is chosen by ours, never by what the token brings (`jwk`, `jku`, `x5c`), and each key has the algorithms that it
 * fits: a token cannot have its signature checked by another. The library is loaded by whoever is given rules for the first
 * time, because it takes 50 ms and 9 MB of each process (measured) that nobody else needs.
 *
 * Must not know calls, or what is remembered.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { createRequire } from 'node:module';
import type { TokenAlgorithm, TokenRules } from '../core/token-rules.js';

export const refusals = [
  'too_long',
  'malformed',
  'algorithm',
  'unknown_key',
  'signature',
  'not_yet_valid',
  'expired',
  'issuer',
  'audience',
] as const;

/** Why a token is not believed. */
export type Refusal = (typeof refusals)[number];

export type Claims = Readonly<Record<string, unknown>>;

export interface Believed {
  readonly claims: Claims;
  /** Milliseconds since the epoch; Infinity = it has no end. */
  readonly untilMs: number;
}

export type TokenCheck = (token: string, epochMs: number) => Believed | Refusal;

type Library = typeof import('jsonwebtoken');

interface Key {
  readonly kid: string;
  readonly algorithms: readonly TokenAlgorithm[];
  readonly key: KeyObject;
}

interface Checking {
  readonly library: Library;
  readonly rules: TokenRules;
  readonly keys: readonly Key[];
}

export function tokenCheck(rules: TokenRules): TokenCheck {
  const library: Library = createRequire(import.meta.url)('jsonwebtoken');
  const keys = rules.keys.map(({ kid, algorithms, pem }) => ({ kid, algorithms, key: createPublicKey(pem) }));
  const checking = { library, rules, keys };
  return (token, epochMs) => {
    const header = headerOf(library, token);
    if (header === undefined) return 'malformed';
    const fitting = keys.filter(({ algorithms }) => algorithms.some((algorithm) => algorithm === header.alg));
    if (fitting.length === 0) return 'algorithm';
    let result: Believed | Refusal = 'unknown_key';
    for (const { key } of chosen(fitting, header.kid)) {
      result = checked(token, epochMs, { ...checking, key, algorithm: header.alg as TokenAlgorithm });
      if (result !== 'signature') return result;
    }
    return result;
  };
}

interface Header {
  readonly alg: string;
  readonly kid: string;
}

/** Undefined when it cannot be read, or asks for an extension that we do not know (RFC 7515 §4.1.11). */
function headerOf(library: Library, token: string): Header | undefined {
  try {
    const header: Claims | undefined = library.decode(token, { complete: true })?.header as Claims | undefined;
    if (header === undefined || 'crit' in header) return undefined;
    const { alg, kid = '' } = header;
    return typeof alg === 'string' && typeof kid === 'string' ? { alg, kid } : undefined;
  } catch {
    return undefined;
  }
}

/** Keys of that name, else those without one; a token that names none may mean the only key that fits. */
function chosen(fitting: readonly Key[], kid: string): readonly Key[] {
  if (kid === '' && fitting.length === 1) return fitting;
  const named = fitting.filter((key) => key.kid === kid);
  return named.length > 0 ? named : fitting.filter((key) => key.kid === '');
}

function checked(
  token: string,
  epochMs: number,
  { library, rules, key, algorithm }: Checking & { readonly key: KeyObject; readonly algorithm: TokenAlgorithm },
): Believed | Refusal {
  const { issuer, audience, clockToleranceS } = rules;
  try {
    const claims: unknown = library.verify(token, key, {
      algorithms: [algorithm],
      clockTimestamp: Math.floor(epochMs / 1000),
      clockTolerance: clockToleranceS,
      ...(issuer !== '' && { issuer }),
      ...(audience !== '' && { audience }),
    });
    if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) return 'malformed';
    const { exp } = claims as { readonly exp?: number };
    return { claims: claims as Claims, untilMs: exp === undefined ? Infinity : (exp + clockToleranceS) * 1000 };
  } catch (error) {
    return refusalOf(error as Error);
  }
}

/** The one place that reads what the library says. */
function refusalOf({ name, message }: Error): Refusal {
  if (name === 'TokenExpiredError') return 'expired';
  if (name === 'NotBeforeError') return 'not_yet_valid';
  if (message === 'invalid signature') return 'signature';
  if (message.startsWith('jwt issuer invalid')) return 'issuer';
  return message.startsWith('jwt audience invalid') ? 'audience' : 'malformed';
}
