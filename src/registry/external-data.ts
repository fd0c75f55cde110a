/**
 * Weights outside model.onnx: whether every file that the model names is one that came with the version.
 *
 * A location is text of whoever made the model, and the runtime opens it. It refuses paths that climb and links that lead
 * away, but it follows a hard link to any file of the same disk (onnxruntime 1.30), so a file must have one name only.
 *
 * Must not know how a model is read.
 */
import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { AdmissionRefusal } from './admission-refusal.js';
import { isFilePath } from './file-path.js';
import type { Manifest } from './manifest.js';
import type { OnnxFacts } from './onnx.js';

/**
 * @param directory of the version; below it nothing may be a link
 * @throws AdmissionRefusal `external_data` naming the location and what is wrong with it
 */
export async function checkExternalData(
  directory: string,
  { externalFiles, externalBytes }: Pick<OnnxFacts, 'externalFiles' | 'externalBytes'>,
  manifest?: Pick<Manifest, 'files'>,
): Promise<void> {
  const listed = manifest === undefined ? undefined : new Set(manifest.files.map(({ path }) => path));
  for (const [index, location] of externalFiles.entries()) {
    // The runtime takes such a location for an address in its own memory and the offset for a pointer.
    if (!isFilePath(location) || location.startsWith('*/'))
      throw refused(location, 'expected a path inside the version');
    if (listed !== undefined && !listed.has(location))
      throw refused(location, 'it is not among the files of manifest.json');
    await checkFile(directory, location, externalBytes[index] ?? 0);
  }
}

async function checkFile(directory: string, location: string, bytes: number): Promise<void> {
  const segments = location.split('/');
  for (let depth = 1; depth < segments.length; depth++) {
    const entry = await entryOf(directory, segments.slice(0, depth), location);
    if (!entry.isDirectory())
      throw refused(location, `'${segments[depth - 1]}' is ${kindOf(entry)}, expected a directory`);
  }
  const file = await entryOf(directory, segments, location);
  if (!file.isFile()) throw refused(location, `it is ${kindOf(file)}, expected a plain file`);
  if (file.nlink !== 1) throw refused(location, `the file has ${file.nlink} names (hard links), expected one`);
  if (file.size < bytes) throw refused(location, `the model reads up to byte ${bytes}, but the file has ${file.size}`);
}

async function entryOf(directory: string, segments: readonly string[], location: string): Promise<Stats> {
  try {
    return await lstat(join(directory, ...segments));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw refused(location, code === 'ENOENT' ? 'there is no such file' : `it cannot be looked at (${code})`);
  }
}

function kindOf(entry: Stats): string {
  if (entry.isSymbolicLink()) return 'a symbolic link';
  return entry.isDirectory() ? 'a directory' : entry.isFile() ? 'a file' : 'a device';
}

function refused(location: string, reason: string): AdmissionRefusal {
  return new AdmissionRefusal('external_data', `external data at '${location.slice(0, 512)}': ${reason}`);
}
