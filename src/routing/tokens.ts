/**
 * Claims of the tokens that callers bring (`authorization: Bearer …`), for keys, targeting and tenants.
 *
 *   token ─ too long? ─▶ known? ─ believed, until it expires ──────▶ claim
 *                           │   └ refused, for some seconds ───────▶ nothing
 *                           └ no ─▶ verified once ─▶ kept as either
 *
 * A token that is not believed is like none: it may be meant for somebody else. So that a bad one does not cost a signature
 * check each time, it is remembered, too, apart from the good ones, which a flood of bad ones must not push out. What is known
 * is found by the token itself in about 1.5 µs; by its digest it would take 4 (measured, with 900 characters), and a signature
 * takes 100 to 300. Both memories are bounded in number and in bytes.
 *
 * Must not know routes, or how a token is verified.
 */
import { LRUCache } from 'lru-cache';
import type { CallTerms } from '../core/inference.js';
import type { Family } from '../core/series.js';
import type { TokenRules } from '../core/token-rules.js';
import type { ClaimOf } from './key.js';
import { type Claims, type Refusal, refusals, type TokenCheck, tokenCheck } from './token-check.js';

const scheme = /^bearer +/i;
/** What HTTP doors take as a whole is more, and no issuer needs it. */
const tokenLengthMax = 8192;
const headerLengthMax = tokenLengthMax + 16;
const refusedKeptMs = 5000;
/** What a believed token may take on average with its claims, which are reckoned at three times its length. */
const believedBytesEach = 4096;
const refusedBytesEach = 1024;
const entryBytes = 256;

/** What came of looking for a claim. */
const results = ['found', 'no_claim', ...refusals] as const;

export interface TokenClock {
  /** What tokens say they end by; it may be set. */
  readonly epochMs: () => number;
  /** Only ever forward: how long a refusal is remembered. */
  readonly now: () => number;
}

interface Book {
  readonly check: TokenCheck;
  readonly believed: LRUCache<string, Claims>;
  readonly refused: LRUCache<string, Refusal>;
}

export class Tokens {
  readonly #clock: TokenClock;
  readonly #checkOf: typeof tokenCheck;
  readonly #counts = Object.fromEntries(results.map((result) => [result, 0])) as Record<
    (typeof results)[number],
    number
  >;
  /** Undefined as long as no token is believed. */
  #book: Book | undefined;

  /** @param checkOf what verifies tokens by rules */
  constructor(clock: TokenClock, checkOf: typeof tokenCheck = tokenCheck) {
    this.#clock = clock;
    this.#checkOf = checkOf;
  }

  /** What was believed by other rules is forgotten. @param rules undefined = no token is believed */
  follow(rules: TokenRules | undefined): void {
    this.#book = rules && bookOf(rules, this.#checkOf(rules), this.#clock);
  }

  readonly claimOf: ClaimOf = (terms: CallTerms, name: string): string | undefined => {
    if (this.#book === undefined) return undefined;
    const header = terms.header('authorization');
    if (header === undefined || header === '') return undefined;
    const length = scheme.exec(header)?.[0].length;
    if (length === undefined) return undefined;
    const claims = this.#claimsOf(header, length, this.#book);
    if (typeof claims === 'string') {
      this.#counts[claims]++;
      return undefined;
    }
    const text = textOf(claimAt(claims, name));
    this.#counts[text === undefined ? 'no_claim' : 'found']++;
    return text;
  };

  #claimsOf(header: string, start: number, { check, believed, refused }: Book): Claims | Refusal {
    if (header.length > headerLengthMax) return 'too_long';
    const token = header.slice(start);
    if (token.length > tokenLengthMax) return 'too_long';
    const known = believed.get(token) ?? refused.get(token);
    if (known !== undefined) return known;
    const epochMs = this.#clock.epochMs();
    const result = check(token, epochMs);
    if (typeof result === 'string') {
      refused.set(token, result, { size: entryBytes + token.length });
      return result;
    }
    const { claims, untilMs } = result;
    const size = entryBytes + 4 * token.length;
    // An entry is old when more than its time has passed, and a time of 0 means that it has no end.
    const ttl = Math.floor(untilMs - epochMs) - 1;
    if (untilMs === Infinity) believed.set(token, claims, { size });
    else if (ttl > 0) believed.set(token, claims, { ttl, size });
    return claims;
  }

  families(): Family[] {
    const series = results.filter((result) => this.#counts[result] > 0);
    if (this.#book === undefined && series.length === 0) return [];
    return [
      {
        name: 'sluice_jwt_claims_total',
        help: 'Claims that were looked for in tokens of callers, by what came of it.',
        type: 'counter',
        series: series.map((result) => ({ labels: { result }, value: this.#counts[result] })),
      },
    ];
  }
}

function bookOf(rules: TokenRules, check: TokenCheck, { epochMs, now }: TokenClock): Book {
  const bounds = (bytesEach: number, clock: () => number) => ({
    max: rules.keptMax,
    // The longest token has room, too.
    maxSize: Math.max(rules.keptMax, 16) * bytesEach,
    ttlResolution: 0,
    perf: { now: clock },
  });
  return {
    check,
    believed: new LRUCache(bounds(believedBytesEach, epochMs)),
    refused: new LRUCache({ ttl: refusedKeptMs, ...bounds(refusedBytesEach, now) }),
  };
}

/** The claim of that very name, else the one that its parts lead to. */
function claimAt(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let at: unknown = claims;
  for (const part of name.split('.')) {
    if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, part)) return undefined;
    at = (at as Claims)[part];
  }
  return at;
}

/**
 * A text as it is, a number or truth value as its text, like a parameter. A whole number that a double does not hold is
 * none: two callers must not get the same key.
 */
function textOf(claim: unknown): string | undefined {
  if (typeof claim === 'string') return claim;
  if (typeof claim === 'boolean') return String(claim);
  if (typeof claim !== 'number') return undefined;
  return Number.isInteger(claim) && !Number.isSafeInteger(claim) ? undefined : String(claim);
}
