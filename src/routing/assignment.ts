/**
 * Which variant a call gets, and by which rule: pure, without state, the same in every process (monitoring §3).
 *
 *   override → no key → layer → holdout → targeting → coverage → weight          the first that decides wins
 *
 * The rule before these (a version is named) and the one after (the variant is not ready) need to know versions: the router
 * has them. Whoever takes no part gets the champion.
 *
 * Must not know versions, or how a call came.
 */
import { invalid } from '../core/errors.js';
import type { CallTerms } from '../core/inference.js';
import { type HashPrefix, hashOf, prefixOf, shareOf, type Words, wordsOf } from '../core/murmur3.js';
import { type Candidate, candidatesOf, choose } from '../core/rendezvous.js';
import type { Condition, Experiment, RouteReason } from '../core/route.js';
import { type ClaimOf, keyOf } from './key.js';
import { holds } from './targeting.js';

/** An experiment with everything that does not depend on the call worked out. */
export interface Split {
  readonly model: string;
  readonly experiment: Experiment;
  readonly candidates: readonly Candidate[];
  readonly rules: readonly { readonly conditions: readonly Condition[]; readonly candidates: readonly Candidate[] }[];
  /** Undefined where it decides nothing. */
  readonly layer: HashPrefix | undefined;
  readonly holdout: HashPrefix | undefined;
  readonly enrolment: HashPrefix | undefined;
  readonly analysis: HashPrefix;
  readonly variantOfKey: ReadonlyMap<string, string> | undefined;
}

export interface Decision {
  readonly variant: string;
  readonly reason: RouteReason;
  readonly key: string | undefined;
  /** False when the key is only the request's id. */
  readonly isSticky: boolean;
}

export function splitOf(model: string, experiment: Experiment): Split {
  const { salt, variants, targeting, layer, holdout, coverage, overrides } = experiment;
  const keys = Object.entries(overrides.keys);
  return {
    model,
    experiment,
    candidates: candidatesOf(salt, variants),
    rules: targeting.map((rule) => ({
      conditions: rule.conditions,
      candidates: candidatesOf(
        salt,
        variants.filter(({ name }) => rule.variants.includes(name)),
      ),
    })),
    layer: layer === undefined || (layer.from <= 0 && layer.to >= 1) ? undefined : prefixOf(`${layer.salt}:layer:`),
    holdout: holdout === undefined || holdout.share <= 0 ? undefined : prefixOf(`${holdout.salt}:holdout:`),
    enrolment: coverage >= 1 ? undefined : prefixOf(`${salt}:enroll:`),
    analysis: prefixOf(`${salt}:analysis:`),
    variantOfKey: keys.length === 0 ? undefined : new Map(keys),
  };
}

/**
 * @param claimOf absent = no token is believed
 * @throws INVALID_ARGUMENT when a variant is asked for that may not be
 */
export function decide(split: Split, terms: CallTerms, claimOf?: ClaimOf): Decision {
  const { experiment } = split;
  const { champion } = experiment;
  const own = keyOf(experiment.key, terms, claimOf);
  const isSticky = own !== undefined;
  const key = own ?? (experiment.noKey === 'request' ? terms.requestId : undefined);
  const asked = askedOf(experiment, terms);
  if (asked !== '') return { variant: checkedVariant(split, asked), reason: 'override', key, isSticky };
  if (key === undefined) return { variant: champion, reason: 'no_key', key, isSticky };
  const given = split.variantOfKey?.get(key);
  if (given !== undefined) return { variant: given, reason: 'override', key, isSticky };
  // Nothing between here and the end reads another text.
  const words = wordsOf(key);
  if (split.layer !== undefined && !isInLayer(split, words)) {
    return { variant: champion, reason: 'layer', key, isSticky };
  }
  if (split.holdout !== undefined && shareOf(hashOf(split.holdout, words)) < experiment.holdout!.share) {
    return { variant: champion, reason: 'holdout', key, isSticky };
  }
  const candidates = split.rules.length === 0 ? split.candidates : targeted(split, terms, claimOf);
  if (candidates === undefined) return { variant: champion, reason: 'targeting', key, isSticky };
  if (split.enrolment !== undefined && shareOf(hashOf(split.enrolment, words)) >= experiment.coverage) {
    return { variant: champion, reason: 'coverage', key, isSticky };
  }
  return { variant: choose(candidates, words) ?? champion, reason: 'weight', key, isSticky };
}

function askedOf({ overrides }: Experiment, terms: CallTerms): string {
  if (terms.variant !== '' || overrides.header === '') return terms.variant;
  return terms.header(overrides.header) ?? '';
}

function isInLayer({ layer, experiment }: Split, key: Words): boolean {
  const x = shareOf(hashOf(layer!, key));
  return x >= experiment.layer!.from && x < experiment.layer!.to;
}

function targeted({ rules }: Split, terms: CallTerms, claimOf?: ClaimOf): readonly Candidate[] | undefined {
  for (let i = 0; i < rules.length; i++) if (holds(rules[i]!.conditions, terms, claimOf)) return rules[i]!.candidates;
  return undefined;
}

/** `<variant>` or `<experiment>/<variant>`. */
function checkedVariant({ experiment, model }: Split, asked: string): string {
  const slash = asked.indexOf('/');
  const variant = slash === -1 ? asked : asked.slice(slash + 1);
  const isOfThis = slash === -1 || asked.slice(0, slash) === experiment.name;
  if (isOfThis && experiment.overrides.allowed.includes(variant)) return variant;
  const { allowed } = experiment.overrides;
  const choice = allowed.length === 0 ? 'none may be' : `expected one of ${allowed.join(', ')}`;
  throw invalid(`variant '${shown(asked)}' of model '${model}' cannot be asked for: ${choice}`);
}

/** Longest name of an experiment, a slash and the longest of a variant. */
const shownMax = 129;

function shown(text: string): string {
  return text.length > shownMax ? `${text.slice(0, shownMax)}…` : text;
}
