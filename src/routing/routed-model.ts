/**
 * A model with an experiment: the rules of `assignment.ts` between open versions.
 *
 *   decide ─▶ variant ─▶ open ─────────▶ it answers
 *                     └▶ not ready ───▶ the champion answers: reason `fallback`, and `assigned` still names the variant
 *
 * Which version a variant is was found when the table came, so that a request needs one look-up by name.
 *
 * Must not know tables, or how a version is opened.
 */
import { invalid } from '../core/errors.js';
import type { Assigned, CallTerms } from '../core/inference.js';
import type { Version, VersionId } from '../core/model.js';
import { hashAfter } from '../core/murmur3.js';
import type { Assignment, Experiment, RouteReason } from '../core/route.js';
import { type Decision, decide, type Split, splitOf } from './assignment.js';
import type { ClaimOf } from './key.js';

/** How to come by the version of a variant: open, to be opened, or neither. */
export interface Arm<Opened extends Version> {
  readonly open: Opened | undefined;
  readonly want: (() => Opened | Promise<Opened>) | undefined;
}

export interface RoutedModelOptions<Opened extends Version> {
  readonly arm: (id: VersionId) => Arm<Opened>;
  /** Whoever answers for a variant that is not ready. @throws NOT_FOUND, UNAVAILABLE */
  readonly fallback: () => Opened | Promise<Opened>;
  /** Absent = no token is believed. */
  readonly claimOf?: ClaimOf | undefined;
}

export class RoutedModel<Opened extends Version> {
  /** The variant of those who take no part. */
  readonly champion: Arm<Opened>;
  /** For requests that name a version or label. */
  readonly explicit: Assignment;
  readonly #split: Split;
  readonly #arms: ReadonlyMap<string, Arm<Opened>>;
  readonly #fallback: RoutedModelOptions<Opened>['fallback'];
  readonly #claimOf: ClaimOf | undefined;

  constructor(model: string, experiment: Experiment, { arm, fallback, claimOf }: RoutedModelOptions<Opened>) {
    this.#claimOf = claimOf;
    this.#split = splitOf(model, experiment);
    this.#arms = new Map(
      experiment.variants.map(({ name, model: own, version }) => [name, arm({ model: own, version })]),
    );
    this.#fallback = fallback;
    this.champion = this.#arms.get(experiment.champion) ?? { open: undefined, want: undefined };
    this.explicit = {
      experiment: experiment.name,
      phase: experiment.phase,
      variant: '',
      assigned: '',
      reason: 'explicit',
      isSticky: false,
      keyHash: undefined,
      key: undefined,
    };
  }

  /** @throws INVALID_ARGUMENT for a variant that cannot be asked for */
  assign(terms: CallTerms): Assigned {
    const decision = decide(this.#split, terms, this.#claimOf);
    const { variant, reason } = decision;
    const arm = this.#arms.get(variant);
    const version = arm === undefined ? undefined : (arm.open ?? arm.want?.());
    if (version !== undefined) return { version, assignment: this.#assignment(decision, variant, reason) };
    if (reason === 'override') throw invalid(`variant '${variant}' of model '${this.#split.model}' is not ready`);
    const served = this.champion.open === undefined ? '' : this.#split.experiment.champion;
    return { version: this.#fallback(), assignment: this.#assignment(decision, served, 'fallback') };
  }

  #assignment({ variant: assigned, key, isSticky }: Decision, variant: string, reason: RouteReason): Assignment {
    const { experiment, analysis } = this.#split;
    const keyHash = key === undefined ? undefined : hashAfter(analysis, key);
    return { experiment: experiment.name, phase: experiment.phase, variant, assigned, reason, isSticky, keyHash, key };
  }
}
