/**
 * Load on a server: runs from the moment it is made until it is stopped, and tells a meter what comes back.
 *
 * Must not know protocols, or how long it will run.
 */
import type { Caller } from './caller.js';
import type { Meter } from './meter.js';

export interface Load {
  /** Ends it. Requests that were due may still be answered before this resolves; nothing is metered after it. */
  stop(): Promise<void>;
}

const sweepMs = 50;

/**
 * Gives up requests that take too long, which one timer does for all of them.
 * @returns what stops it
 */
export function sweepOverdue(
  callers: readonly Caller[],
  { meter, timeoutMs, now }: { readonly meter: Meter; readonly timeoutMs: number; readonly now: () => number },
): () => void {
  const timer = setInterval(() => {
    const at = now();
    for (const caller of callers) {
      if (!caller.isBusy || at - caller.sentAt < timeoutMs) continue;
      meter.lose('timeout');
      caller.abandon();
    }
  }, sweepMs);
  return () => clearInterval(timer);
}
