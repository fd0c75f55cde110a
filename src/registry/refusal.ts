/**
 * A refusal of content: what came is not what was promised. The version is not taken until its source offers another revision.
 *
 * Those of `securityKinds` are counted as security events, because nobody gets them by accident alone.
 *
 * Must not know sources or the store.
 */
import { GatewayError } from '../core/errors.js';

export const securityKinds = [
  'digest_mismatch',
  'signature',
  'traversal',
  'archive',
  'downgrade',
  'address',
  'redirect',
  'pinned_digest',
  'webhook',
] as const;

export type SecurityKind = (typeof securityKinds)[number];

export class Refusal extends GatewayError {
  readonly kind: SecurityKind;

  constructor(kind: SecurityKind, message: string, options: { readonly cause?: unknown } = {}) {
    super('FAILED_PRECONDITION', message, options);
    this.kind = kind;
  }
}
