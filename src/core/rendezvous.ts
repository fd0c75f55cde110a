/**
 * Weighted rendezvous: every variant draws a number from its name and the key, and the greatest score wins (monitoring §2.2).
 *
 *   score(v) = −weight(v) / ln(u(salt:v:key))
 *
 * No state and no order of variants enters, so every process gives a key the same variant, raising a weight only moves keys
 * towards its variant, and a new variant takes keys only for itself. The hash of `salt:v:` is made once, the key's each time.
 * It stands on the floor because routing decides by it and the statistics module shows it to whoever checks the rule.
 *
 * Must not know requests or versions.
 */
import { type HashPrefix, hashOf, prefixOf, shareOf, type Words } from './murmur3.js';

export interface Candidate {
  readonly name: string;
  readonly weight: number;
  readonly prefix: HashPrefix;
}

/** Those that can win, in the order that decides a tie. */
export function candidatesOf(
  salt: string,
  variants: readonly { readonly name: string; readonly weight: number }[],
): readonly Candidate[] {
  return variants
    .filter(({ weight }) => weight > 0)
    .map(({ name, weight }) => ({ name, weight, prefix: prefixOf(`${salt}:${name}:`) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * @param key as `wordsOf` read it
 * @returns the winner's name; undefined when nobody has a weight
 */
export function choose(candidates: readonly Candidate[], key: Words): string | undefined {
  let best: string | undefined;
  let bestScore = -1;
  for (let i = 0; i < candidates.length; i++) {
    const { name, weight, prefix } = candidates[i]!;
    const score = -weight / Math.log(shareOf(hashOf(prefix, key)));
    if (score > bestScore) {
      best = name;
      bestScore = score;
    }
  }
  return best;
}
