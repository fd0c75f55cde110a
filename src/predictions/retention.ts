/**
 * What of the log is too old, or too much, to stay: a decision over folders of days, as a value.
 *
 *   newer than payloadDays          stays whole
 *   newer than metadataDays         loses its inputs and outputs
 *   older, or beyond the budget     is deleted, the oldest day first
 *
 * Must not know how a folder is deleted.
 */

export interface RetentionLimits {
  readonly payloadDays: number;
  readonly metadataDays: number;
  /** Of all finished files. */
  readonly bytesMax: number;
}

export interface Day {
  readonly path: string;
  readonly model: string;
  /** `YYYY-MM-DD`. */
  readonly date: string;
  readonly bytes: number;
  readonly isStripped: boolean;
}

export interface RetentionPlan {
  readonly strip: readonly Day[];
  readonly remove: readonly Day[];
}

const dayMs = 86_400_000;

/** @param days oldest first */
export function retentionPlan(days: readonly Day[], limits: RetentionLimits, nowMs: number): RetentionPlan {
  const before = (count: number) => new Date(nowMs - count * dayMs).toISOString().slice(0, 10);
  const [payloadFrom, metadataFrom] = [before(limits.payloadDays), before(limits.metadataDays)];
  let bytes = days.reduce((sum, day) => sum + day.bytes, 0);
  const strip: Day[] = [];
  const remove: Day[] = [];
  for (const day of days) {
    if (day.date < metadataFrom || bytes > limits.bytesMax) {
      remove.push(day);
      bytes -= day.bytes;
    } else if (day.date < payloadFrom && !day.isStripped) strip.push(day);
  }
  return { strip, remove };
}
