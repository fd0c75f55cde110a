/**
 * Whether a call is of the kind that an experiment asks for (monitoring §3, step 5).
 *
 * Must not know variants.
 */
import type { CallTerms } from '../core/inference.js';
import type { Condition } from '../core/route.js';
import { type ClaimOf, valueAt } from './key.js';

/** All of them hold; of none, too. */
export function holds(conditions: readonly Condition[], terms: CallTerms, claimOf?: ClaimOf): boolean {
  for (let i = 0; i < conditions.length; i++) if (!holdsOne(conditions[i]!, terms, claimOf)) return false;
  return true;
}

const decimal = /^[+-]?[0-9]{1,30}(\.[0-9]{1,30})?$/;

/** What is missing meets no condition, nor does a text where a number is asked for. */
function holdsOne({ place, is, values, bound }: Condition, terms: CallTerms, claimOf?: ClaimOf): boolean {
  const value = valueAt(place, terms, claimOf);
  if (value === undefined) return false;
  if (is === 'exists') return true;
  if (is === 'in') return values.includes(value);
  if (!decimal.test(value)) return false;
  const number = Number(value);
  if (is === '<') return number < bound;
  if (is === '<=') return number <= bound;
  return is === '>' ? number > bound : number >= bound;
}
