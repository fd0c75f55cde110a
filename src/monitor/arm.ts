/**
 * The counts of arms, over all processes and their ends.
 *
 * Each process reports its counts whole since its start; what an ended process counted stays, so an arm's counts never go
 * down. A phase that is over is forgotten as a whole.
 *
 * Must not know what is concluded from them.
 */
import {
  type ArmCounts,
  type ArmId,
  type ArmReport,
  addArmCounts,
  armLatencyBoundsMs,
  noArmCounts,
} from '../core/arm-counts.js';
import type { Traffic } from './breach.js';

export function trafficOf({ requests, faults, latency }: ArmCounts): Traffic {
  return { requests, faults, latency: { boundsMs: armLatencyBoundsMs, counts: latency } };
}

function nameOf({ experiment, phase, variant }: ArmId): string {
  return `${experiment}:${phase}:${variant}`;
}

export class ArmLedger {
  readonly #living = new Map<string, ReadonlyMap<string, ArmReport>>();
  #retained = new Map<string, ArmReport>();

  /** @param process a name that no later process has */
  put(process: string, reports: readonly ArmReport[]): void {
    this.#living.set(process, new Map(reports.map((report) => [nameOf(report), report])));
  }

  ended(process: string): void {
    for (const report of this.#living.get(process)?.values() ?? []) this.retain(report);
    this.#living.delete(process);
  }

  /** What was counted by processes that are no more. */
  retain(report: ArmReport): void {
    const name = nameOf(report);
    const before = this.#retained.get(name)?.counts ?? noArmCounts;
    this.#retained.set(name, { ...report, counts: addArmCounts(before, report.counts) });
  }

  countsOf(arm: ArmId): ArmCounts {
    const name = nameOf(arm);
    let counts = this.#retained.get(name)?.counts ?? noArmCounts;
    for (const reports of this.#living.values()) {
      const report = reports.get(name);
      if (report !== undefined) counts = addArmCounts(counts, report.counts);
    }
    return counts;
  }

  /** Drops what ended processes counted in phases before this one. */
  forgetBefore(experiment: string, phase: number): void {
    this.#retained = new Map(
      [...this.#retained].filter(([, report]) => report.experiment !== experiment || report.phase >= phase),
    );
  }
}
