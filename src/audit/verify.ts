/**
 * Whether an audit log is whole: every hash, every link to the entry before, every number, in bounded memory.
 *
 * What the chain alone cannot show is that its end is missing; for that, a head that was noted elsewhere must be found in it.
 *
 * Must not know who wrote the log, or whether it still grows.
 */
import { GatewayError } from '../core/errors.js';
import { type AuditHead, emptyHead, parseLine } from './entry.js';
import { type AuditFile, auditFiles, type Line, linesOf } from './files.js';

export interface AuditVerdict {
  readonly isWhole: boolean;
  /** How many entries are right, from the first on. */
  readonly entries: number;
  /** The last one that is right. */
  readonly head: AuditHead;
  readonly files: number;
  /** At the end of the newest file: an entry whose writing was, or is being, interrupted. It took no effect. */
  readonly tornBytes: number;
  /** What fails first; undefined when nothing does. */
  readonly failure: AuditFailure | undefined;
}

export interface AuditFailure {
  readonly seq: number;
  /** Empty, with line 0, when the end is missing. */
  readonly file: string;
  readonly line: number;
  readonly reason: string;
}

export interface AuditVerification {
  /** The directory, or one file for that one alone, which must then be the first. */
  readonly path: string;
  /** The hash of an entry that must be there, as a metric or a webhook told it. */
  readonly head?: string | undefined;
}

/** @throws NOT_FOUND when there is no log at `path` */
export async function verifyAudit({ path, head }: AuditVerification): Promise<AuditVerdict> {
  const files = await auditFiles(path);
  if (files.length === 0) throw new GatewayError('NOT_FOUND', 'no audit log: there is no audit-<n>.jsonl');
  let last = emptyHead;
  let tornBytes = 0;
  let isHeadFound = head === undefined || head === emptyHead.hash;
  const verdict = (failure: AuditFailure | undefined): AuditVerdict => ({
    isWhole: failure === undefined,
    entries: last.seq,
    head: last,
    files: files.length,
    tornBytes,
    failure,
  });
  for (const file of files) {
    for await (const line of linesOf(file)) {
      if (line.end === 'torn' && file === files.at(-1)) {
        tornBytes = line.bytes.length;
        continue;
      }
      const next = nextHead(last, file, line);
      if ('reason' in next) return verdict(next);
      last = next;
      isHeadFound ||= last.hash === head;
    }
  }
  if (isHeadFound) return verdict(undefined);
  const reason = `no entry has the hash ${head}: the end is missing, or it is the head of another log`;
  return verdict({ seq: last.seq + 1, file: '', line: 0, reason });
}

function nextHead(last: AuditHead, file: AuditFile, line: Line): AuditHead | AuditFailure {
  const seq = last.seq + 1;
  const failure = (reason: string) => ({ seq, file: file.name, line: line.number, reason });
  if (line.end === 'long') return failure('it is too long');
  if (line.end === 'torn') return failure('it is not finished, but another file follows');
  try {
    const { entry, hash } = parseLine(line.bytes);
    if (entry.seq !== seq) return failure(`expected seq ${seq}, got ${entry.seq}`);
    if (entry.prev !== last.hash) return failure(`expected prev ${last.hash}, got ${entry.prev}`);
    return { seq, hash };
  } catch (error) {
    return failure((error as Error).message);
  }
}
