/**
 * Hard limits: a version that fails or crawls in comparison with the one it replaces. The guard after a swap and the circuit of
 * a canary are this with different numbers.
 *
 * A limit on shares alone would take an equal version back when few requests are compared: where 1 % fail, every fourth swap
 * (simulated, 60 requests on each side). So what is over the limit must also be more than chance.
 *
 * Must not know what follows.
 */
import { isP99Above, type LatencyCounts, quantileBoundMs, quantileMs, timed } from './latency.js';
import { binomialTail } from './special.js';

/** What one version or arm answered within a time. */
export interface Traffic {
  readonly requests: number;
  readonly faults: number;
  readonly latency: LatencyCounts;
}

export interface BreachRule {
  /** Fewer prove nothing. */
  readonly requestsMin: number;
  readonly faultShareMin: number;
  /** Against the share of the other. */
  readonly faultRatioMin: number;
  /** The chance of so many faults in an equal version, at most. */
  readonly faultChanceMax: number;
  readonly p99RatioMax: number;
  /** In place of the ratio. */
  readonly p99HardMs: number | null;
}

/** What was compared: plain values for the audit log. */
export interface BreachNumbers {
  readonly requests: number;
  readonly faults: number;
  readonly fault_share: number | null;
  readonly p99_ms: number | null;
  readonly reference_requests: number;
  readonly reference_faults: number;
  readonly reference_fault_share: number | null;
  readonly reference_p99_ms: number | null;
  readonly p99_limit_ms: number | null;
}

export interface Breach {
  /** Empty = none. */
  readonly reasons: readonly ('errors' | 'p99')[];
  /** Too few requests to say. */
  readonly isTooFew: boolean;
  readonly numbers: BreachNumbers;
}

export function breachOf(current: Traffic, reference: Traffic, rule: BreachRule): Breach {
  const isTooFew = current.requests < rule.requestsMin;
  const limitMs = p99LimitMs(reference, rule);
  const reasons: Breach['reasons'][number][] = [];
  if (!isTooFew && isFailing(current, reference, rule)) reasons.push('errors');
  if (!isTooFew && limitMs !== null && isP99Above(current.latency, limitMs)) reasons.push('p99');
  const numbers: BreachNumbers = {
    requests: current.requests,
    faults: current.faults,
    fault_share: shareOf(current),
    p99_ms: quantileMs(current.latency, 0.99),
    reference_requests: reference.requests,
    reference_faults: reference.faults,
    reference_fault_share: shareOf(reference),
    reference_p99_ms: quantileMs(reference.latency, 0.99),
    p99_limit_ms: limitMs,
  };
  return { reasons, isTooFew, numbers };
}

function shareOf({ requests, faults }: Traffic): number | null {
  return requests === 0 ? null : faults / requests;
}

/** A reference that answered nothing failed nothing. Shares are compared as products: 30 of 100 is three times 10 of 100. */
function isFailing(current: Traffic, reference: Traffic, rule: BreachRule): boolean {
  if ((shareOf(current) ?? 0) < rule.faultShareMin) return false;
  const isTimesMore = current.faults * reference.requests >= rule.faultRatioMin * reference.faults * current.requests;
  return isTimesMore && chanceOf(current, reference) <= rule.faultChanceMax;
}

/** Of equal versions, each fault falls on one of them as its requests do. Without a reference there is nothing to doubt. */
function chanceOf(current: Traffic, reference: Traffic): number {
  if (reference.requests === 0) return 0;
  const share = current.requests / (current.requests + reference.requests);
  return binomialTail(current.faults, current.faults + reference.faults, share);
}

/** Null when the reference has too few requests for a p99, or one above all bounds. */
function p99LimitMs({ latency }: Traffic, rule: BreachRule): number | null {
  if (rule.p99HardMs !== null) return rule.p99HardMs;
  const bound = timed(latency) < rule.requestsMin ? undefined : quantileBoundMs(latency, 0.99);
  return bound === undefined || bound === Infinity ? null : rule.p99RatioMax * bound;
}

export const noTraffic: Traffic = { requests: 0, faults: 0, latency: { boundsMs: [], counts: [] } };
