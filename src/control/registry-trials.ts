/**
 * PART OF THE ROOT: how versions are read and tried, what came of it, and whether there is memory for them.
 *
 *   supply ─ bring ─▶ repository ─ trial (a child) ─▶ report (kept by digest) ─▶ room for it? ─▶ admitted
 *
 * Must not know when a version is brought, or what becomes of it.
 */
import { z } from 'zod';
import { overridden, specDefaultsOf } from '../config/derived.js';
import { nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import type { Family } from '../core/series.js';
import { MemoryBudget } from '../registry/memory-budget.js';
import { Repository } from '../registry/repository.js';
import { StateDocument, type StateFolder } from '../registry/store/state.js';
import type { Supply } from '../registry/supply.js';
import { type TrialReport, trialReport } from '../registry/trial-report.js';
import type { GuardWatch } from './guard-watch.js';
import type { RegistryTools } from './registry-room.js';
import { openGoldenRecords } from './registry-state.js';

/** Reports kept; each is about 400 bytes. The oldest are forgotten. */
const reportsMax = 2000;
const reportsSchema = z.record(z.string(), trialReport);

export interface RegistryTrials {
  readonly repository: Repository;
  readonly memory: MemoryBudget;
  /** By the digest of a version; undefined = it was not tried, or that was forgotten. */
  reportOf(sha256: string): TrialReport | undefined;
}

export async function openTrials(
  { live, log, admission, refresh, epochNow }: RegistryTools,
  { state, supply }: { readonly state: StateFolder; readonly supply: Supply },
): Promise<RegistryTrials> {
  const reports = await StateDocument.open<Readonly<Record<string, TrialReport>>>(state, 'trials', reportsSchema, {});
  const memory = new MemoryBudget({ bytesMax: () => live.current.memory.model_budget_bytes, refresh });
  const reportOf = (sha256: string) => (Object.hasOwn(reports.value, sha256) ? reports.value[sha256] : undefined);
  const repository = new Repository({
    bring: (id, how) => supply.bring(id, how),
    defaults: specDefaultsOf(live.current),
    override: (spec) => overridden(spec, live.current),
    trial: (trial, memoryBytesMax) => admission.admit(trial, memoryBytesMax),
    records: await openGoldenRecords(state),
    // Every start tries every version again; what the first time has told is told once, and the disk is left alone.
    tried: async (_, sha256, report) => {
      if (sha256 === undefined || isSame(reportOf(sha256), report)) return;
      await reports.change((all) => {
        const { [sha256]: _, ...others } = all;
        return Object.fromEntries([...Object.entries(others), [sha256, report] as const].slice(-reportsMax));
      });
    },
    reserve: (id, need) => memory.reserve(id, need),
    epochNow,
    warn: (id, warning) => log.warn('model.warning', { model: nameOf(id), warning }),
  });
  return { repository, memory, reportOf };
}

function isSame(kept: TrialReport | undefined, report: TrialReport): boolean {
  return kept?.fingerprint === report.fingerprint && kept.instances === report.instances;
}

/** The room that was kept for a version is taken, or free again. */
export function opening(budget: MemoryBudget, open: (spec: VersionSpec) => Promise<void>): typeof open {
  return async (spec) => {
    try {
      await open(spec);
    } catch (error) {
      budget.failed(spec.id);
      throw error;
    }
    budget.opened(spec.id);
  };
}

export function closing(budget: MemoryBudget, drain: (id: VersionId) => Promise<void>): typeof drain {
  return async (id) => {
    await drain(id);
    budget.closed(id);
  };
}

const memoryFamily = 'sluice_model_memory_bytes';

/** Both are told what a process counts. */
export function accounted(guard: GuardWatch, budget: MemoryBudget): Pick<GuardWatch, 'put' | 'end'> {
  return {
    put: (life, families) => {
      budget.told(life, heldIn(families));
      guard.put(life, families);
    },
    end: (life) => {
      budget.ended(life);
      guard.end(life);
    },
  };
}

/** By how much a process grew for each version, by name, as it tells itself. */
function heldIn(families: readonly Family[]): Map<string, number> {
  const series = families.find(({ name }) => name === memoryFamily)?.series ?? [];
  return new Map(
    series.map(({ labels: { model = '', version = '' }, value }) => [nameOf({ model, version }), value] as const),
  );
}
