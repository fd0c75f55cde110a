/**
 * By what a token of a caller is believed: the keys that may have signed it, and what it must say of itself.
 *
 * Plain values, which travel from the control process to the gateway processes. Keys are public ones.
 *
 * Must not know how a token is verified.
 */

/** Signatures by key pair only: nothing that a holder of a public key could make himself, and never `none`. */
export const tokenAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
] as const;

export type TokenAlgorithm = (typeof tokenAlgorithms)[number];

export interface TokenKey {
  /** Empty = it has none. */
  readonly kid: string;
  /** Those that it fits and that are allowed; never empty. */
  readonly algorithms: readonly TokenAlgorithm[];
  /** SubjectPublicKeyInfo. */
  readonly pem: string;
}

export interface TokenRules {
  readonly keys: readonly TokenKey[];
  /** What `iss` must be; empty = anything. */
  readonly issuer: string;
  /** What `aud` must be or hold; empty = anything. */
  readonly audience: string;
  /** How far the clocks of two machines may be apart. */
  readonly clockToleranceS: number;
  /** Tokens that a process keeps. */
  readonly keptMax: number;
}
