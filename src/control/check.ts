/**
 * `sluice check`: would every model be served? Folders are read where they are, other sources are asked for their list.
 *
 * Must not know the store: checking leaves nothing behind.
 */
import { overridden, settled, specDefaultsOf } from '../config/derived.js';
import type { Config } from '../config/schema.js';
import { nameOf, type VersionId } from '../core/model.js';
import type { Admission } from '../registry/admission.js';
import { Catalogue, type OfferedModel } from '../registry/catalogue.js';
import { MemoryBudget } from '../registry/memory-budget.js';
import { type Brought, ownPolicyOf, Repository, type Trial, type TrialVerdict } from '../registry/repository.js';
import { readTrustedRoot } from '../registry/signing/trusted-root.js';
import type { Source } from '../registry/source.js';
import { inPlace } from '../registry/sources/in-place.js';
import { admissionOf } from './admission-child.js';
import { type SourceConfig, sourceOf, sourcesIn } from './network-sources.js';
import { problemsWith, routedVersions } from './routes.js';
import { shadowedVersions } from './shadows.js';
import { passingMemory } from './source-memory.js';
import { keyProblems } from './token-desk.js';
import { trustOf } from './trust.js';

/** What is wrong, and where. */
export interface Problem {
  readonly where: string;
  readonly message: string;
}

export const noModels = 'no models found, expected <model>/<version>/model.onnx or a bare model.onnx';

/** Tries every model that `config` would serve. @returns one problem for each that would not be */
export async function modelProblems(given: {
  readonly config: Config;
  readonly cores: number;
  readonly now: () => number;
  readonly epochNow: () => number;
  readonly random: () => number;
}): Promise<Problem[]> {
  const config = settled(given.config, given.cores);
  const problems: Problem[] = [];
  const { now, epochNow, random } = given;
  const { name: bareName } = config.models;
  const memory = passingMemory();
  const trust = trustOf(config.registry);
  const tools = { bareName, trust, memory, environment: process.env, now, epochNow, random };
  const offered: OfferedModel[] = [];
  problems.push(...(await trustProblems(config.registry)));
  const admission = admissionOf(config);
  const problemsIn = async (entry: SourceConfig) => {
    let source: Source | undefined;
    try {
      source = sourceOf(entry, tools);
      return await problemsOf(source, { config, admission, entry, offered });
    } catch (error) {
      return [{ where: placeText(entry), message: (error as Error).message }];
    } finally {
      await source?.close();
    }
  };
  try {
    for (const entry of sourcesIn(config)) problems.push(...(await problemsIn(entry)));
  } finally {
    admission.close();
  }
  const routes = problemsWith(config.routes, offered);
  return [...keyProblems(config), ...problems, ...routes.map(({ path, message }) => ({ where: path, message }))];
}

/** The keys are looked at by file when they are needed; a pinned file that cannot be used is a mistake. */
async function trustProblems({ trusted_root }: Config['registry']): Promise<Problem[]> {
  if (trusted_root === '') return [];
  return readTrustedRoot(trusted_root).then(
    () => [],
    (error: Error) => [{ where: 'registry.trusted_root', message: error.message }],
  );
}

function placeText(entry: SourceConfig): string {
  return entry.type === 'directory' ? entry.path : `source ${entry.name}`;
}

async function problemsOf(
  source: Source,
  given: {
    readonly config: Config;
    readonly entry: SourceConfig;
    /** What the sources offer is added here. */
    readonly offered: OfferedModel[];
    readonly admission: Admission<Trial, TrialVerdict>;
  },
): Promise<Problem[]> {
  const { config, entry } = given;
  const signal = AbortSignal.timeout(config.admission.timeout_ms);
  const listing = await source.list(signal);
  const catalogue = new Catalogue({
    sources: [{ name: entry.name, models: entry.models, versions: entry.versions, approvalTag: entry.approval?.tag }],
    policyOf: (model) => config.model_overrides[model]?.version_policy,
    ownPolicyOf,
    defaultPolicy: () => config.models.version_policy,
    routed: (model) => routedVersions(config.routes, model),
    shadowed: (model) => shadowedVersions(config.routes, model),
    ignored: () => {},
  });
  if (listing !== undefined) catalogue.put(entry.name, listing);
  const models = catalogue.models();
  given.offered.push(...models);
  if (models.length === 0) return [{ where: placeText(entry), message: noModels }];
  if (entry.type !== 'directory') return [];
  return tried(models, given, (id) => inPlace(source, id, signal));
}

async function tried(
  models: readonly OfferedModel[],
  { config, admission }: { readonly config: Config; readonly admission: Admission<Trial, TrialVerdict> },
  bring: (id: VersionId) => Promise<Brought>,
): Promise<Problem[]> {
  const budget = new MemoryBudget({ bytesMax: () => config.memory.model_budget_bytes, refresh: async () => {} });
  const repository = new Repository({
    bring,
    defaults: specDefaultsOf(config),
    override: (spec) => overridden(spec, config),
    trial: (trial, memoryBytesMax) => admission.admit(trial, memoryBytesMax),
    records: { get: () => undefined, put: async () => {} },
    tried: async () => {},
    reserve: (id, need) => budget.reserve(id, need),
    epochNow: () => 0,
    warn: () => {},
  });
  const problems: Problem[] = [];
  for (const { name, wanted } of models) {
    for (const { version } of wanted) {
      const id = { model: name, version };
      await repository
        .admit(id, { config: undefined, onStored: () => {} })
        .catch((error: Error) => problems.push({ where: nameOf(id), message: error.message }));
    }
  }
  return problems;
}
