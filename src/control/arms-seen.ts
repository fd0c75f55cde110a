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
import { PhaseCounts } from '../monitor/phase-counts.js';

export interface SeenPhase {
  readonly model: string;
  readonly experiment: Experiment;
  readonly sinceMs: number;
  readonly counts: PhaseCounts;
}

export class ArmsSeen {
  readonly #ledger = new ArmLedger();
  readonly #now: () => number;
  #phases = new Map<string, SeenPhase>();
  /** Requests whose keys found no room in a process. */
  untold = 0;

  constructor(now: () => number) {
    this.#now = now;
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
      const variants = experiment.variants.map((variant) => variant.name);
      const counts = new PhaseCounts({
        ledger: this.#ledger,
        experiment: name,
        phase,
        variants,
        labelMetrics: labelMetrics(model),
      });
      phases.set(model, { model, experiment, sinceMs: this.#now(), counts });
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

  ended(life: string): void {
    this.#ledger.ended(life);
  }
}
