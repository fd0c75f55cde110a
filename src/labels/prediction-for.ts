/**
 * The prediction that a label is meant for.
 *
 * Must not know labels.
 */
import { dayOf } from './days.js';
import { hashOf } from './hash.js';
import { isOrigin, originAtOf, originOf, requestIdOf, rowOf } from './join-record.js';
import type { Joined } from './label-record.js';
import type { RecordIndex } from './record-index.js';

/** What a label says of its prediction. */
export interface Meant {
  readonly model: string;
  readonly requestId: string;
  readonly item: number;
}

/** The model on whose route an experiment is now; undefined = on none. */
export type RouteOf = (experiment: string) => string | undefined;

/** @returns a text that says why there is none; undefined when it may still come */
export function predictionFor(
  made: RecordIndex,
  { model, requestId, item }: Meant,
  routeOf: RouteOf,
): Joined | string | undefined {
  let other: string | undefined;
  for (const { payload, day, file } of made.find(hashOf(requestId), likelyDay(requestId))) {
    if (isOrigin(payload) || requestIdOf(payload) !== requestId) continue;
    const originPayload = made.at(day, file, originAtOf(payload));
    if (originPayload === undefined) continue;
    const origin = originOf(originPayload);
    // A route may lead to a version of another model; whoever may label one model must not label all by that.
    if (origin.model !== model && (origin.experiment === '' || (routeOf(origin.experiment) ?? model) !== model)) {
      other = `the request was one of model '${origin.model}'`;
      continue;
    }
    const { tsUs, unit, items } = rowOf(payload);
    const found = items[item];
    if (found === undefined) return `item_index: the request had ${items.length} items`;
    return { ...origin, requestId, item, tsUs, unit, ...found };
  }
  return other;
}

/** Ids that we give begin with the time: 48 bits of milliseconds. */
function likelyDay(requestId: string): string | undefined {
  const match = /^([0-9a-f]{8})-([0-9a-f]{4})-7/.exec(requestId);
  return match === null ? undefined : dayOf(Number.parseInt(match[1]! + match[2]!, 16));
}
