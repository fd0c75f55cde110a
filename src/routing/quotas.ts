/**
 * What each tenant may use, in milliseconds of model time a second: one token bucket each.
 *
 *   tenantOf(call) ─▶ run(request) ─ anything left? ─ no ─▶ 429 that names the tenant and says when
 *                                         └ yes ─ an estimate is taken ─▶ run ─▶ what it really took instead
 *
 * A request in a batch has its share of the run. Names come from callers: only those of the configuration and a bounded number
 * of others have a bucket of their own, the rest share one.
 *
 * Must not know queues or protocols.
 */
import { GatewayError } from '../core/errors.js';
import type { CallTerms, Infer, InferenceReply, InferenceRequest } from '../core/inference.js';
import type { CallPlace } from '../core/route.js';
import type { Family } from '../core/series.js';
import { type ClaimOf, keyOf } from './key.js';

export interface Allowance {
  /** 0 = as much as there is. */
  readonly msPerS: number;
  /** What may be saved up. */
  readonly burstMs: number;
}

export interface QuotasOptions {
  /** Where a call says whose it is; tried in order. */
  readonly places: readonly CallPlace[];
  readonly tenants: ReadonlyMap<string, Allowance>;
  /** Of everybody else, each. */
  readonly others: Allowance;
  /** Others with a bucket of their own. */
  readonly othersMax: number;
  readonly now: () => number;
  /** Reads the tokens of callers; absent = none is believed. */
  readonly claimOf?: ClaimOf;
}

interface Account {
  readonly name: string;
  readonly allowance: Allowance;
  leftMs: number;
  at: number;
  /** What a request of this tenant takes, lately. */
  usualMs: number;
  usedMs: number;
  refused: number;
}

/** Weight of the newest request in what is usual. */
const smoothing = 0.2;
/** Everybody beyond the limit, and everybody who says no name. */
const crowd = '_other';

export class Quotas {
  readonly #options: QuotasOptions;
  readonly #accounts = new Map<string, Account>();
  #others = 0;

  constructor(options: QuotasOptions) {
    this.#options = options;
    for (const [name, allowance] of options.tenants) this.#open(name, allowance);
    this.#open(crowd, options.others);
  }

  readonly tenantOf = (terms: CallTerms): string => keyOf(this.#options.places, terms, this.#options.claimOf) ?? crowd;

  /** Runs requests by `next` as long as their tenants have something left. */
  limited(next: Infer): Infer {
    return (request) => {
      const account = this.#accountOf(request.tenant ?? crowd);
      if (account.allowance.msPerS > 0) {
        this.#refill(account);
        if (account.leftMs <= 0) return Promise.reject(this.#refusal(account));
      }
      const takenMs = account.usualMs;
      account.leftMs -= takenMs;
      const settle = (usedMs: number) => {
        account.leftMs += takenMs - usedMs;
        account.usedMs += usedMs;
      };
      return next(request).then(
        (reply) => {
          const usedMs = partOf(request, reply);
          account.usualMs += smoothing * (usedMs - account.usualMs);
          settle(usedMs);
          return reply;
        },
        (error: unknown) => {
          settle(0);
          throw error;
        },
      );
    };
  }

  #open(name: string, allowance: Allowance): Account {
    const at = this.#options.now();
    const account = { name, allowance, leftMs: allowance.burstMs, at, usualMs: 0, usedMs: 0, refused: 0 };
    this.#accounts.set(name, account);
    return account;
  }

  #accountOf(name: string): Account {
    const known = this.#accounts.get(name);
    if (known !== undefined) return known;
    if (this.#others >= this.#options.othersMax) return this.#accounts.get(crowd)!;
    this.#others++;
    return this.#open(name, this.#options.others);
  }

  #refill(account: Account): void {
    const { now } = this.#options;
    const { msPerS, burstMs } = account.allowance;
    const at = now();
    account.leftMs = Math.min(burstMs, account.leftMs + ((at - account.at) / 1000) * msPerS);
    account.at = at;
  }

  #refusal(account: Account): GatewayError {
    const { name, allowance, leftMs } = account;
    account.refused++;
    const text = `tenant '${name}' has used its quota of ${allowance.msPerS} ms of model time a second`;
    const retryAfterMs = Math.ceil(((1 - leftMs) / allowance.msPerS) * 1000);
    return new GatewayError('RESOURCE_EXHAUSTED', text, { reason: 'quota', retryAfterMs });
  }

  families(): Family[] {
    const accounts = [...this.#accounts.values()].filter(({ usedMs, refused }) => usedMs > 0 || refused > 0);
    const family = (name: string, help: string, read: (account: Account) => number): Family => ({
      name,
      help,
      type: 'counter',
      series: accounts.map((account) => ({ labels: { tenant: account.name }, value: read(account) })),
    });
    return [
      family('sluice_tenant_seconds_total', 'Model time that a tenant has used.', ({ usedMs }) => usedMs / 1000),
      family('sluice_tenant_refused_total', 'Requests of a tenant beyond its quota.', ({ refused }) => refused),
    ];
  }
}

/** The part of a batch's run that was this request's. */
function partOf({ rows }: InferenceRequest, { timing }: InferenceReply): number {
  const { inferMs, batchRows } = timing;
  return batchRows > 1 ? (inferMs * Math.max(1, rows)) / batchRows : inferMs;
}
