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

/** The origin that was read last: rows of one file mostly share it. */
let last: { readonly payload: Buffer; readonly key: string } | undefined;

function keyOf(payload: Buffer): string {
  if (last?.payload.equals(payload) !== true) {
    const { model, version, variant } = originOf(payload);
    last = { payload: Buffer.from(payload), key: JSON.stringify([model, version, variant]).slice(1, -1) };
  }
  return last!.key;
}

export const predictionKind: RecordKind = {
  hashOf: (payload) => (isOrigin(payload) ? undefined : hashOf(requestIdOf(payload))),
  countsOf: (payload, at) => {
    if (isOrigin(payload)) return [];
    const origin = at(originAtOf(payload));
    if (origin === undefined) return [];
    return [[`[${keyOf(origin)},${Math.floor(tsUsOf(payload) / hourUs)}]`, itemCountOf(payload)]];
  },
};

export function servedOf(key: string): Served {
  const [model, version, variant, hour] = JSON.parse(key) as [string, string, string, number];
  return { model, version, variant, hour };
}

export const labelKind: RecordKind = {
  hashOf: (payload) => hashOf(nameOfRecord(labelOf(payload))),
  countsOf: () => [],
};
