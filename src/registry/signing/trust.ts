/**
 * Who signatures are believed by: public keys, in a directory of PEM files, and people named for keyless ones.
 *
 * The directory is read anew for every version that is checked, because that is rare and a key that was taken away must count at once.
 * A file that is no usable public key trusts nobody, and is named.
 *
 * Must not know signatures.
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import type { Signer } from './finding.js';
import type { Keyless } from './keyless.js';

export type KeyKind = 'ed25519' | 'P-256' | 'P-384' | 'P-521';

/** Known by the name of its file; its id is the lower-case hex sha256 of its DER SubjectPublicKeyInfo. */
export interface TrustedKey extends Signer {
  /** The same of its PEM text, as OpenSSF model signing names it. */
  readonly hint: string;
  readonly kind: KeyKind;
  readonly key: KeyObject;
}

export interface Trust {
  /** Ascending by file name; each key once. */
  readonly keys: readonly TrustedKey[];
  /** Undefined = nobody is believed without a key. */
  readonly keyless?: Keyless | undefined;
  /** One sentence for each file passed over. */
  readonly passedOver: readonly string[];
}

export const noTrust: Trust = { keys: [], passedOver: [] };

const fileBytesMax = 64 * 1024;
const keysMax = 1000;
const curves: Readonly<Record<string, KeyKind>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' };

/** Every key in a directory. @throws UNAVAILABLE when it cannot be read */
export async function readTrust(directory: string): Promise<Trust> {
  const keys = new Map<string, TrustedKey>();
  const passedOver: string[] = [];
  for (const by of await keyFilesIn(directory)) {
    try {
      const key = trustedKey(by, await boundedText(join(directory, by)));
      if (!keys.has(key.keyId)) keys.set(key.keyId, key);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      passedOver.push(`key '${by}' is not used: ${error instanceof GatewayError ? message : (code ?? message)}`);
    }
  }
  return { keys: [...keys.values()], passedOver };
}

async function keyFilesIn(directory: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new GatewayError('UNAVAILABLE', `the directory of trusted keys cannot be read (${code})`, { cause: error });
  }
  const files = names.filter((name) => /\.(pem|pub)$/.test(name)).sort();
  if (files.length <= keysMax) return files;
  throw new GatewayError('UNAVAILABLE', `expected at most ${keysMax} trusted keys, got ${files.length}`);
}

async function boundedText(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > fileBytesMax) throw unusable(`it has ${size} bytes, expected at most ${fileBytesMax}`);
  return readFile(path, 'utf8');
}

/** @throws FAILED_PRECONDITION saying why `pem` is no key that can be trusted */
export function trustedKey(by: string, pem: string): TrustedKey {
  const blocks = pem.match(/-----BEGIN [^-]*-----/g) ?? [];
  // From a private key the public one would follow; but whoever put it here has put a secret in the wrong place.
  if (blocks.length !== 1 || blocks[0] !== '-----BEGIN PUBLIC KEY-----') {
    throw unusable(`expected one PEM block PUBLIC KEY, got ${blocks.join(', ') || 'none'}`);
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (error) {
    throw unusable('it cannot be read as a public key', error);
  }
  const kind = kindOf(key);
  const [der, text] = [key.export({ type: 'spki', format: 'der' }), key.export({ type: 'spki', format: 'pem' })];
  return { by, keyId: sha256(der), hint: sha256(text), kind, key };
}

function kindOf(key: KeyObject): KeyKind {
  if (key.asymmetricKeyType === 'ed25519') return 'ed25519';
  const curve = key.asymmetricKeyDetails?.namedCurve ?? '';
  const kind = key.asymmetricKeyType === 'ec' ? curves[curve] : undefined;
  if (kind !== undefined) return kind;
  const got = `${key.asymmetricKeyType} ${curve}`.trim();
  throw unusable(`expected an ed25519, P-256, P-384 or P-521 key, got ${got}`);
}

function sha256(of: string | Buffer): string {
  return createHash('sha256').update(of).digest('hex');
}

function unusable(reason: string, cause?: unknown): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', reason, { cause });
}
