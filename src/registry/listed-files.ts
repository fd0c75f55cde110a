/**
 * What a version says of its own files, in `manifest.json` or, without one, in `SHA256SUMS`; and whether the files are those.
 *
 * Must not know the disk or where files come from.
 */
import { GatewayError } from '../core/errors.js';
import { filesMax, isFilePath, isSignaturePath } from './file-path.js';
import { manifestFileName, parseManifest } from './manifest.js';
import { Refusal } from './refusal.js';

const sumsFileName = 'SHA256SUMS';
export const listBytesMax = 4 * 1024 * 1024;

/** A file as it came. */
interface FoundFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface ListedFile {
  readonly bytes: number | undefined;
  readonly sha256: string;
}

export interface FileList {
  /** The file that the list stands in; it cannot list itself. */
  readonly name: string;
  readonly files: ReadonlyMap<string, ListedFile>;
}

/** The list that counts, of the files at the top of a version. */
export function listNameOf(paths: readonly string[]): string | undefined {
  return [manifestFileName, sumsFileName].find((name) => paths.includes(name));
}

/** @throws FAILED_PRECONDITION when it cannot be read */
export function parseList(name: string, text: string): FileList {
  if (name === sumsFileName) return { name, files: parseSums(text) };
  const { files } = parseManifest(text);
  return { name, files: new Map(files.map(({ path, size, sha256 }) => [path, { bytes: size, sha256 }])) };
}

/** As `sha256sum` writes it, in text or in binary mode, and as `find -exec` calls it. */
function parseSums(text: string): Map<string, ListedFile> {
  const files = new Map<string, ListedFile>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '') continue;
    const [, sha256, path] = /^([0-9a-f]{64}) [ *](?:\.\/)?(.+)$/.exec(line) ?? [];
    if (sha256 === undefined || path === undefined || !isFilePath(path)) {
      throw wrongSums(`line ${index + 1}: expected 64 hex digits, two spaces and a path inside the version`);
    }
    if (files.has(path)) throw wrongSums(`line ${index + 1}: '${path}' is listed twice`);
    if (files.size === filesMax) throw wrongSums(`it lists more than ${filesMax} files`);
    // A list made in place holds itself with the digest of what it was before it was whole.
    if (path !== sumsFileName) files.set(path, { bytes: undefined, sha256 });
  }
  return files;
}

function wrongSums(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `${sumsFileName}: ${reason}`);
}

/** Neither one listed file missing nor one more than listed. @throws Refusal `digest_mismatch` */
export function checkFileSet(list: FileList, paths: readonly string[], subject: string): void {
  const present = new Set(paths);
  for (const path of list.files.keys()) {
    if (!present.has(path)) {
      throw new Refusal('digest_mismatch', `${subject}: '${path}' is listed in ${list.name} and not there`);
    }
  }
  for (const path of present) {
    if (path === list.name || isSignaturePath(path) || list.files.has(path)) continue;
    throw new Refusal('digest_mismatch', `${subject}: '${path}' is not listed in ${list.name}`);
  }
}

/** @throws Refusal `digest_mismatch` naming the file, what was expected and what came */
export function checkFile(file: FoundFile, expected: Partial<ListedFile> | undefined, subject: string): void {
  if (expected?.bytes !== undefined && expected.bytes !== file.bytes) {
    throw mismatch(subject, file.path, `${expected.bytes} bytes`, `${file.bytes}`);
  }
  if (expected?.sha256 !== undefined && expected.sha256 !== file.sha256) {
    throw mismatch(subject, file.path, `sha256 ${expected.sha256}`, file.sha256);
  }
}

export function mismatch(subject: string, path: string, expected: string, got: string): Refusal {
  return new Refusal('digest_mismatch', `${subject}: '${path}' was to have ${expected}, got ${got}`);
}
