/**
 * PART OF THE ROOT: what becomes of versions, as entries of the audit log that are on disk before it is so.
 *
 * Must not know why it becomes of them.
 */
import type { JsonObject } from '../audit/canonical.js';
import { configHash, withDecimalsAsText } from '../audit/config-hash.js';
import type { AuditLog } from '../audit/log.js';
import type { Config } from '../config/schema.js';
import { nameOf } from '../core/model.js';
import { ownOf } from '../core/own.js';
import type { Log } from '../log.js';
import type { GuardVerdict } from '../monitor/guard.js';
import type { Registry } from '../registry/registry.js';
import type { Publication, Relabelling } from '../registry/registry-options.js';
import type { Quarantine } from '../registry/store/quarantine.js';
import type { Blame } from '../supervisor/blame.js';
import type { ControlCounts } from './counts.js';
import type { Swap } from './guard-watch.js';

/** The hash of everything in the configuration that decides how a model answers. */
export function configHashOf(model: string, config: Config): string {
  const { engine, batching, model_overrides: overrides } = config;
  return configHash({ engine, batching, model: ownOf(overrides, model) ?? {} });
}

/** What answers by default from now on. */
export async function publicationWritten(
  { model, version, previous, spec, generation, reason }: Publication,
  tools: { readonly audit: AuditLog; readonly config: Config; readonly counts: ControlCounts; readonly log: Log },
): Promise<void> {
  const { audit, config, counts, log } = tools;
  const artifact = spec?.artifact;
  if (version === undefined) {
    if (previous !== undefined) await audit.append('version.unloaded', model, { model, version: previous, reason });
    return;
  }
  await audit.append('version.published', nameOf({ model, version }), {
    model,
    version,
    previous: previous ?? null,
    source: artifact?.source ?? '',
    revision: artifact?.revision ?? '',
    artifact_sha256: artifact?.sha256 ?? '',
    config_hash: configHashOf(model, config),
    generation,
    reason,
  });
  if (previous === undefined) return;
  counts.swaps.add(['ok']);
  log.info('version.published', { model: nameOf({ model, version }), previous, reason });
}

/** Where a label leads from now on. */
export async function relabellingWritten(
  { model, label, version, previous, reason }: Relabelling,
  audit: AuditLog,
): Promise<void> {
  const action = version === undefined ? 'alias.removed' : 'alias.set';
  const detail = { model, label, version: version ?? null, previous: previous ?? null, reason };
  await audit.append(action, nameOf({ model, version: version ?? previous! }), detail);
}

/** Blamed too often: quarantined by its content, so that the same bytes under another number are refused as well. */
export async function blameWritten(
  { id, reason, times, isTooOften }: Blame,
  tools: {
    readonly registry: Registry;
    readonly quarantine: Quarantine;
    readonly audit: AuditLog;
    readonly log: Log;
    readonly epochNow: () => number;
  },
): Promise<void> {
  const { registry, quarantine, audit, log, epochNow } = tools;
  log.error('version.blamed', { model: nameOf(id), reason, times });
  const sha256 = registry.specOf(id)?.artifact?.sha256;
  if (!isTooOften || sha256 === undefined) return;
  const evidence = `a gateway process ${reason} ${times} times while it ran`;
  await audit.append('version.quarantined', nameOf(id), { ...id, artifact_sha256: sha256, reason, evidence });
  await quarantine.add({ ...id, artifact_sha256: sha256, reason, since: epochNow(), evidence });
  log.error('version.quarantined', { model: nameOf(id), reason });
  await registry.decisions.quarantine(id, `${reason} twice within ten minutes`);
}

/** The guard's verdict with its numbers; then the version before answers again. */
export async function putBackWritten(
  { model, version, previous }: Swap,
  { reasons, numbers }: GuardVerdict,
  tools: {
    readonly registry: Registry;
    readonly audit: AuditLog;
    readonly counts: ControlCounts;
    readonly log: Log;
  },
): Promise<void> {
  const { registry, audit, counts, log } = tools;
  const name = nameOf({ model, version });
  const compared = withDecimalsAsText(numbers) as JsonObject;
  await audit.append('rollback', name, { model, from: version, to: previous, reasons: [...reasons], compared }, guard);
  await registry.decisions.rollback(model, `guard: ${reasons.join(', ')}`, version);
  counts.rollbacks.add([reasons[0]!]);
  log.error('version.put_back', { model: name, to: previous, reasons: reasons.join(', '), ...numbers });
}

const guard = 'system:guard';
