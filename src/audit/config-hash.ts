/**
 * One hash for a configuration in force: approvals and the history name a configuration by it.
 *
 * Must not know what is configured.
 */
import { createHash } from 'node:crypto';
import { canonicalOf, type Json } from './canonical.js';

/** Lower-case hex sha256 of the RFC 8785 form of `value`, in which decimals stand as strings. */
export function configHash(value: unknown): string {
  return createHash('sha256')
    .update(canonicalOf(withDecimalsAsText(value)))
    .digest('hex');
}

/**
 * A value as an audit entry or a hash may hold it: numbers other than safe integers become strings, members that are
 * undefined are left out. What has no place in JSON stays, and is refused by whoever takes it.
 */
export function withDecimalsAsText(value: unknown): Json {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) return String(value);
  if (Array.isArray(value)) return value.map(withDecimalsAsText);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
    return value as Json;
  }
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.map(([key, member]) => [key, withDecimalsAsText(member)]));
}
