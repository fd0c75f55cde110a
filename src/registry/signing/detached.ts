/**
 * A detached ed25519 signature over the exact bytes of one file: manifest.json, whose list covers a version, or an index.
 *
 * Must not know what is in the file.
 */
import { verify } from 'node:crypto';
import { z } from 'zod';
import { bytesOfBase64, type Finding, jsonOf, wrong } from './finding.js';
import type { TrustedKey } from './trust.js';

const contentBytesMax = 64 * 1024;

const schema = z.strictObject({
  alg: z.literal('ed25519'),
  keyid: z.string().regex(/^[0-9a-f]{64}$/),
  sig: z.string().max(1024),
});

/**
 * @param signed the bytes that the signature must cover
 * @throws FAILED_PRECONDITION when the signature file cannot be read
 */
export function checkDetached(content: Uint8Array, signed: Uint8Array, keys: readonly TrustedKey[]): Finding {
  const parsed = schema.safeParse(jsonOf('the signature', content, contentBytesMax));
  if (!parsed.success) throw wrong(`expected {"alg":"ed25519","keyid":"<64 hex>","sig":"<base64>"}`);
  const { keyid, sig } = parsed.data;
  const key = keys.find((candidate) => candidate.keyId === keyid);
  if (key === undefined) return { status: 'unknown_key', reason: `key ${keyid} is not trusted` };
  if (key.kind !== 'ed25519') throw wrong(`key '${key.by}' is of kind ${key.kind}, expected ed25519`);
  if (verify(null, signed, key.key, bytesOfBase64('the signature', sig)))
    return { status: 'signed', signer: key, exempt: [] };
  return { status: 'wrong', reason: `it was not made by key '${key.by}' over these bytes` };
}
