/**
 * Numbers for versions that a registry knows only by digest. In this order:
 *
 *   1 the tag that was asked for is a number itself (`7`, `v7`)
 *   2 its author wrote a number into it: `sluice.version`, `org.opencontainers.image.version`, the ModelPack's or Kitfile's
 *     version
 *   3 another tag that is a number points to the same digest; of several the highest
 *   4 the number that was given to this digest before, or the next one
 *
 * The first three are the same for everybody who looks. The fourth is remembered outside, so that a restart does not give
 * another number to the same bytes.
 *
 * Must not know requests.
 */
import { versionOfTag } from './oci-names.js';

/** The memory behind rule 4, for one source. */
export interface VersionNumbers {
  get(model: string, digest: string): string | undefined;
  /** Gives and remembers a number above `above` and above every one given to this model before. */
  next(model: string, digest: string, above: string): Promise<string>;
}

/** A tag that was asked for, and what is known about where it points. */
export interface PointedTag {
  readonly tag: string;
  readonly digest: string;
  /** Rule 2. */
  readonly written: string | undefined;
  /** Rule 3. */
  readonly numberedBy: string | undefined;
}

export interface NumberedTags {
  /** Digests by version. */
  readonly versions: ReadonlyMap<string, string>;
  /** Versions by tag. */
  readonly versionOf: ReadonlyMap<string, string>;
  readonly ignored: readonly string[];
}

/** @param tags in the order in which they were asked for: the first one has the number that two say */
export async function numberTags(
  model: string,
  tags: readonly PointedTag[],
  numbers: VersionNumbers,
): Promise<NumberedTags> {
  const versions = new Map<string, string>();
  const versionOf = new Map<string, string>();
  const ignored: string[] = [];
  const claim = ({ tag, digest }: PointedTag, version: string) => {
    const holder = versions.get(version) ?? digest;
    if (holder !== digest) {
      ignored.push(`${model}: tag '${tag}' is version ${version} like another tag, but of other content`);
      return;
    }
    versions.set(version, digest);
    versionOf.set(tag, version);
  };
  for (const pointed of tags) {
    const version = versionOfTag(pointed.tag);
    if (version !== undefined) claim(pointed, version);
  }
  const named = tags.filter(({ tag }) => versionOfTag(tag) === undefined);
  for (const pointed of named) {
    const version = highestOf(versions, pointed.digest) ?? pointed.written ?? pointed.numberedBy;
    if (version !== undefined) claim(pointed, version);
  }
  for (const pointed of named) {
    if (pointed.written !== undefined || pointed.numberedBy !== undefined || versionOf.has(pointed.tag)) continue;
    claim(pointed, highestOf(versions, pointed.digest) ?? (await remembered(model, pointed, { versions, numbers })));
  }
  return { versions, versionOf, ignored };
}

async function remembered(
  model: string,
  { digest }: PointedTag,
  { versions, numbers }: { readonly versions: ReadonlyMap<string, string>; readonly numbers: VersionNumbers },
): Promise<string> {
  const known = numbers.get(model, digest);
  // A number that somebody else was given by name in the meantime is lost.
  if (known !== undefined && !versions.has(known)) return known;
  const highest = Math.max(0, ...[...versions.keys()].map(Number));
  return numbers.next(model, digest, String(highest));
}

function highestOf(versions: ReadonlyMap<string, string>, digest: string): string | undefined {
  let highest: string | undefined;
  for (const [version, held] of versions) {
    if (held === digest && Number(version) > Number(highest ?? 0)) highest = version;
  }
  return highest;
}
