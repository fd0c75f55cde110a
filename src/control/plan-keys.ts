/**
 * PART OF THE ROOT: which share of keys would be given another variant by other routes: made-up keys are assigned by both, with
 * the rule that gateway processes assign by. Targeting, layers and holdouts are left out: who they concern is known only to
 * requests.
 *
 * Must not know how routes come into force.
 */
import { experimentNameOf } from '../config/route-agreement.js';
import type { Config } from '../config/schema.js';
import { wordsOf } from '../core/murmur3.js';
import { ownOf } from '../core/own.js';
import { candidatesOf, choose } from '../core/rendezvous.js';

type Routes = Config['routes'];

/** Keys of one model that would be answered by another variant. */
export interface MovedKeys {
  readonly model: string;
  /** 0 to 1. */
  readonly share: number;
}

/** A share is right to about one in a hundred. */
const keyCount = 10_000;

export function movedKeys(before: Routes, next: Routes): MovedKeys[] {
  const models = new Set([...Object.keys(before), ...Object.keys(next)]);
  return [...models].flatMap((model) => {
    const share = shareMoved(model, ownOf(before, model), ownOf(next, model));
    return share === 0 ? [] : [{ model, share }];
  });
}

function shareMoved(model: string, before: Routes[string] | undefined, next: Routes[string] | undefined): number {
  const [was, is] = [variantsOf(model, before), variantsOf(model, next)];
  if (was === undefined && is === undefined) return 0;
  // Without a route everybody gets what a route calls its default.
  const [wasDefault, isDefault] = [before?.default ?? next?.default, next?.default ?? before?.default];
  let moved = 0;
  for (let number = 0; number < keyCount; number++) {
    const key = `key-${number}`;
    // Who takes part when few do takes part when more do.
    const place = number / keyCount;
    if ((was?.(key, place) ?? wasDefault) !== (is?.(key, place) ?? isDefault)) moved++;
  }
  return moved / keyCount;
}

/** Which variant a key gets; undefined for a route without variants. */
function variantsOf(model: string, route: Routes[string] | undefined) {
  if (route?.default === undefined) return undefined;
  const variants = Object.entries(route.variants).map(([name, { weight = 0 }]) => ({ name, weight }));
  const candidates = candidatesOf(route.salt ?? experimentNameOf(model, route), variants);
  const { coverage, default: champion } = route;
  return (key: string, place: number) => (place < coverage ? (choose(candidates, wordsOf(key)) ?? champion) : champion);
}
