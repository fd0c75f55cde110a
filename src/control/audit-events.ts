/**
 * PART OF THE ROOT: which entries of the audit log are told to the world outside, and as what.
 *
 * The log is read on from where it was left, so an entry becomes an event once, whenever the process was killed in between;
 * its id is made from the entry's own hash, so that even twice would be the same event.
 *
 * Must not know who is told.
 */
import type { AuditAction } from '../audit/actions.js';
import type { AuditEntry, AuditRecord } from '../audit/entry.js';
import type { TriggerType } from '../core/trigger.js';

export interface AuditEvent {
  readonly id: string;
  readonly type: TriggerType;
  readonly subject: string;
  readonly time: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const typeOf: Partial<Record<AuditAction, TriggerType>> = {
  'canary.advanced': 'io.sluice.canary.advanced',
  'canary.held': 'io.sluice.canary.held',
  'canary.rolled_back': 'io.sluice.canary.rolled_back',
  'canary.promoted': 'io.sluice.canary.promoted',
  'version.quarantined': 'io.sluice.model.quarantined',
  break_glass: 'io.sluice.governance.break_glass',
};

/** @returns undefined for an entry that nobody outside is told of */
export function eventOf({ entry, hash }: AuditRecord): AuditEvent | undefined {
  const type = entry.action === 'version.published' ? publishedAs(entry) : typeOf[entry.action as AuditAction];
  if (type === undefined) return undefined;
  const { seq, ts, actor, action, subject, detail } = entry;
  const data = { ...detail, action, actor, dedup_key: `${subject}/${type}`, audit_head: { seq, hash } };
  return { id: `audit-${hash.slice(0, 32)}`, type, subject: subject.slice(0, 300), time: ts, data };
}

/** What answers by default has changed: back to the version before, or on to another one. Not said again after a start. */
function publishedAs({ detail }: AuditEntry): TriggerType | undefined {
  const { version, previous, reason } = detail;
  if (typeof previous !== 'string' || previous === version) return undefined;
  const isBack = typeof reason === 'string' && /^(rollback|guard|quarantine)\b/.test(reason);
  return isBack ? 'io.sluice.model.rolled_back' : 'io.sluice.model.promoted';
}
