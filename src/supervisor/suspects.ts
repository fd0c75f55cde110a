/**
 * What a process ran when it crashed, by the marks that it left in a file.
 *
 * Must not know who is blamed.
 */
import { readFileSync, rmSync } from 'node:fs';
import { markedVersions } from '../core/mark.js';
import type { VersionId } from '../core/model.js';
import { isNativeCrash } from './blame.js';
import type { Exit } from './child.js';

/** Takes the marks away: they are of no use afterwards. @returns undefined when the process did not crash */
export function takeSuspects(marksFile: string, exit: Exit): readonly VersionId[] | undefined {
  try {
    return isNativeCrash(exit) && exit.killed === undefined ? markedVersions(readFileSync(marksFile)) : undefined;
  } catch {
    return [];
  } finally {
    rmSync(marksFile, { force: true });
  }
}
