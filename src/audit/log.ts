/**
 * The audit log: what is written here is on disk before it takes effect.
 *
 *   append() ─▶ [ waiting, bounded ] ─▶ sealed with seq and the hash before ─▶ one write, one fsync ─▶ each caller's promise
 *
 * Entries that arrive while one is being written share the next fsync. A write that fails is cut back and refused, and the
 * next one is tried as if nothing had been. A line that a crash left unfinished is cut back at the next start, which is itself
 * an entry.
 *
 * One process writes, and sees to that before it opens the log (control holds the store's lock). What can be seen here is that
 * the newest file is no longer as it was left: then nothing is appended any more, for the chain would fork.
 *
 * Must not know what changes mean.
 */
import { constants, statSync } from 'node:fs';
import { type FileHandle, mkdir, open, unlink } from 'node:fs/promises';
import { AppendedFile } from '../core/appended-file.js';
import { GatewayError, invalid } from '../core/errors.js';
import type { AuditAction } from './actions.js';
import { canonicalOf, type JsonObject } from './canonical.js';
import { type AuditHead, type AuditRecord, lineBytesMax, lineOf, sealed } from './entry.js';
import { type AuditFile, auditFile, auditFiles, endingOf, recordsIn } from './files.js';

export interface AuditLogOptions {
  /** The directory of the files; made when it is not there. */
  readonly path: string;
  /** A file that would grow beyond it is left, and the next one begun. */
  readonly fileBytesMax: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Who acts when `append` is not told. */
  readonly actor: string;
  /** Is told of every entry once it is on disk, in order. */
  readonly onWritten?: (record: AuditRecord) => void;
}

interface Waiting {
  readonly action: AuditAction;
  readonly actor: string;
  readonly subject: string;
  readonly detail: JsonObject;
  readonly resolve: (head: AuditHead) => void;
  readonly reject: (error: unknown) => void;
}

/** The file that is written to. */
interface Newest {
  readonly file: AuditFile;
  readonly lines: AppendedFile;
}

const waitingMax = 10_000;
const groupBytesMax = 1024 * 1024;
const tailMax = 10_000;
const nameCharactersMax = 1024;

export class AuditLog {
  readonly #options: AuditLogOptions;
  readonly #waiting: Waiting[] = [];
  #newest: Newest;
  #head: AuditHead;
  /** Bytes cut back at the start that no entry tells of yet. */
  #cutBytes = 0;
  #writing: Promise<void> | undefined;
  #isClosed = false;

  private constructor(options: AuditLogOptions, newest: Newest, head: AuditHead) {
    this.#options = options;
    this.#newest = newest;
    this.#head = head;
  }

  /**
   * @throws FAILED_PRECONDITION when the newest entry does not match its hash: nothing may be added to a log that was changed
   * @throws UNAVAILABLE when the disk does not allow it
   */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    try {
      await mkdir(options.path, { recursive: true, mode: 0o700 });
      const files = await auditFiles(options.path);
      const { head, wholeBytes, tornBytes } = await endingOf(files);
      const file = files.at(-1) ?? auditFile(options.path, 1);
      const handle = await openToAppend(options.path, file, files.length === 0);
      const log = new AuditLog(options, newestOf(file, handle, { bytes: wholeBytes, isTorn: tornBytes > 0 }), head);
      if (tornBytes > 0) await log.#noteCut(tornBytes);
      return log;
    } catch (error) {
      throw cannotOpen(unavailable(error));
    }
  }

  get head(): AuditHead {
    return this.#head;
  }

  /**
   * @param detail strings, booleans, null, safe integers, arrays and objects of them; never a secret
   * @returns once the entry is on disk
   * @throws UNAVAILABLE when it cannot be written: the change must not be made
   */
  append(action: AuditAction, subject: string, detail: JsonObject, actor = this.#options.actor): Promise<AuditHead> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw new GatewayError('UNAVAILABLE', 'audit log: it is closed');
      if (this.#waiting.length >= waitingMax) {
        throw new GatewayError('UNAVAILABLE', `audit log: ${waitingMax} entries are waiting to be written`);
      }
      if (subject.length > nameCharactersMax || actor.length > nameCharactersMax) {
        throw invalid(`audit log: expected a subject and an actor of at most ${nameCharactersMax} characters`);
      }
      this.#waiting.push({
        action,
        actor,
        subject,
        detail: copyOf({ actor, subject, detail }).detail,
        resolve,
        reject,
      });
      this.#writing ??= this.#writeAll();
    });
  }

  /** The entries from seq `from` to the newest one that was on disk when this was called. */
  async *read(from = 1): AsyncGenerator<AuditRecord> {
    const { seq } = this.#head;
    if (from <= seq) yield* recordsIn(await auditFiles(this.#options.path), from, seq);
  }

  /** The newest entries, oldest first. */
  async tail(count: number): Promise<AuditRecord[]> {
    const records: AuditRecord[] = [];
    const from = Math.max(1, this.#head.seq - Math.min(count, tailMax) + 1);
    for await (const record of this.read(from)) records.push(record);
    return records;
  }

  /** After everything that waits has been written. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing;
    await this.#newest.lines.close();
  }

  /** Cuts back an unfinished line and tells of it: now, or when there is no room, before the next entry. */
  async #noteCut(bytes: number): Promise<void> {
    this.#cutBytes = bytes;
    this.#writing = this.#writeAll();
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    do {
      if (this.#cutBytes > 0) this.#waiting.unshift(this.#cutEntry());
      const group: Waiting[] = [];
      try {
        await this.#writeGroup(group);
      } catch (error) {
        for (const { reject } of group) reject(unavailable(error));
      }
    } while (this.#waiting.length > 0);
    this.#writing = undefined;
  }

  #cutEntry(): Waiting {
    return {
      action: 'audit.cut',
      actor: this.#options.actor,
      subject: this.#newest.file.name,
      detail: { bytes: this.#cutBytes, reason: 'its writing was interrupted' },
      resolve: () => {
        this.#cutBytes = 0;
      },
      reject: () => {},
    };
  }

  /** @param group filled with those who wait for this write, whatever comes of it */
  async #writeGroup(group: Waiting[]): Promise<void> {
    const ts = new Date(this.#options.now()).toISOString();
    const heads: AuditHead[] = [];
    const records: AuditRecord[] = [];
    const lines: Buffer[] = [];
    let [head, bytes] = [this.#head, 0];
    const room = this.#options.fileBytesMax - this.#newest.lines.bytes;
    let isRotated = false;
    for (const one of this.#waiting) {
      const { action, actor, subject, detail } = one;
      const record = sealed(head, { action, actor, subject, detail, ts });
      const line = Buffer.from(lineOf(record));
      if (lines.length === 0) isRotated = this.#newest.lines.bytes > 0 && line.length > room;
      else if (bytes + line.length > Math.min(isRotated ? this.#options.fileBytesMax : room, groupBytesMax)) break;
      head = { seq: record.entry.seq, hash: record.hash };
      bytes += line.length;
      lines.push(line);
      heads.push(head);
      records.push(record);
      group.push(one);
    }
    this.#waiting.splice(0, group.length);
    await this.#check();
    if (isRotated) await this.#rotate();
    await this.#newest.lines.append(Buffer.concat(lines, bytes));
    this.#head = head;
    for (const record of records) this.#options.onWritten?.(record);
    for (const [index, { resolve }] of group.entries()) resolve(heads[index]!);
  }

  /** That the file is as it was left. */
  async #check(): Promise<void> {
    const { file, lines } = this.#newest;
    if (!(await lines.isAsLeft())) {
      throw new GatewayError(
        'UNAVAILABLE',
        `audit log: ${file.name} was changed by somebody else: if it is another server, stop one and give it a log of its own with --audit-path; then start again`,
      );
    }
  }

  async #rotate(): Promise<void> {
    const left = this.#newest;
    const file = auditFile(this.#options.path, left.file.number + 1);
    const handle = await openToAppend(this.#options.path, file, true);
    this.#newest = newestOf(file, handle, { bytes: 0, isTorn: false });
    await left.lines.close();
  }
}

function newestOf(file: AuditFile, handle: FileHandle, held: { bytes: number; isTorn: boolean }): Newest {
  return { file, lines: new AppendedFile(handle, { place: () => statSync(file.path), ...held }) };
}

/** A copy that the caller cannot change any more. @throws INVALID_ARGUMENT when it is nothing that an entry can hold */
function copyOf<T extends JsonObject>(facts: T): T {
  const text = canonicalOf(facts);
  // Beside these an entry has its hashes, seq, time and action.
  const bytesMax = lineBytesMax - 1024;
  const bytes = Buffer.byteLength(text);
  if (bytes > bytesMax) throw invalid(`audit log: expected an entry of at most ${bytesMax} bytes, got ${bytes}`);
  return JSON.parse(text);
}

async function openToAppend(directory: string, file: AuditFile, isNew: boolean): Promise<FileHandle> {
  const { O_WRONLY, O_APPEND, O_NOFOLLOW, O_CREAT, O_EXCL } = constants;
  const handle = await open(file.path, O_WRONLY | O_APPEND | O_NOFOLLOW | (isNew ? O_CREAT | O_EXCL : 0), 0o600);
  if (!isNew) return handle;
  try {
    await syncDirectory(directory);
    return handle;
  } catch (error) {
    // Left there, it would be in the way of the next try.
    await handle.close();
    await unlink(file.path);
    throw error;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What is wrong, and what can be done about it. */
function cannotOpen({ code, message, cause }: GatewayError): GatewayError {
  const remedy =
    code === 'UNAVAILABLE'
      ? 'see that it can, or name another folder with --audit-path'
      : 'nothing is added to a log that was changed: look at it with `sluice audit verify`, and begin another with --audit-path';
  return new GatewayError(code, `${message}; ${remedy}`, { cause });
}

function unavailable(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const { code = 'unknown' } = error as NodeJS.ErrnoException;
  return new GatewayError('UNAVAILABLE', `audit log: it cannot be written (${code})`, { cause: error });
}
