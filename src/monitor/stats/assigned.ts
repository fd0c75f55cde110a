/**
 * The variant of a key (monitoring §2.2), as a pure function of salt, key and weights.
 *
 * It is the rule that routes requests, not a copy of it, so that an analysis or a client can say beforehand what a gateway
 * will answer.
 *
 * Must not know requests, coverage or targeting.
 */
import { invalid } from '../../core/errors.js';
import { wordsOf } from '../../core/murmur3.js';
import { candidatesOf, choose } from '../../core/rendezvous.js';

/**
 * Weighted rendezvous: the variant with the greatest score −weight/ln(u(salt:variant:key)); a tie goes to the name that is
 * first in code-unit order. Only ratios of weights matter; one of 0 never wins.
 *
 * Source: Thaler, Ravishankar 1998; weights by Schindelhauer, Schomaker 2005.
 *
 * @returns null when all weights are 0
 * @throws INVALID_ARGUMENT for a weight that is negative or not finite
 */
export function assignVariant(salt: string, key: string, weights: Readonly<Record<string, number>>): string | null {
  const variants = Object.entries(weights).map(([name, weight]) => ({ name, weight }));
  for (const { name, weight } of variants) {
    if (!(weight >= 0 && weight < Infinity))
      throw invalid(`variant '${name}': weight is ${weight}, expected 0 or more`);
  }
  return choose(candidatesOf(salt, variants), wordsOf(key)) ?? null;
}
