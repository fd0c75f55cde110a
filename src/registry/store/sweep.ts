/**
 * Which versions may go: a decision over plain values, taken without touching anything.
 *
 * Marked is what the caller names and the newest of each model. What has been unmarked for the grace time goes; when the
 * store is over its limit, the oldest of what is unmarked go as well, grace or not.
 *
 * Must not know the disk.
 */
import type { StoredVersion } from './shelf.js';

export interface SweepRules {
  /** Digests of what must stay: serving, previous, aliased, pinned, in flight, approved. */
  readonly keep: ReadonlySet<string>;
  readonly graceMs: number;
  /** Newest versions kept of each model of a source. */
  readonly keepVersions: number;
  readonly bytesMax: number;
  readonly now: number;
}

/** @param unmarkedSince when each directory was first seen unmarked; brought up to date here */
export function unwanted(
  versions: readonly StoredVersion[],
  rules: SweepRules,
  unmarkedSince: Map<string, number>,
): StoredVersion[] {
  const marked = newest(versions, rules.keepVersions);
  for (const version of versions) if (rules.keep.has(version.artifactSha256)) marked.add(version);
  let bytes = 0;
  const gone = new Set(unmarkedSince.keys());
  for (const version of versions) {
    bytes += version.bytes;
    gone.delete(version.directory);
    if (marked.has(version)) unmarkedSince.delete(version.directory);
    else if (!unmarkedSince.has(version.directory)) unmarkedSince.set(version.directory, rules.now);
  }
  for (const directory of gone) unmarkedSince.delete(directory);
  const oldestFirst = versions
    .filter((version) => !marked.has(version))
    .sort((a, b) => a.record.pulledAt - b.record.pulledAt);
  return oldestFirst.filter((version) => {
    const isDue = rules.now - unmarkedSince.get(version.directory)! >= rules.graceMs;
    if (!isDue && bytes <= rules.bytesMax) return false;
    bytes -= version.bytes;
    return true;
  });
}

/** Of each model the highest numbers; of one number, what was pulled last. */
function newest(versions: readonly StoredVersion[], count: number): Set<StoredVersion> {
  const models = new Map<string, StoredVersion[]>();
  for (const version of versions) {
    const key = `${version.source}/${version.model}`;
    const same = models.get(key);
    if (same === undefined) models.set(key, [version]);
    else same.push(version);
  }
  const kept = new Set<StoredVersion>();
  for (const same of models.values()) {
    same.sort((a, b) => Number(b.version) - Number(a.version) || b.record.pulledAt - a.record.pulledAt);
    for (const version of same.slice(0, count)) kept.add(version);
  }
  return kept;
}
