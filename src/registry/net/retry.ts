/**
 * What is tried again, and when.
 *
 * Must not know requests: statuses, errors and headers come in, a number of milliseconds goes out.
 */
import { GatewayError } from '../../core/errors.js';

const delayMsMax = 300_000;
const jitterMs = 1000;

export function isPassingStatus(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** A connection may succeed the next time; a certificate will be the same one. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof GatewayError) || error.code !== 'UNAVAILABLE') return false;
  const code = (error.cause as { code?: unknown } | undefined)?.code;
  return !(typeof code === 'string' && /^(CERT_|ERR_TLS_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_)/.test(code));
}

export interface RetryMoment {
  /** 0 after the first try. */
  readonly index: number;
  readonly retryAfter: string | undefined;
  readonly epochMs: number;
  /** In [0, 1). */
  readonly chance: number;
}

/** Doubles from one second on; what the server asks for counts when it is longer, up to five minutes. */
export function retryDelayMs({ index, retryAfter, epochMs, chance }: RetryMoment): number {
  const ownMs = Math.min(delayMsMax, 2 ** index * 1000) + chance * jitterMs;
  return Math.max(ownMs, Math.min(delayMsMax, retryAfterMs(retryAfter, epochMs)));
}

/** Seconds or a date; anything else is 0. */
function retryAfterMs(text: string | undefined, epochMs: number): number {
  if (text === undefined) return 0;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? 0 : Math.max(0, at - epochMs);
}
