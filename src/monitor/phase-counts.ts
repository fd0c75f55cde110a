/**
 * Everything counted in the current phase of one experiment or canary, and what of it came since the last look.
 *
 *   reports of arms ─▶ ledger ┐
 *   deltas of keys ─▶ key table ┴─▶ look() ─▶ arms, as canary.ts and experiment.ts take them
 *
 * A new phase is a new one of these: counts of two phases are never mixed.
 *
 * Must not know when somebody looks, or what is concluded.
 */
import { type ArmCounts, armCountsSince, type KeyDeltas, noArmCounts } from '../core/arm-counts.js';
import { type ArmLedger, trafficOf } from './arm.js';
import type { Traffic } from './breach.js';
import type { CanaryArm } from './canary.js';
import { KeyTable, type KeyTableState } from './key-table.js';

/** The specification's limit of keys that are analysed. */
const keysMax = 200_000;

export interface PhaseCountsOptions {
  readonly ledger: ArmLedger;
  readonly experiment: string;
  readonly phase: number;
  readonly variants: readonly string[];
  readonly labelMetrics: readonly string[];
}

/** What a canary and an experiment take of an arm, in one. */
export interface ArmLook extends CanaryArm {
  readonly variant: string;
  /** Of this phase, with or without a key. */
  readonly requests: number;
}

/** Everything counted so far: another process goes on with it. */
export interface PhaseState {
  /** By variant. */
  readonly arms: Readonly<Record<string, ArmCounts>>;
  readonly keys: KeyTableState;
}

export class PhaseCounts {
  readonly #options: PhaseCountsOptions;
  readonly #lastLook = new Map<string, ArmCounts>();
  readonly keys: KeyTable;

  constructor(options: PhaseCountsOptions) {
    this.#options = options;
    this.keys = new KeyTable({ ...options, keysMax });
  }

  /** Deltas of another phase are dropped: they come late from a process that has not taken the new table yet. */
  addDeltas(deltas: KeyDeltas): void {
    const { experiment, phase } = this.#options;
    if (deltas.experiment === experiment && deltas.phase === phase) this.keys.addDeltas(deltas);
  }

  /** What all of the phase saw of a variant. */
  trafficOf(variant: string): Traffic {
    return trafficOf(this.#countsOf(variant));
  }

  /** As `arms`; the next interval begins here. */
  look(): ArmLook[] {
    const arms = this.arms();
    for (const { variant } of arms) this.#lastLook.set(variant, this.#countsOf(variant));
    return arms;
  }

  state(): PhaseState {
    const arms = this.#options.variants.map((variant) => [variant, this.#countsOf(variant)] as const);
    return { arms: Object.fromEntries(arms), keys: this.keys.state() };
  }

  /** Grows with everything that is counted. */
  get tally(): number {
    return this.#options.variants.reduce((sum, variant) => sum + this.#countsOf(variant).requests, this.keys.additions);
  }

  /** Goes on where these counts were; the next interval begins here. @throws INTERNAL when they do not fit together */
  restore({ arms, keys }: PhaseState): void {
    const { ledger, experiment, phase, variants } = this.#options;
    this.keys.restore(keys);
    for (const variant of variants) {
      const counts = Object.hasOwn(arms, variant) ? arms[variant]! : noArmCounts;
      ledger.retain({ experiment, phase, variant, counts });
      this.#lastLook.set(variant, counts);
    }
  }

  #countsOf(variant: string): ArmCounts {
    const { ledger, experiment, phase } = this.#options;
    return ledger.countsOf({ experiment, phase, variant });
  }

  /** @returns one for each variant, in their order */
  arms(): ArmLook[] {
    return this.#options.variants.map((variant) => {
      const counts = this.#countsOf(variant);
      const interval = trafficOf(armCountsSince(counts, this.#lastLook.get(variant) ?? noArmCounts));
      const { requests, predictions } = counts;
      return {
        variant,
        keys: this.keys.keysOf(variant),
        interval,
        metrics: this.keys.metricsOf(variant),
        predictions,
        requests,
      };
    });
  }
}
