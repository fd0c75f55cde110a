/**
 * Names of the OCI distribution protocol: repositories, tags and digests, each with its one rule.
 *
 * Must not know requests or what is stored.
 */
import { GatewayError } from '../../core/errors.js';
import { isLabel, isVersionText } from '../../core/model.js';

const repositoryName = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagName = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

export function isTag(text: string): boolean {
  return tagName.test(text);
}

/** Only sha256 is computed here, so only sha256 can be asked for. */
export function isDigest(text: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

export function hexOf(digest: string): string {
  return digest.slice('sha256:'.length);
}

/** @throws FAILED_PRECONDITION when it cannot name a repository: upper case, empty segments, too long */
export function checkedRepository(name: string): string {
  // The pattern is walked only over what is short enough to be a name.
  if (name.length <= 255 && repositoryName.test(name)) return name;
  throw new GatewayError('FAILED_PRECONDITION', `'${name.slice(0, 255)}' is not the name of an OCI repository`);
}

/** `7` and `v7` number a version; undefined for every other tag. */
export function versionOfTag(tag: string): string | undefined {
  const number = tag.replace(/^[vV]/, '');
  return isVersionText(number) ? number : undefined;
}

/** Whether callers may ask for what this tag points to by the tag's own name. */
export function isAlias(tag: string): boolean {
  return isLabel(tag) && tag !== 'latest';
}
