/**
 * The folder of a store that a server has left behind, removed at once: a process that ends is not waited for.
 *
 * Must not know what is in it.
 */
import { chmodSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** A store is read-only all the way down. */
export function removeStoreTree(directory: string): void {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true }))
    if (entry.isDirectory()) chmodSync(join(entry.parentPath, entry.name), 0o700);
  rmSync(directory, { recursive: true, force: true });
}
