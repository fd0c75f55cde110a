/**
 * The form of a mark: `model@version`, filled up with zeros. Written by a gateway process, read when it has crashed.
 *
 * Must not know files.
 */
import type { VersionId } from './model.js';

/** A model's name has 128 bytes at most, a version 15. */
export const markBytes = 160;

/** The versions that the marks of a process name, each once. */
export function markedVersions(bytes: Uint8Array): VersionId[] {
  const names = new Set<string>();
  for (let at = 0; at + markBytes <= bytes.length; at += markBytes) {
    const slot = bytes.subarray(at, at + markBytes);
    const end = slot.indexOf(0);
    const name = Buffer.from(slot.subarray(0, end === -1 ? markBytes : end)).toString('latin1');
    if (name !== '') names.add(name);
  }
  return [...names].map((name) => {
    const split = name.lastIndexOf('@');
    return { model: name.slice(0, split), version: name.slice(split + 1) };
  });
}
