/**
 * PART OF THE ROOT: who signatures are believed by, from the configuration.
 *
 * Must not know signatures.
 */
import type { Config } from '../config/schema.js';
import type { Identity, Keyless } from '../registry/signing/keyless.js';
import { noTrust, readTrust, type Trust } from '../registry/signing/trust.js';
import { readTrustedRoot } from '../registry/signing/trusted-root.js';

/** Reads who is trusted, each time as it is then. */
export type ReadTrust = () => Promise<Trust>;

/** Undefined = nobody: then there is nothing to warn about. */
export function trustOf({ trust, trusted_root, identities }: Config['registry']): ReadTrust | undefined {
  if (trust === '' && trusted_root === '') return undefined;
  const keyless: Keyless | undefined =
    trusted_root === ''
      ? undefined
      : { root: () => readTrustedRoot(trusted_root), identities: identities.map(identityOf) };
  return async () => ({ ...(trust === '' ? noTrust : await readTrust(trust)), keyless });
}

function identityOf({ identity, identity_regexp, issuer }: Config['registry']['identities'][number]): Identity {
  return { name: identity ?? new RegExp(`^(?:${identity_regexp})$`), issuer };
}
