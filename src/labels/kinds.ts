/**
 * How the two kinds of records are found, and what is counted of them.
 *
 *   predictions  by request id; counted: how many of whom were served, by hour
 *   labels       by request id, item and key
 *
 * Must not know files.
 */
import type { RecordKind } from './day-index.js';
import { hashOf } from './hash.js';
import { isOrigin, itemCountOf, originAtOf, originOf, requestIdOf, tsUsOf } from './join-record.js';
import { labelOf, nameOfRecord } from './label-record.js';

const hourUs = 3_600_000_000;

/** Whose predictions were counted. */
export interface Served {
  readonly model: string;
  readonly version: string;
  readonly variant: string;
  /** Since 1970. */
  readonly hour: number;
}

/** Of origins, the key of the hour that was asked for last: rows mostly share both. */
const keys = new WeakMap<Buffer, { readonly hour: number; readonly key: string }>();

function keyOf(origin: Buffer, hour: number): string {
  const known = keys.get(origin);
  if (known?.hour === hour) return known.key;
  const { model, version, variant } = originOf(origin);
  const key = JSON.stringify([model, version, variant, hour]);
  keys.set(origin, { hour, key });
  return key;
}

export const predictionKind: RecordKind = {
  hashOf: (payload) => (isOrigin(payload) ? undefined : hashOf(requestIdOf(payload))),
  countOf: (payload, at) => {
    const origin = isOrigin(payload) ? undefined : at(originAtOf(payload));
    return origin && [keyOf(origin, Math.floor(tsUsOf(payload) / hourUs)), itemCountOf(payload)];
  },
};

export function servedOf(key: string): Served {
  const [model, version, variant, hour] = JSON.parse(key) as [string, string, string, number];
  return { model, version, variant, hour };
}

export const labelKind: RecordKind = {
  hashOf: (payload) => hashOf(nameOfRecord(labelOf(payload))),
  countOf: () => undefined,
};
