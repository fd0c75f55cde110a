/**
 * Webhooks: a registry says that something has changed, which is a hint to poll now and never data.
 *
 *   body ≤ 64 KiB ─▶ signed within 5 minutes of now ─▶ signature over the raw bytes ─▶ not heard before ─▶ which source to poll
 *
 * MLflow signs `<delivery id>.<timestamp>.<body>`; anybody else signs the body alone, or shows a token. Nothing of a body is
 * looked at before it is known who sent it, and a model named in it saves polling the others, no more.
 *
 * Must not know sources, sockets or polls.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { GatewayError } from '../core/errors.js';
import { isModelName } from '../core/model.js';
import { Refusal } from './refusal.js';

export interface Delivery {
  /** The source whose webhook was called. */
  readonly source: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** As it came, byte for byte. */
  readonly body: Uint8Array;
}

export interface PollHint {
  readonly source: string;
  /** Undefined = whatever the source has. */
  readonly model: string | undefined;
}

export const webhookBodyBytesMax = 64 * 1024;
const skewMsMax = 300_000;
const memoryMs = 600_000;
const deliveriesMax = 10_000;
const deliveryIdMax = 256;

/** Delivery ids of the last ten minutes; only of deliveries whose signature was right. */
export class HeardDeliveries {
  /** When each was heard, oldest first. */
  readonly #heard = new Map<string, number>();

  get size(): number {
    return this.#heard.size;
  }

  /** @returns false when it was heard before */
  isNew(id: string, nowMs: number): boolean {
    for (const [old, heardAt] of this.#heard) {
      if (nowMs - heardAt <= memoryMs && this.#heard.size < deliveriesMax) break;
      this.#heard.delete(old);
    }
    if (this.#heard.has(id)) return false;
    this.#heard.set(id, nowMs);
    return true;
  }
}

export interface MlflowTrust {
  readonly secret: string;
  readonly heard: HeardDeliveries;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

/** @throws RESOURCE_EXHAUSTED for a body that is too long; Refusal `webhook` for whoever cannot prove who they are */
export function mlflowHintOf(delivery: Delivery, { secret, heard, nowMs }: MlflowTrust): PollHint {
  const { headers, body } = delivery;
  checkSecret(delivery, secret);
  checkLength(delivery);
  const timestamp = headers['x-mlflow-timestamp'] ?? '';
  if (!/^[0-9]{1,12}$/.test(timestamp)) throw refused(delivery, 'it has no x-mlflow-timestamp in unix seconds');
  if (Math.abs(Number(timestamp) * 1000 - nowMs) > skewMsMax) {
    throw refused(delivery, `its timestamp is more than ${skewMsMax / 1000} s from now`);
  }
  const id = headers['x-mlflow-delivery-id'] ?? '';
  if (id === '' || id.length > deliveryIdMax) throw refused(delivery, 'it has no x-mlflow-delivery-id');
  const signed = /^v1,([A-Za-z0-9+/]{43}=)$/.exec(headers['x-mlflow-signature'] ?? '')?.[1] ?? '';
  const expected = createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest();
  if (!isSame(Buffer.from(signed, 'base64'), expected))
    throw refused(delivery, 'its signature is not that of its body');
  if (!heard.isNew(id, nowMs)) throw refused(delivery, 'it was delivered before');
  return { source: delivery.source, model: modelOf(field(parsed(body), 'data'), 'name') };
}

/**
 * HMAC-SHA256 of the body as hex in `x-sluice-signature`, or the secret itself as a bearer token.
 * @throws like `mlflowHintOf`
 */
export function genericHintOf(delivery: Delivery, secret: string): PollHint {
  const { headers, body } = delivery;
  checkSecret(delivery, secret);
  checkLength(delivery);
  const signature = headers['x-sluice-signature'];
  if (signature !== undefined) {
    const signed = /^[0-9a-f]{64}$/i.test(signature) ? Buffer.from(signature, 'hex') : Buffer.alloc(0);
    const expected = createHmac('sha256', secret).update(body).digest();
    if (!isSame(signed, expected)) throw refused(delivery, 'its signature is not that of its body');
  } else {
    const token = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
    if (token === undefined) throw refused(delivery, 'it has neither x-sluice-signature nor a bearer token');
    if (!isSame(sha256(token), sha256(secret))) throw refused(delivery, 'its token is not the one that is set');
  }
  return { source: delivery.source, model: modelOf(parsed(body), 'model') };
}

function checkLength({ source, body }: Delivery): void {
  if (body.length <= webhookBodyBytesMax) return;
  const text = `webhook of source '${source}': a body of ${body.length} bytes, at most ${webhookBodyBytesMax} are read`;
  throw new GatewayError('RESOURCE_EXHAUSTED', text, { reason: 'too_large' });
}

/** With an empty secret anybody could sign. */
function checkSecret({ source }: Delivery, secret: string): void {
  if (secret === '') throw new GatewayError('FAILED_PRECONDITION', `webhook of source '${source}': no secret is set`);
}

function isSame(given: Uint8Array, expected: Uint8Array): boolean {
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function modelOf(value: unknown, name: string): string | undefined {
  const model = field(value, name);
  return typeof model === 'string' && isModelName(model) ? model : undefined;
}

function field(value: unknown, name: string): unknown {
  const isObject = typeof value === 'object' && value !== null && Object.hasOwn(value, name);
  return isObject ? (value as Record<string, unknown>)[name] : undefined;
}

/** @returns undefined for what is not JSON, which is a hint like any other */
function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString());
  } catch {
    return undefined;
  }
}

function refused({ source }: Delivery, reason: string): Refusal {
  return new Refusal('webhook', `webhook of source '${source}': ${reason}`);
}
