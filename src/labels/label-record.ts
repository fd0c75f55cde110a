/**
 * A label with the prediction that it belongs to, as it is written down: whoever reads it again needs nothing else.
 *
 * Must not know files.
 */
import type { Origin } from './join-record.js';

/** The prediction of one item. */
export interface Joined extends Origin {
  readonly requestId: string;
  readonly item: number;
  readonly tsUs: number;
  /** Sealed. */
  readonly unit: number | undefined;
  readonly predicted: string | undefined;
  readonly score: number | undefined;
}

/** What was said to be true. */
export interface Told {
  readonly label: string;
  readonly tsMs: number;
  readonly receivedMs: number;
  readonly source: string;
  readonly weight: number;
}

export interface LabelRecord {
  readonly prediction: Joined;
  readonly key: string;
  readonly told: Told;
  /** Whose place it takes. */
  readonly replaces: Told | undefined;
  /** Older than what was known: it changes nothing. */
  readonly isHistory: boolean;
}

/** The name of a label: what is sent twice under it is one. */
export function labelNameOf(requestId: string, item: number, key: string): string {
  return `${requestId}\0${item}\0${key}`;
}

export function nameOfRecord({ prediction, key }: LabelRecord): string {
  return labelNameOf(prediction.requestId, prediction.item, key);
}

export function labelPayload(record: LabelRecord): Buffer {
  return Buffer.from(JSON.stringify(record));
}

export function labelOf(payload: Buffer): LabelRecord {
  const record = JSON.parse(payload.toString('utf8')) as LabelRecord;
  return { ...record, replaces: record.replaces ?? undefined };
}
