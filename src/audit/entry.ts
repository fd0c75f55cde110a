/**
 * One line of the audit log: an entry, and beside it the hash that the next entry repeats.
 *
 *   {"entry":{"action":…,"actor":…,"detail":{…},"prev":"<hash of the entry before>","seq":7,"subject":…,"ts":…},"hash":"…"}
 *
 * Must not know files.
 */
import { createHash } from 'node:crypto';
import { GatewayError } from '../core/errors.js';
import { canonicalOf, type JsonObject } from './canonical.js';

export interface AuditEntry {
  /** From 1, one more each time. */
  readonly seq: number;
  /** Hash of the entry before. */
  readonly prev: string;
  /** UTC with milliseconds. */
  readonly ts: string;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: JsonObject;
}

export interface AuditRecord {
  readonly entry: AuditEntry;
  readonly hash: string;
}

/** The newest entry: what it takes to notice that a tail is missing. */
export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

export const emptyHead: AuditHead = { seq: 0, hash: '0'.repeat(64) };

/** Of one line with its line feed, written or read. */
export const lineBytesMax = 256 * 1024;

const keys = ['action', 'actor', 'detail', 'prev', 'seq', 'subject', 'ts'];
const hexHash = /^[0-9a-f]{64}$/;
const utcTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

export function isHash(text: string): boolean {
  return hexHash.test(text);
}

/** The entry that follows `head`. */
export function sealed(head: AuditHead, facts: Omit<AuditEntry, 'seq' | 'prev'>): AuditRecord {
  const entry = { ...facts, seq: head.seq + 1, prev: head.hash };
  return { entry, hash: hashOf(entry) };
}

/** Both members in canonical form, ended by a line feed. */
export function lineOf(record: AuditRecord): string {
  return `${canonicalOf(record)}\n`;
}

function hashOf(entry: AuditEntry): string {
  return createHash('sha256').update(canonicalOf(entry)).digest('hex');
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads one line and checks that its hash is that of its entry; not whether it follows the one before.
 * @throws FAILED_PRECONDITION saying what is wrong with it
 */
export function parseLine(bytes: Uint8Array): AuditRecord {
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch {
    throw wrong('it is not a JSON object in UTF-8');
  }
  if (!isRecord(value)) throw wrong('it is not an entry with its hash');
  // Of two equal keys JSON.parse shows the last: the other one would be text that no hash covers.
  if (keysWritten(text) !== keysIn(value)) throw wrong('a key stands in it twice');
  let hash: string;
  try {
    hash = hashOf(value.entry);
  } catch (error) {
    throw wrong((error as Error).message);
  }
  if (hash !== value.hash) throw wrong(`its hash is ${hash}, but ${value.hash} stands beside it`);
  return value;
}

function isRecord(value: unknown): value is AuditRecord {
  if (!isObject(value) || !hasKeys(value, ['entry', 'hash'])) return false;
  const { entry, hash } = value;
  if (typeof hash !== 'string' || !isHash(hash) || !isObject(entry) || !hasKeys(entry, keys)) return false;
  const { seq, prev, ts, actor, action, subject, detail } = entry;
  if (!Number.isSafeInteger(seq) || typeof prev !== 'string' || typeof ts !== 'string') return false;
  if (typeof actor !== 'string' || typeof action !== 'string' || typeof subject !== 'string') return false;
  return (seq as number) >= 1 && isHash(prev) && utcTime.test(ts) && isObject(detail);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasKeys(object: object, expected: readonly string[]): boolean {
  return Object.keys(object).sort().join() === expected.join();
}

function keysWritten(text: string): number {
  let count = 0;
  for (const match of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/g)) if (match[1] !== undefined) count++;
  return count;
}

function keysIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const members = Object.values(value);
  return members.reduce<number>((sum, member) => sum + keysIn(member), Array.isArray(value) ? 0 : members.length);
}

function wrong(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', reason);
}
