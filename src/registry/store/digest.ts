/**
 * The digest of a version: one sha256 over the sha256 of each of its files, so that it names bytes and nothing else.
 *
 * It is the sha256 of a list as `sha256sum` writes it, sorted by path, so anybody can recompute it with ordinary tools.
 * Signatures are left out, for one more signature does not make another version.
 *
 * Must not know the disk.
 */
import { createHash } from 'node:crypto';
import { isSignaturePath } from '../file-path.js';

/** The file that the store itself adds to a version; no version may bring one. */
export const recordFileName = 'store-record.json';

/** @returns lower-case hex; the order of `files` does not matter */
export function versionDigest(files: readonly { readonly path: string; readonly sha256: string }[]): string {
  const lines = files
    .filter(({ path }) => path !== recordFileName && !isSignaturePath(path))
    .map(({ path, sha256 }) => ({ key: Buffer.from(path), line: `${sha256}  ${path}\n` }))
    .sort((a, b) => Buffer.compare(a.key, b.key));
  const hash = createHash('sha256');
  for (const { line } of lines) hash.update(line);
  return hash.digest('hex');
}

export function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}
