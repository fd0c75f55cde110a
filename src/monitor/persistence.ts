/**
 * Two in a row raise an alarm, three quiet ones end it (monitoring §12, rule 4): one window by chance is no alarm, and one
 * quiet window is no recovery.
 *
 *   quiet ──2 hits──▶ fired ──3 clears──▶ quiet
 *
 * A window that cannot be judged is not shown to it: it neither counts nor resets.
 *
 * Must not know what is watched.
 */

/** One alarm between two windows, as plain values that survive a restart. */
export interface Level {
  readonly isFired: boolean;
  /** Windows in a row that were over the threshold. */
  readonly hits: number;
  /** Windows in a row that were well below it. */
  readonly clears: number;
}

export const quiet: Level = { isFired: false, hits: 0, clears: 0 };

const hitsToFire = 2;
const clearsToResolve = 3;
/** Below this part of the threshold a window is a clear one; in between it is neither. */
export const clearPart = 0.8;

/** A judged window. */
export interface Look {
  readonly isHit: boolean;
  readonly isClear: boolean;
  /** For what is a fact and not a sample: one window is enough. */
  readonly atOnce?: boolean;
}

export function afterWindow(level: Level, { isHit, isClear, atOnce = false }: Look): Level {
  const hits = isHit ? Math.min(level.hits + 1, hitsToFire) : 0;
  const clears = isClear ? Math.min(level.clears + 1, clearsToResolve) : 0;
  const isFired = level.isFired ? clears < clearsToResolve : hits >= (atOnce ? 1 : hitsToFire);
  return { isFired, hits, clears };
}
