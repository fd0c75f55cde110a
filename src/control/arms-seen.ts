/**
 * PART OF THE ROOT: what the arms of all experiments did in all processes, phase by phase.
 *
 *   processes ─ take ─▶ ledger, keys of the present phases ─▶ canaries, read-outs
 *
 * Must not know what is concluded.
 */
import type { ArmTake } from '../core/arm-counts.js';
import type { Experiment } from '../core/route.js';
import { ArmLedger } from '../monitor/arm.js';
import { type ExperimentMemory, freshMemory } from '../monitor/experiment-plan.js';
import { PhaseCounts } from '../monitor/phase-counts.js';

export interface SeenPhase {
  readonly model: string;
  readonly experiment: Experiment;
  readonly sinceMs: number;
  /** What looks had found when this process began to count: with counts that were kept, what was found in them. */
  readonly memory: ExperimentMemory;
  /** Beside those that need no labels. */
  readonly labelMetrics: readonly string[];
  readonly counts: PhaseCounts;
}

/** Puts what was counted before a restart into new counts; undefined when there is nothing of this very phase. */
export type Restore = (
  experiment: Experiment,
  counts: PhaseCounts,
) => Pick<SeenPhase, 'sinceMs' | 'memory'> | undefined;

/** Whose prediction was labelled. */
export interface LabelledArm {
  readonly experiment: string;
  readonly phase: number;
  readonly assigned: string;
  readonly key: number;
}

/** A label's value for a metric, and that of the label whose place it takes. */
export type LabelValues = (metric: string) => readonly [now: number | undefined, before: number | undefined];

export class ArmsSeen {
  readonly #ledger = new ArmLedger();
  readonly #now: () => number;
  readonly #restore: Restore;
  #phases = new Map<string, SeenPhase>();
  /** Requests whose keys found no room in a process. */
  untold = 0;

  constructor(now: () => number, restore: Restore = () => undefined) {
    this.#now = now;
    this.#restore = restore;
  }

  /** By the model that callers ask for. */
  get phases(): ReadonlyMap<string, SeenPhase> {
    return this.#phases;
  }

  /** From now on these phases are counted; called before a table that has them is sent. */
  follow(experiments: Readonly<Record<string, Experiment>>, labelMetrics: (model: string) => readonly string[]): void {
    const phases = new Map<string, SeenPhase>();
    for (const [model, experiment] of Object.entries(experiments)) {
      const known = this.#phases.get(model);
      const { name, phase } = experiment;
      if (known?.experiment.name === name && known.experiment.phase === phase) {
        phases.set(model, { ...known, experiment });
        continue;
      }
      const metrics = labelMetrics(model);
      const variants = experiment.variants.map((variant) => variant.name);
      const counts = new PhaseCounts({
        ledger: this.#ledger,
        experiment: name,
        phase,
        variants,
        labelMetrics: metrics,
      });
      const begun = this.#restore(experiment, counts) ?? { sinceMs: this.#now(), memory: freshMemory(phase) };
      phases.set(model, { model, experiment, labelMetrics: metrics, counts, ...begun });
      this.#ledger.forgetBefore(name, phase);
    }
    this.#phases = phases;
  }

  /** @param life a name that no later process has */
  take(life: string, { arms, keys, untold }: ArmTake): void {
    this.#ledger.put(life, arms);
    this.untold += untold;
    for (const deltas of keys) for (const { counts } of this.#phases.values()) counts.addDeltas(deltas);
  }

  /** A label of a prediction; one of a phase that is over counts no more. @param values what it says of a metric */
  addLabel({ experiment, phase, assigned, key }: LabelledArm, values: LabelValues): void {
    for (const { experiment: present, labelMetrics, counts } of this.#phases.values()) {
      if (present.name !== experiment || present.phase !== phase) continue;
      if (!present.variants.some(({ name }) => name === assigned)) continue;
      for (const metric of labelMetrics) {
        const [now, before] = values(metric);
        if (now !== undefined) counts.keys.addLabel(assigned, key, { metric, count: 1, sum: now });
        if (before !== undefined) counts.keys.addLabel(assigned, key, { metric, count: -1, sum: -before });
      }
    }
  }

  ended(life: string): void {
    this.#ledger.ended(life);
  }
}
