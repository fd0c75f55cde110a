/**
 * How a receiver can tell that a webhook came from us and is not an old one sent again: the headers of Standard Webhooks.
 *
 *   webhook-signature: v1,base64(HMAC-SHA256(key, "<id>.<timestamp>.<body>"))     one for each key, a space between
 *
 * A secret is `whsec_` and base64. While one is being replaced, the variable holds both with a space between, the new one first;
 * receivers that know either accept. `X-Hub-Signature-256` is for receivers that know only that: it covers the body alone, and
 * its key is the text of the first secret as it stands in the variable.
 *
 * Must not know where secrets are kept.
 */
import { createHmac } from 'node:crypto';
import { GatewayError } from '../core/errors.js';

/** A secret as text and as the key in it. */
export interface WebhookKey {
  readonly text: string;
  readonly bytes: Buffer;
}

export interface Signed {
  readonly id: string;
  /** Seconds since 1970, of this try. */
  readonly timestamp: number;
  readonly body: string;
}

const keysMax = 4;
/** Shorter keys can be guessed; the standard asks for 24 to 64 bytes. */
const keyBytesMin = 24;

/**
 * @param text one secret, or several with spaces between
 * @throws FAILED_PRECONDITION without showing any part of it
 */
export function webhookKeysOf(text: string): readonly WebhookKey[] {
  const keys = text.split(/\s+/).filter((word) => word !== '');
  if (keys.length === 0 || keys.length > keysMax) throw wrong(`expected 1 to ${keysMax} secrets, got ${keys.length}`);
  return keys.map(keyOf);
}

function keyOf(text: string): WebhookKey {
  if (!/^whsec_[A-Za-z0-9+/]+={0,2}$/.test(text)) throw wrong('expected whsec_ and base64');
  const bytes = Buffer.from(text.slice('whsec_'.length), 'base64');
  if (bytes.length < keyBytesMin) throw wrong(`expected a key of at least ${keyBytesMin} bytes, got ${bytes.length}`);
  return { text, bytes };
}

function wrong(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `the secret of a webhook: ${reason}`);
}

export function signatureHeaders(keys: readonly WebhookKey[], { id, timestamp, body }: Signed): Record<string, string> {
  const text = `${id}.${timestamp}.${body}`;
  const signatures = keys.map(({ bytes }) => `v1,${createHmac('sha256', bytes).update(text).digest('base64')}`);
  return { 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': signatures.join(' ') };
}

export function hubSignatureHeader([key]: readonly WebhookKey[], body: string): Record<string, string> {
  if (key === undefined) return {};
  return { 'x-hub-signature-256': `sha256=${createHmac('sha256', key.text).update(body).digest('hex')}` };
}
