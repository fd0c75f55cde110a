/**
 * How an OCI registry wants to be asked: nothing, Basic, or a token from a realm that the registry names.
 *
 *   ask ─▶ 401 Basic  ─▶ the configured credentials
 *       ─▶ 401 Bearer ─▶ GET realm?service=…&scope=repository:<name>:pull ─▶ token, kept until it expires
 *
 * The realm is chosen by the other side, so credentials go only to a realm on the registry's own host or on one that the
 * operator named. The scope is ours: to pull, from this repository, whatever the challenge says.
 *
 * Must not know manifests or blobs.
 */
import { GatewayError } from '../../core/errors.js';
import type { Credentials } from '../net/credentials.js';
import type { Http } from '../net/http.js';
import { jsonOf } from '../net/text.js';
import { challengesOf } from './oci-challenge.js';

export interface OciAuthOptions {
  readonly http: Http;
  /** Origin of the registry. */
  readonly registry: URL;
  readonly credentials: Credentials;
  /** `name` or `name:port` of token servers that may see the credentials. */
  readonly allowRealms: readonly string[];
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
}

interface Token {
  readonly header: string;
  readonly expiresAt: number;
}

const tokenBytesMax = 64 * 1024;
/** What the protocol assumes when the answer does not say. */
const lifeSecondsDefault = 60;
const lifeSecondsMax = 3600;
/** Of a token's life; the rest is for requests under way. */
const usedShare = 0.9;
const tokensMax = 10_000;

export class OciAuth {
  readonly #options: OciAuthOptions;
  readonly #tokens = new Map<string, Token>();
  #wantsBasic = false;

  constructor(options: OciAuthOptions) {
    this.#options = options;
  }

  /** The Authorization header to begin with, from what earlier answers taught. */
  async headerFor(repository: string): Promise<string | undefined> {
    const token = this.#tokens.get(repository);
    if (token !== undefined && this.#options.now() < token.expiresAt) return token.header;
    const configured = await this.#options.credentials.authorization();
    return this.#wantsBasic || configured?.startsWith('Bearer ') ? configured : undefined;
  }

  /**
   * The header to try after a 401.
   * @param sent the header that was answered by it
   * @throws UNAUTHENTICATED or PERMISSION_DENIED when there is nothing else to try
   */
  async headerAfter(
    repository: string,
    refusal: { readonly challenge: string | undefined; readonly sent: string | undefined },
    signal: AbortSignal,
  ): Promise<string> {
    const challenges = challengesOf(refusal.challenge ?? '');
    const configured = await this.#options.credentials.authorization();
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer !== undefined && !configured?.startsWith('Bearer ')) {
      const wasToken = refusal.sent?.startsWith('Bearer ') === true;
      if (wasToken && bearer.parameters.error === 'insufficient_scope') throw this.#forbidden(repository);
      return this.#token(repository, bearer.parameters, { configured, signal });
    }
    const isBasic = challenges.some(({ scheme }) => scheme === 'basic') && configured?.startsWith('Basic ');
    if (!isBasic || configured === undefined || configured === refusal.sent) {
      const why = configured === undefined ? 'wants credentials and none are configured' : 'refuses the credentials';
      throw new GatewayError('UNAUTHENTICATED', `${this.#options.registry.host} ${why} for '${repository}'`);
    }
    this.#wantsBasic = true;
    return configured;
  }

  async #token(
    repository: string,
    { realm = '', service }: Readonly<Record<string, string>>,
    { configured, signal }: { readonly configured: string | undefined; readonly signal: AbortSignal },
  ): Promise<string> {
    const url = this.#realm(realm, configured !== undefined);
    if (service !== undefined) url.searchParams.set('service', service);
    url.searchParams.set('scope', `repository:${repository}:pull`);
    const headers: Record<string, string> = { accept: 'application/json' };
    if (configured !== undefined) headers.authorization = configured;
    const answer = await this.#options.http.ask({ url, headers, signal });
    if (answer.status !== 200) {
      answer.dispose();
      if (answer.status === 403) throw this.#forbidden(repository);
      const reason = `token server ${url.host} answers ${answer.status} for '${repository}'`;
      throw new GatewayError('UNAUTHENTICATED', reason);
    }
    const token = tokenOf(await jsonOf(answer, tokenBytesMax), url.host);
    // Deleted first, so that a token given again moves to the end and the oldest goes when there are too many.
    this.#tokens.delete(repository);
    for (const oldest of this.#tokens.keys()) if (this.#tokens.size >= tokensMax) this.#tokens.delete(oldest);
    const expiresAt = this.#options.now() + token.lifeSeconds * 1000 * usedShare;
    this.#tokens.set(repository, { header: token.header, expiresAt });
    return token.header;
  }

  #realm(realm: string, carriesCredentials: boolean): URL {
    const { registry, allowRealms } = this.#options;
    if (!URL.canParse(realm)) throw new GatewayError('UNAUTHENTICATED', `${registry.host} names no token realm`);
    const url = new URL(realm);
    const isOurs = [registry.hostname, ...allowRealms].some((name) => name === url.hostname || name === url.host);
    if (carriesCredentials && !isOurs) {
      const reason = `the token realm ${url.host} is not on the registry's host: name it in allow_realms if it may see the credentials`;
      throw new GatewayError('UNAUTHENTICATED', reason);
    }
    if (registry.protocol === 'https:' && url.protocol !== 'https:') {
      throw new GatewayError('UNAUTHENTICATED', `the token realm ${url.host} is not asked by https`);
    }
    return url;
  }

  #forbidden(repository: string): GatewayError {
    return new GatewayError(
      'PERMISSION_DENIED',
      `${this.#options.registry.host} does not allow to pull '${repository}'`,
    );
  }
}

function tokenOf(answer: unknown, host: string): { readonly header: string; readonly lifeSeconds: number } {
  const { token, access_token, expires_in } = (answer ?? {}) as Readonly<Record<string, unknown>>;
  const text = token ?? access_token;
  if (typeof text !== 'string' || !/^[\x21-\x7e]+$/.test(text)) {
    throw new GatewayError('UNAUTHENTICATED', `token server ${host} gives no token`);
  }
  const seconds = typeof expires_in === 'number' && expires_in > 0 ? expires_in : lifeSecondsDefault;
  return { header: `Bearer ${text}`, lifeSeconds: Math.min(seconds, lifeSecondsMax) };
}
