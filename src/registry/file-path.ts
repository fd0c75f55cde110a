/**
 * The rules for paths of files inside a version, wherever they are written: in a manifest, an index, or as external data in
 * a model. A path that breaks them never becomes a file name.
 *
 * Must not know the disk.
 */

/** Files of one version. */
export const filesMax = 10_000;

/** Relative, `/` between segments, 1 to 512 bytes, nothing that climbs, hides or is read differently elsewhere. */
export function isFilePath(path: string): boolean {
  if (path.length === 0 || Buffer.byteLength(path) > 512 || !path.isWellFormed()) return false;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  if (/[\\\u0000-\u001f\u007f]/.test(path)) return false;
  return path.split('/').every(isSegment);
}

/** A file that says something about the version and is no part of it. */
export function isSignaturePath(path: string): boolean {
  return path.endsWith('.sig') || path.endsWith('.sigstore.json');
}

function isSegment(segment: string): boolean {
  return (
    segment !== '' && segment !== '.' && segment !== '..' && Buffer.byteLength(segment) <= 255 && !/[. ]$/.test(segment)
  );
}
