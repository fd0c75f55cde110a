/**
 * PART OF THE ROOT: all that is known of one version: its content and who signed it, what its author says of it, what its trial
 * found, the stage it is in and how it came there, and what stands between it and the next one.
 *
 * Must not know who asks.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../core/errors.js';
import type { VersionId, VersionSpec } from '../core/model.js';
import { contractBreaches } from '../registry/contract.js';
import { type Manifest, manifestFileName, parseManifest } from '../registry/manifest.js';
import { forecastBytes } from '../registry/memory-budget.js';
import type { TrialReport } from '../registry/trial-report.js';
import { hasAnswered, type ModelRecord, newRecord, type VersionRecord } from '../registry/versions.js';
import type { RegistryRoom } from './registry-room.js';
import { pastOf, type Stage, type StageMove } from './registry-stages.js';

/** One thing that a stage asks for. */
interface StageCheck {
  readonly stage: Stage;
  readonly check: 'digest' | 'admission' | 'contract' | 'profile' | 'approvals';
  readonly isMet: boolean;
  /** What is missing; empty when nothing is. */
  readonly reason: string;
}

/** @throws NOT_FOUND */
export async function versionDocument(id: VersionId, room: RegistryRoom): Promise<unknown> {
  const { store, trials, quarantine, approvals, audit, routes } = room;
  const model = modelOf(id, room);
  const stored = store.find({ source: model.source, ...id });
  const record = model.versions.get(id.version) ?? (stored && closedRecord(id));
  if (record === undefined) throw new GatewayError('NOT_FOUND', `model '${id.model}' has no version ${id.version}`);
  const { spec } = record;
  const sha256 = spec?.artifact?.sha256 ?? stored?.artifactSha256 ?? '';
  const report = trials.reportOf(sha256);
  const manifest = (spec && trials.repository.manifestOf(spec)) ?? (await storedManifest(stored?.directory));
  const { moves, aliases } = await pastOf(audit.read(1), id);
  const stages = report === undefined ? moves : [registeredBy(report, model.source), ...moves];
  return {
    ...id,
    source: model.source,
    revision: stored?.record.revision ?? record.revision,
    state: record.state,
    reason: record.reason,
    isDefault: model.champion === id.version,
    labels: Object.keys(model.labels).filter((label) => model.labels[label] === id.version),
    isWanted: record.isWanted,
    isListed: record.isListed,
    stage: model.champion === id.version ? 'champion' : (routes.stageOf(id) ?? restingStage(stages)),
    stages,
    checks: checksOf(record, { model, manifest, sha256, isTried: report !== undefined, room }),
    aliases,
    sha256,
    bytes: stored?.bytes ?? null,
    pulledAt: stored === undefined ? null : timeOf(stored.record.pulledAt),
    files: stored?.record.files ?? [],
    signature: stored?.record.verdict ?? null,
    quarantine: quarantine.find(sha256) ?? null,
    approvals: approvals.of(id),
    inputs: spec?.signature.inputs ?? manifest?.signature.inputs ?? [],
    outputs: spec?.signature.outputs ?? manifest?.signature.outputs ?? [],
    maxBatchSize: spec?.batch.rowsMax ?? null,
    manifest: manifest === undefined ? null : saidIn(manifest),
    trial: report === undefined ? null : shownTrial(report),
    refusedFor: record.refusal ?? null,
    facts: record.facts,
  };
}

function modelOf({ model: name }: VersionId, { registry }: RegistryRoom): Readonly<ModelRecord> {
  const model = [...registry.models()].find((candidate) => candidate.name === name);
  if (model !== undefined) return model;
  throw new GatewayError('NOT_FOUND', `Request for unknown model: '${name}' is not found`);
}

/** One that nobody wants, and that the store still has. */
function closedRecord(id: VersionId): VersionRecord {
  return { ...newRecord(id, false, 0), state: 'unloaded', isListed: false };
}

function registeredBy({ triedAt }: TrialReport, source: string): StageMove {
  return { stage: 'registered', at: timeOf(triedAt), by: 'system:registry', reason: `from source ${source}` };
}

function shownTrial(report: TrialReport) {
  return { ...report, triedAt: timeOf(report.triedAt), forecastBytes: forecastBytes(report) };
}

/** Of one that no request comes to by itself; null = it was never admitted. */
function restingStage(moves: readonly StageMove[]): Stage | null {
  if (moves.some(({ stage }) => stage === 'champion')) return 'retired';
  return moves.length > 0 ? 'registered' : null;
}

/** What each stage asks for, and whether it would be met now. */
function checksOf(
  { id, spec, next }: Readonly<VersionRecord>,
  given: {
    readonly model: Readonly<ModelRecord>;
    readonly manifest: Manifest | undefined;
    readonly sha256: string;
    readonly isTried: boolean;
    readonly room: RegistryRoom;
  },
): StageCheck[] {
  const { model, manifest, sha256, isTried, room } = given;
  const check = (stage: Stage, what: StageCheck['check'], reason: string): StageCheck => {
    return { stage, check: what, isMet: reason === '', reason };
  };
  const { approvals, routes } = room;
  const asking = 'system:registry';
  // Newer content that waits has no place yet.
  const isChampion = model.champion === id.version && next === undefined;
  const isIn = next === undefined && (hasAnswered(model, id.version) || routes.stageOf(id) === 'canary');
  const newest = next ?? spec;
  const hasProfile = manifest?.profile !== undefined || approvals.isWaived(id, spec, 'canary');
  return [
    check('registered', 'digest', sha256 === '' ? 'its content is not in the store' : ''),
    check('registered', 'admission', isTried ? '' : 'it was not tried yet'),
    check('shadow', 'contract', breachesOf(spec, model, room).join('; ')),
    check('canary', 'profile', hasProfile ? '' : 'its manifest names no reference profile'),
    check('canary', 'approvals', isIn ? '' : approvals.withheld(id, newest, asking, 'canary')),
    check('champion', 'approvals', isChampion ? '' : approvals.withheld(id, newest, asking)),
  ];
}

/** What callers of the version that answers would miss. */
function breachesOf(
  next: VersionSpec | undefined,
  { name, champion = '' }: Readonly<ModelRecord>,
  { registry, trials }: RegistryRoom,
): string[] {
  const old = registry.specOf({ model: name, version: champion });
  if (old === undefined || next === undefined || old === next) return [];
  return contractBreaches(trials.repository.contractOf(old), trials.repository.contractOf(next));
}

/** What its author says of it beside files and features. */
function saidIn(manifest: Manifest) {
  const { files: _, features, signature: __, golden, ...said } = manifest;
  return { ...said, featureCount: features?.length ?? 0, goldenSamples: golden?.length ?? 0 };
}

/** One that was not opened since the start lies in the store. */
async function storedManifest(directory: string | undefined): Promise<Manifest | undefined> {
  if (directory === undefined) return undefined;
  try {
    return parseManifest(await readFile(join(directory, manifestFileName), 'utf8'));
  } catch {
    return undefined;
  }
}

function timeOf(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
