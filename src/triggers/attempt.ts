/**
 * One try to deliver an event: the body in the form that the endpoint wants, signed for this moment, and an answer in time.
 *
 * Must not know what follows from the answer.
 */
import type { TriggerType } from '../core/trigger.js';
import { alertmanagerContentType, alertmanagerText } from './alertmanager.js';
import { cloudEventContentType, cloudEventText, type TriggerEvent } from './event.js';
import { hubSignatureHeader, signatureHeaders, webhookKeysOf } from './signature.js';

export interface Endpoint {
  readonly name: string;
  /** Tells one address from another without showing it. */
  readonly place: string;
  /** Empty = all. */
  readonly types: readonly TriggerType[];
  readonly format: 'cloudevents' | 'alertmanager';
  readonly hasHubSignature: boolean;
  /** As it is kept; read anew for each try. */
  readonly secret: () => string;
}

/** @returns the status of the answer. @throws when there was none, or none that may be taken */
export type PostWebhook = (
  endpoint: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
) => Promise<number>;

interface AttemptTools {
  readonly post: PostWebhook;
  /** Gives it up. */
  readonly controller: AbortController;
  readonly epochNow: () => number;
  readonly after: (delayMs: number, work: () => void) => () => void;
}

type Attempted = { readonly status: number } | { readonly error: string };

const answerMs = 10_000;
const errorCharactersMax = 200;

/** Never throws, and never takes longer than a receiver has. */
export function attempt(event: TriggerEvent, endpoint: Endpoint, tools: AttemptTools): Promise<Attempted> {
  const { controller, after } = tools;
  const { signal } = controller;
  return new Promise((resolve) => {
    const expired = () => controller.abort(new Error(`no answer within ${answerMs / 1000} s`));
    const cancel = after(answerMs, expired);
    const settle = (attempted: Attempted) => {
      cancel();
      resolve(attempted);
    };
    signal.addEventListener('abort', () => settle({ error: reasonOf(signal.reason) }), { once: true });
    posted(event, endpoint, tools).then(
      (status) => settle({ status }),
      (error: unknown) => settle({ error: reasonOf(error) }),
    );
  });
}

async function posted(event: TriggerEvent, endpoint: Endpoint, tools: AttemptTools): Promise<number> {
  const { name, format, secret, hasHubSignature } = endpoint;
  const isAlert = format === 'alertmanager';
  const body = isAlert ? alertmanagerText(event, name) : cloudEventText(event);
  const keys = webhookKeysOf(secret());
  const timestamp = Math.floor(tools.epochNow() / 1000);
  const headers = {
    'content-type': isAlert ? alertmanagerContentType : cloudEventContentType,
    ...signatureHeaders(keys, { id: event.id, timestamp, body }),
    ...(hasHubSignature ? hubSignatureHeader(keys, body) : {}),
  };
  return tools.post(name, headers, body, tools.controller.signal);
}

/** Our own words, or the name of a fault; never what a receiver has sent. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : 'it cannot be reached';
  return message.slice(0, errorCharactersMax);
}
