/** Audit logs in fresh directories, and ways to damage them. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AuditLog, type AuditLogOptions } from '../src/audit/log.js';

export const startMs = Date.parse('2026-06-14T10:30:00.000Z');

export function openLog(path: string, options: Partial<AuditLogOptions> = {}): Promise<AuditLog> {
  return AuditLog.open({ path, fileBytesMax: 1_000_000, now: () => startMs, actor: 'system:test', ...options });
}

/** A log of `count` entries that has been closed; each is about 270 bytes. */
export async function writeLog(path: string, count: number, fileBytesMax = 1_000_000): Promise<void> {
  const log = await openLog(path, { fileBytesMax });
  for (let i = 1; i <= count; i++) await log.append('load', `digits@${i}`, { i });
  await log.close();
}

export function filesOf(path: string): string[] {
  const numberOf = (name: string) => Number(/\d+/.exec(name)![0]);
  return readdirSync(path).sort((a, b) => numberOf(a) - numberOf(b));
}

/** The lines of one file, without their line feeds. */
export function linesIn(path: string, file = 'audit-1.jsonl'): string[] {
  return readFileSync(join(path, file), 'utf8').split('\n').slice(0, -1);
}

export function writeLines(path: string, lines: readonly string[], file = 'audit-1.jsonl'): void {
  writeFileSync(join(path, file), lines.map((line) => `${line}\n`).join(''));
}
