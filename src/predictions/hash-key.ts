/**
 * The secret with which redacted values and keys of units are hashed: made once, readable by its owner only, so that equal
 * values have equal digests in every process and after every restart, and nobody without the file can try values out.
 *
 * Must not know what is hashed.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GatewayError } from '../core/errors.js';
import type { HashKey } from './redaction.js';

const keyBytes = 32;

function fileOf(path: string): string {
  return join(path, 'hash-key');
}

/** Makes the key when there is none yet; of several processes one does. @throws what the file system says */
export function ensureHashKey(path: string): void {
  mkdirSync(path, { recursive: true });
  try {
    writeFileSync(fileOf(path), `1 ${randomBytes(keyBytes).toString('hex')}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** @throws FAILED_PRECONDITION when the file holds no key */
export function hashKeyOf(path: string): HashKey {
  const match = /^([1-9][0-9]{0,8}) ([0-9a-f]{64})\n$/.exec(readFileSync(fileOf(path), 'latin1'));
  if (match === null)
    throw new GatewayError('FAILED_PRECONDITION', `${fileOf(path)}: expected a generation and 64 hex digits`);
  return { generation: Number(match[1]), key: Buffer.from(match[2]!, 'hex') };
}
