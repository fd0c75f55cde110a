/**
 * What an operator asks for, done: written down first, then carried out, then answered with what is so now.
 *
 * Must not know who asked over which wire.
 */
import type { Operation } from '../admin/operations.js';
import type { AuditAction } from '../audit/actions.js';
import { historyOf } from '../audit/history.js';
import { GatewayError } from '../core/errors.js';
import type { ServedListing, SourceState } from '../core/listing.js';
import { nameOf } from '../core/model.js';
import { shapeText, type TensorSpec } from '../core/tensor.js';
import { sorted } from '../registry/versions.js';
import type { Person } from './approval-desk.js';
import type { ControlCounts } from './counts.js';
import { type LabelRoom, labelsOf } from './label-room.js';
import { loggedColumns } from './logged-columns.js';
import { driftOf, type MonitoringTools, monitored } from './monitoring-desk.js';
import { loggedAnswer } from './prediction-room.js';
import type { RegistryRoom } from './registry-room.js';
import { versionDocument } from './registry-version.js';
import type { Reload } from './reload.js';
import { documentOf } from './shadow-document.js';
import { type TriggerRoom, triggersOf } from './trigger-room.js';

export interface OperationTools extends MonitoringTools {
  readonly counts: ControlCounts;
  readonly reload: Reload;
  /** Of the actor's token. */
  readonly role: Person['role'];
  /** Undefined when nobody is told of anything. */
  readonly triggers: TriggerRoom | undefined;
  /** Undefined when no labels are taken. */
  readonly labels: LabelRoom | undefined;
}

export async function operate(operation: Operation, tools: OperationTools): Promise<unknown> {
  const { room, reload } = tools;
  switch (operation.operation) {
    case 'show':
      return shown(operation.model, room);
    case 'version':
      return versionDocument({ model: operation.model, version: operation.version }, room);
    case 'history':
      return { model: operation.model, periods: await historyOf(room.audit.read(1), operation.model) };
    case 'sources':
      return { sources: sourceStates(room) };
    case 'shadows':
      return { shadows: (await tools.shadows()).map(documentOf) };
    case 'audit':
      return { entries: await room.audit.tail(operation.last) };
    case 'plan':
      return reload.plan(operation.file);
    case 'apply':
      return reload.apply(tools.actor);
    case 'poll':
      return polled(operation, tools);
    case 'gc':
      return collected(operation.graceMs, tools);
    case 'triggers':
      return triggersOf(tools.triggers).operate(operation.asked, tools.actor);
    case 'routing':
      return room.routes.desk.operate(operation.asked, tools.actor);
    case 'drift':
      return driftOf(tools.drift).document(operation.model, operation.version, operation.stretch);
    case 'quality':
      return labelsOf(tools.labels).quality.document(operation.model);
    case 'columns':
      return loggedColumns(operation.model, room.registry);
    case 'log':
      return loggedAnswer(operation.asked, tools.predictions);
    case 'monitoring':
      return monitored(operation.asked, tools);
    default:
      return changed(operation, tools);
  }
}

/** What an operator forces is in the audit log before it counts. */
async function polled(
  { source, acceptOlder }: Extract<Operation, { operation: 'poll' }>,
  { room, actor }: OperationTools,
): Promise<unknown> {
  const { supply, audit, forgetSerial } = room;
  if (!supply.health().some(({ name }) => name === source))
    throw new GatewayError('NOT_FOUND', `there is no source '${source}'`);
  await audit.append(acceptOlder ? 'serial.forced' : 'source.polled', `source ${source}`, { source }, actor);
  if (acceptOlder) await forgetSerial(source);
  supply.wake(source);
  return {};
}

type Change = Exclude<
  Operation,
  {
    operation:
      | 'show'
      | 'version'
      | 'triggers'
      | 'drift'
      | 'quality'
      | 'columns'
      | 'history'
      | 'sources'
      | 'shadows'
      | 'audit'
      | 'plan'
      | 'apply'
      | 'poll'
      | 'gc'
      | 'routing'
      | 'log'
      | 'monitoring';
  }
>;

async function changed(change: Change, { room, counts, actor, role }: OperationTools): Promise<unknown> {
  const { registry, audit } = room;
  const { operation, ...detail } = change;
  const { model } = change;
  if (!registry.has(model) && operation !== 'load')
    throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' is not found`);
  if (change.operation === 'approve') return approved(change, { room, person: { name: actor, role } });
  const subject = 'version' in change ? nameOf({ model, version: change.version }) : model;
  await audit.append(actionOf(change), subject, detail, actor);
  switch (change.operation) {
    case 'load':
      await registry.load(model);
      break;
    case 'unload':
      await registry.unload(model);
      break;
    case 'promote':
      await registry.decisions.promote({ model, version: change.version }, change.label, {
        ...change,
        requester: actor,
      });
      break;
    case 'release':
      await registry.decisions.release(model, change.label);
      break;
    case 'rollback':
      await registry.decisions.rollback(model, change.reason === '' ? 'rollback' : `rollback: ${change.reason}`);
      counts.rollbacks.add(['operator']);
      break;
    case 'pin':
    case 'unpin':
      await registry.decisions.pin({ model, version: change.version }, operation === 'pin');
      break;
    case 'forgive':
      await forgiven(model, change.version, room);
      break;
  }
  return shown(model, room);
}

/** Written down by the desk, with what was approved; what waited for it is looked at again. */
async function approved(
  { model, version, action, breakGlass: isBreakGlass, reason }: Extract<Change, { operation: 'approve' }>,
  { room, person }: { readonly room: RegistryRoom; readonly person: Person },
): Promise<unknown> {
  const id = { model, version };
  await room.approvals.approve(id, room.registry.newestOf(id), person, { reason, action, isBreakGlass });
  await room.registry.offer();
  if (action === 'canary') await room.registry.republish('approval');
  return shown(model, room);
}

function actionOf({ operation }: Exclude<Change, { operation: 'approve' }>): AuditAction {
  if (operation === 'forgive') return 'version.unquarantined';
  return operation === 'release' ? 'version.released' : operation;
}

async function forgiven(model: string, version: string, { registry, quarantine, store }: RegistryRoom): Promise<void> {
  for (const stored of store.versions())
    if (stored.model === model && stored.version === version) await quarantine.lift(stored.artifactSha256);
  await registry.decisions.forgive({ model, version });
}

/** One model with all that is known of its versions. @throws NOT_FOUND */
function shown(name: string, { registry, store, quarantine, approvals }: RegistryRoom): unknown {
  const model = [...registry.models()].find((candidate) => candidate.name === name);
  if (model === undefined) throw new GatewayError('NOT_FOUND', `Request for unknown model: '${name}' is not found`);
  const { source, champion, previous, labels, choice } = model;
  const versions = [...model.versions.values()].map(({ id, state, reason, facts, spec, isWanted, isListed }) => {
    const stored = store.find({ source, model: name, version: id.version });
    const sha256 = spec?.artifact?.sha256 ?? stored?.artifactSha256 ?? '';
    return {
      version: id.version,
      state,
      reason,
      isWanted,
      isListed,
      sha256,
      bytes: stored?.bytes ?? null,
      signature: stored?.record.verdict ?? null,
      quarantine: quarantine.find(sha256) ?? null,
      approvals: approvals.of(id),
      facts,
    };
  });
  return { name, source, champion: champion ?? null, previous: previous ?? null, labels, choice, versions };
}

/** All versions with their states, for people. */
export function servedListing(room: RegistryRoom): ServedListing {
  const text = ({ name, datatype, shape }: TensorSpec) => `${name} ${datatype} ${shapeText(shape)}`;
  const models = [...room.registry.models()].flatMap((model) =>
    sorted(model.versions.values()).map(({ id, state, reason, spec }) => ({
      model: id.model,
      version: id.version,
      state,
      reason,
      isDefault: model.champion === id.version,
      inputs: spec?.signature.inputs.map(text) ?? [],
      outputs: spec?.signature.outputs.map(text) ?? [],
      maxBatchSize: spec?.batch.rowsMax ?? 0,
      source: model.source,
      sha256: spec?.artifact?.sha256 ?? '',
      labels: Object.keys(model.labels).filter((label) => model.labels[label] === id.version),
    })),
  );
  return { models, sources: sourceStates(room) };
}

export function sourceStates({ supply }: RegistryRoom): SourceState[] {
  return supply.health().map(({ name, type, isUp, reason, lastSuccessAt }) => ({
    name,
    type,
    isUp,
    reason,
    lastSuccess: lastSuccessAt === undefined ? null : new Date(lastSuccessAt).toISOString(),
  }));
}

async function collected(graceMs: number, { room, actor }: OperationTools): Promise<unknown> {
  await room.audit.append('gc', 'store', { grace_ms: graceMs }, actor);
  const { removed, bytes } = await room.collect(graceMs);
  return { removed: removed.map((stored) => `${nameOf(stored)} ${stored.artifactSha256.slice(0, 12)}`), bytes };
}
