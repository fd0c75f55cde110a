/**
 * What one signature file turned out to be, and the small things that every form of signature needs.
 *
 * Must not know any form.
 */
import { GatewayError } from '../../core/errors.js';

/** Who signed, as people know them: the file and id of a key, or the name in a certificate and who gave it. */
export interface Signer {
  readonly by: string;
  readonly keyId: string;
}

export type Finding =
  | { readonly status: 'signed'; readonly signer: Signer; readonly exempt: readonly string[] }
  | Fault;

/** By nobody who is trusted, or not over what is there. */
export type Fault =
  | { readonly status: 'wrong'; readonly reason: string }
  | { readonly status: 'unknown_key'; readonly reason: string };

export interface SignatureFile {
  /** `manifest.json.sig`, `manifest.json.2.sig`, `model.sig`, `attached.0.cosign.sig`, `attached.1.sigstore.json`. */
  readonly path: string;
  readonly content: Uint8Array;
}

export const signatureBytesMax = 16 * 1024 * 1024;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** @throws FAILED_PRECONDITION when `bytes` are no JSON, or too many */
export function jsonOf(what: string, bytes: Uint8Array, bytesMax: number): unknown {
  if (bytes.length > bytesMax) throw wrong(`${what} has ${bytes.length} bytes, expected at most ${bytesMax}`);
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch {
    throw wrong(`${what} is not JSON in UTF-8`);
  }
}

/** @throws FAILED_PRECONDITION unless `text` is base64 without gaps, in its only spelling */
export function bytesOfBase64(what: string, text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw wrong(`${what} is not base64`);
  return bytes;
}

export function wrong(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', reason);
}
