/**
 * Who asks: the bearer token that a caller presents is looked up among those the configuration names, each with a role.
 *
 *   feedback ⊂ viewer ⊂ operator ⊂ admin
 *   brings labels ⊂ looks at everything ⊂ changes what is served ⊂ changes configuration and store
 *
 * Only digests are kept, and every lookup compares with all of them in constant time, so that neither a token nor which of
 * them is near can be told from the time it takes. Where no token is set, which only a loopback address may do, whoever
 * reaches the port is an admin.
 *
 * Must not know routes.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { GatewayError } from '../core/errors.js';

const roles = ['feedback', 'viewer', 'operator', 'admin'] as const;
export type Role = (typeof roles)[number];

export function isAtLeast(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed);
}

/** A caller who may pass. */
export interface Principal {
  /** Of the token: what the audit log calls the caller. */
  readonly name: string;
  readonly role: Role;
  /** Of these alone it may bring labels; undefined = of all. */
  readonly models?: readonly string[] | undefined;
}

/** A token by its digest or by the variable that holds it. */
export interface NamedToken {
  readonly role: Role;
  readonly sha256?: string | undefined;
  readonly token_env?: string | undefined;
  readonly models?: readonly string[] | undefined;
}

export interface ConfiguredTokens {
  /** One token for everything; empty = none. */
  readonly token: string;
  readonly tokens: Readonly<Record<string, NamedToken>>;
}

interface Key extends Principal {
  readonly digest: Buffer;
}

const anybody: Principal = { name: 'loopback', role: 'admin' };

export class Keyring {
  readonly #keys: readonly Key[];

  /** @throws INVALID_ARGUMENT naming a variable that holds no token, or two names with one token */
  constructor({ token, tokens }: ConfiguredTokens, environment: Readonly<Record<string, string | undefined>>) {
    const single = token === '' ? [] : [{ name: 'token', role: 'admin' as const, digest: digestOf(token) }];
    const named = Object.entries(tokens).map(([name, one]): Key => {
      return { name, role: one.role, models: one.models, digest: digestIn(name, one, environment) };
    });
    this.#keys = [...single, ...named];
    this.#keys.forEach((key, index) => {
      const same = this.#keys.slice(0, index).find(({ digest }) => digest.equals(key.digest));
      if (same !== undefined) throw wrong(key.name, `another token than that of '${same.name}', got the same`);
    });
  }

  /** Nobody has to present anything. */
  get isOpen(): boolean {
    return this.#keys.length === 0;
  }

  /** @param authorization the header as it came */
  find(authorization: string | undefined): Principal | undefined {
    if (this.isOpen) return anybody;
    const presented = digestOf(/^Bearer ([!-~]{1,512})$/i.exec(authorization ?? '')?.[1] ?? '');
    let found: Principal | undefined;
    for (const key of this.#keys) if (timingSafeEqual(presented, key.digest)) found = key;
    if (found === undefined) return undefined;
    const { name, role, models } = found;
    return { name, role, ...(models !== undefined && { models }) };
  }
}

function digestIn(
  name: string,
  { sha256, token_env: variable }: NamedToken,
  environment: Readonly<Record<string, string | undefined>>,
): Buffer {
  if (sha256 !== undefined) return Buffer.from(sha256, 'hex');
  const token = environment[variable ?? ''] ?? '';
  if (/^[!-~]{16,512}$/.test(token)) return digestOf(token);
  throw wrong(name, `at least 16 visible ASCII characters in the variable ${variable}, got something else`);
}

function wrong(name: string, expected: string): GatewayError {
  return new GatewayError('INVALID_ARGUMENT', `admin.tokens.${name}: expected ${expected}`);
}

/** Digests are of one length, so that comparing them tells nothing about a token's. */
function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
