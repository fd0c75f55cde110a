/**
 * PART OF THE ROOT: what a change of models would mean: in what the version that is to answer differs from the one it replaces,
 * whether it would be let, and the memory that versions need.
 *
 * Files are read where they are, in the store or in a folder. What would have to be pulled first is not known before it is, and
 * a plan pulls nothing.
 *
 * Must not know how a change comes about.
 */
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import type { VersionId } from '../core/model.js';
import type { Contract, ContractChange } from '../registry/contract.js';
import { contractChanges } from '../registry/contract.js';
import { forecastBytes } from '../registry/memory-budget.js';
import type { Registry } from '../registry/registry.js';
import type { Store } from '../registry/store/store.js';
import type { Supply } from '../registry/supply.js';
import type { TrialReport } from '../registry/trial-report.js';
import type { ModelChange } from './foresight.js';
import { movedKeys } from './plan-keys.js';
import type { RegistryTrials } from './registry-trials.js';
import type { Plan } from './reload.js';

interface PlannedContract {
  readonly from: string;
  readonly to: string;
  /** Null = nobody can tell before it is pulled, or it cannot be read. */
  readonly changes: readonly ContractChange[] | null;
  /** Why there are none to show; empty when there are. */
  readonly unknown: string;
  /** It would be open and not answer by default: callers would notice, and nothing allows that. */
  readonly isRefused: boolean;
}

export interface PlannedChange extends ModelChange {
  /** Null when no version takes the place of another. */
  readonly contract: PlannedContract | null;
  /** Bytes in each gateway process by version that is loaded, where it was tried before. */
  readonly memoryBytes: Readonly<Record<string, number>>;
}

export interface PlanTools {
  readonly registry: Pick<Registry, 'specOf'>;
  readonly supply: Pick<Supply, 'peek'>;
  readonly store: Pick<Store, 'find'>;
  readonly trials: Pick<RegistryTrials, 'repository' | 'reportOf'>;
}

/** @param changes of the models, when `before` becomes `next` */
export async function planOf(
  changes: readonly ModelChange[],
  { before, next }: { readonly before: Config; readonly next: Config },
  tools: PlanTools,
): Promise<Pick<Plan, 'models' | 'keys'>> {
  return { models: await planned(changes, next, tools), keys: movedKeys(before.routes, next.routes) };
}

/** Of a version that is open or in the store; undefined when it was not tried. */
function reportOf(id: VersionId, { registry, store, trials }: PlanTools): TrialReport | undefined {
  const { model, version } = id;
  const sha256 = registry.specOf(id)?.artifact?.sha256 ?? store.find({ model, version })?.artifactSha256;
  return sha256 === undefined ? undefined : trials.reportOf(sha256);
}

function planned(changes: readonly ModelChange[], next: Config, tools: PlanTools): Promise<PlannedChange[]> {
  return Promise.all(changes.map((change) => plannedChange(change, next, tools)));
}

async function plannedChange(change: ModelChange, next: Config, tools: PlanTools): Promise<PlannedChange> {
  const { model, loads, champion } = change;
  const needs = loads.flatMap((version): [string, number][] => {
    const report = reportOf({ model, version }, tools);
    return report === undefined ? [] : [[version, forecastBytes(report)]];
  });
  const memoryBytes = Object.fromEntries(needs);
  const [from, to] = [champion?.from ?? null, champion?.to ?? null];
  if (from === null || to === null) return { ...change, contract: null, memoryBytes };
  const isAllowed = next.model_overrides[model]?.allow_breaking === true;
  const contract = await plannedContract(model, { from, to, isAllowed }, tools);
  // What is not replaced stays open.
  const unloads = contract.isRefused ? change.unloads.filter((version) => version !== from) : change.unloads;
  return { ...change, unloads, contract, memoryBytes };
}

async function plannedContract(
  model: string,
  { from, to, isAllowed }: { readonly from: string; readonly to: string; readonly isAllowed: boolean },
  tools: PlanTools,
): Promise<PlannedContract> {
  const unknown = (why: string) => ({ from, to, changes: null, unknown: why, isRefused: false });
  try {
    const [old, now] = await Promise.all([from, to].map((version) => contractOf({ model, version }, tools)));
    if (old === undefined || now === undefined)
      return unknown(`version ${old === undefined ? from : to} is not in the store and would have to be pulled first`);
    const changes = contractChanges(old, now);
    return { from, to, changes, unknown: '', isRefused: !isAllowed && changes.some(({ rule }) => rule !== undefined) };
  } catch (thrown) {
    return unknown(GatewayError.from(thrown).message);
  }
}

async function contractOf(id: VersionId, { registry, supply, trials }: PlanTools): Promise<Contract | undefined> {
  const { repository } = trials;
  const spec = registry.specOf(id);
  if (spec !== undefined) return repository.contractOf(spec);
  const brought = await supply.peek(id);
  return brought && repository.contractIn(id, brought);
}
