/**
 * Which version of a model served when: read from the audit log, which had it before it was so.
 *
 *   version.published ─▶ a period begins, the one before ends
 *   version.unloaded, version.quarantined (of the version that serves), stopped, started ─▶ it ends
 *
 * A period that ends with `started` is one that nobody could end: the process had been killed some time before.
 *
 * Must not know how the log is kept.
 */
import type { JsonObject } from './canonical.js';
import type { AuditEntry, AuditRecord } from './entry.js';

/** A time during which requests that named no version were answered by one and the same, under one configuration. */
export interface ServingPeriod {
  readonly version: string;
  readonly source: string;
  readonly revision: string;
  readonly artifactSha256: string;
  readonly configHash: string;
  readonly generation: number;
  readonly actor: string;
  readonly reason: string;
  /** Of the entry that began it. */
  readonly seq: number;
  /** UTC with milliseconds. */
  readonly from: string;
  /** undefined = still. */
  readonly until: string | undefined;
  readonly endedBy: 'replaced' | 'unloaded' | 'quarantined' | 'stopped' | 'killed' | undefined;
}

const periodsMax = 10_000;

/** @returns oldest first; of more than 10,000 periods the newest */
export async function historyOf(
  records: AsyncIterable<AuditRecord> | Iterable<AuditRecord>,
  model: string,
): Promise<ServingPeriod[]> {
  const periods: ServingPeriod[] = [];
  for await (const { entry } of records) {
    const last = periods.at(-1);
    const open = last?.until === undefined ? last : undefined;
    const endedBy = endOf(entry, model, open);
    if (open !== undefined && endedBy !== undefined)
      periods[periods.length - 1] = { ...open, until: entry.ts, endedBy };
    if (entry.action !== 'version.published' || entry.detail.model !== model) continue;
    periods.push(periodOf(entry));
    if (periods.length > periodsMax) periods.shift();
  }
  return periods;
}

/** What served at a moment in milliseconds since the epoch; undefined = nothing did. */
export function at(periods: readonly ServingPeriod[], moment: number): ServingPeriod | undefined {
  return periods.findLast(
    ({ from, until }) => Date.parse(from) <= moment && (until === undefined || moment < Date.parse(until)),
  );
}

function endOf(entry: AuditEntry, model: string, open: ServingPeriod | undefined): ServingPeriod['endedBy'] {
  const { action, detail } = entry;
  if (action === 'started') return 'killed';
  if (action === 'stopped') return 'stopped';
  if (detail.model !== model) return undefined;
  if (action === 'version.published') return 'replaced';
  if (detail.version !== open?.version) return undefined;
  if (action === 'version.unloaded') return 'unloaded';
  return action === 'version.quarantined' ? 'quarantined' : undefined;
}

function periodOf({ seq, ts, actor, detail }: AuditEntry): ServingPeriod {
  return {
    version: textIn(detail, 'version'),
    source: textIn(detail, 'source'),
    revision: textIn(detail, 'revision'),
    artifactSha256: textIn(detail, 'artifact_sha256'),
    configHash: textIn(detail, 'config_hash'),
    generation: typeof detail.generation === 'number' ? detail.generation : 0,
    actor,
    reason: textIn(detail, 'reason'),
    seq,
    from: ts,
    until: undefined,
    endedBy: undefined,
  };
}

function textIn(detail: JsonObject, key: string): string {
  const value = detail[key];
  return typeof value === 'string' ? value : '';
}
