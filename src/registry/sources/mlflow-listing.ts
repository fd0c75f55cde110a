/**
 * All files below a directory of artifacts, of a server that lists one directory at a time and gives names without paths.
 *
 * A name is a single segment. One that climbs, or is no name at all, refuses the whole version: it is nothing that a
 * training run leaves behind by accident.
 *
 * Must not know how a directory is asked for.
 */
import { GatewayError } from '../../core/errors.js';
import { filesMax, isFilePath } from '../file-path.js';
import { Refusal } from '../refusal.js';
import type { PlacedFile } from './mlflow-place.js';

export interface ListedEntry {
  readonly path: string;
  readonly is_dir: boolean;
  readonly file_size?: number | undefined;
}

const directoriesMax = 1000;
const depthMax = 16;

/** @param entriesOf what lies in a directory, given by its path below the root: '' is the root itself */
export async function filesBelow(
  entriesOf: (directory: string) => Promise<readonly ListedEntry[]>,
): Promise<PlacedFile[]> {
  const files: PlacedFile[] = [];
  const directories = [''];
  for (const directory of directories) {
    for (const { path: name, is_dir: isDirectory, file_size: bytes } of await entriesOf(directory)) {
      const path = joined(directory, name);
      if (isDirectory) directories.push(path);
      else files.push({ path, bytes });
    }
    limit('files', files.length, filesMax);
    limit('directories', directories.length - 1, directoriesMax);
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function joined(directory: string, name: string): string {
  const path = directory === '' ? name : `${directory}/${name}`;
  if (name.includes('/') || !isFilePath(path)) {
    throw new Refusal('traversal', `an artifact is named ${JSON.stringify(name.slice(0, 100))}, which is no file name`);
  }
  limit('levels of directories', path.split('/').length - 1, depthMax);
  return path;
}

function limit(what: string, count: number, max: number): void {
  if (count > max) throw new GatewayError('FAILED_PRECONDITION', `it has more than ${max} ${what}`);
}
