/**
 * `sluice audit verify` and `sluice audit tail`: read the files of the log themselves, so that they need no running gateway
 * and need not believe one.
 *
 * Must not know how entries come about.
 */
import { type AuditRecord, isHash } from '../audit/entry.js';
import { auditFiles, endingOf, recordsIn } from '../audit/files.js';
import { type AuditVerdict, verifyAudit } from '../audit/verify.js';
import { Exit } from './exit.js';
import { table } from './text.js';

export interface VerifyOptions {
  /** The directory of the log, or a single file. */
  readonly path: string;
  /** Hash of an entry that must be there. */
  readonly head?: string | undefined;
  readonly json?: boolean | undefined;
}

export interface TailOptions {
  readonly path: string;
  /** How many entries. */
  readonly count: number;
  readonly json?: boolean | undefined;
}

const tailMax = 10_000;
const detailCharactersMax = 200;

/** @returns what to print, and the exit code: 1 when the log is not whole */
export async function verifyAuditLog({ path, head, json }: VerifyOptions): Promise<{ text: string; exitCode: 0 | 1 }> {
  if (head !== undefined && !isHash(head)) throw new Exit(2, `--head: expected 64 hex digits, got '${head}'`);
  const verdict = await verifyAudit({ path, head });
  return {
    text: json === true ? `${JSON.stringify(verdict)}\n` : verdictText(verdict, head),
    exitCode: verdict.isWhole ? 0 : 1,
  };
}

function verdictText(verdict: AuditVerdict, head: string | undefined): string {
  const { failure, entries, files } = verdict;
  const read = `${entries} ${entries === 1 ? 'entry' : 'entries'} in ${files} ${files === 1 ? 'file' : 'files'}`;
  if (failure !== undefined) {
    const place = failure.file === '' ? 'at its end' : `in line ${failure.line} of ${failure.file}`;
    return `the audit log is NOT whole: seq ${failure.seq} fails ${place}: ${failure.reason}\n`;
  }
  const lines = [`the audit log is whole: ${read}`, `head: seq ${verdict.head.seq}, hash ${verdict.head.hash}`];
  if (head !== undefined && head !== verdict.head.hash) lines.push('the given head is in it, entries follow');
  if (verdict.tornBytes > 0) {
    lines.push(`${verdict.tornBytes} bytes of an unfinished entry at the end, which took no effect`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** The newest entries, oldest first; as JSON, one record a line, as it stands in the log. */
export async function showAuditTail({ path, count, json }: TailOptions): Promise<string> {
  if (!Number.isInteger(count) || count < 1 || count > tailMax) {
    throw new Exit(2, `expected 1 to ${tailMax} entries, got ${count}`);
  }
  const files = await auditFiles(path);
  const { head } = await endingOf(files);
  const records: AuditRecord[] = [];
  for await (const record of recordsIn(files, Math.max(1, head.seq - count + 1))) records.push(record);
  if (json === true) return records.map((record) => `${JSON.stringify(record)}\n`).join('');
  if (records.length === 0) return 'no entries\n';
  return table([['SEQ', 'TIME', 'ACTOR', 'ACTION', 'SUBJECT', 'DETAIL'], ...records.map(lineOf)]);
}

function lineOf({ entry }: AuditRecord): string[] {
  const { seq, ts, actor, action, subject, detail } = entry;
  return [String(seq), ts, actor, action, subject, detailText(detail)];
}

function detailText(detail: AuditRecord['entry']['detail']): string {
  const pairs = Object.entries(detail).map(
    ([key, value]) => `${key}=${typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)}`,
  );
  const text = pairs.join(' ');
  return text.length > detailCharactersMax ? `${text.slice(0, detailCharactersMax)}…` : text;
}
