/**
 * Webhooks as MLflow 3 sends them: signed, and sent again on 429 and 5xx, three times in all.
 *
 * Must not know the registry.
 */
import { createHmac, randomUUID } from 'node:crypto';
import type { Happening } from './mlflow-routes.js';

export interface Hook {
  readonly url: string;
  readonly secret: string;
}

const triesMax = 3;

export function hookHeadersOf(secret: string, body: string, unixSeconds: number): Record<string, string> {
  const id = randomUUID();
  const signature = createHmac('sha256', secret).update(`${id}.${unixSeconds}.${body}`).digest('base64');
  return {
    'content-type': 'application/json',
    'x-mlflow-signature': `v1,${signature}`,
    'x-mlflow-timestamp': String(unixSeconds),
    'x-mlflow-delivery-id': id,
  };
}

/** @returns the statuses that the receiver answered; 0 = not at all */
export async function deliver({ url, secret }: Hook, happening: Happening): Promise<number[]> {
  const { entity, action, data } = happening;
  const body = JSON.stringify({ entity, action, timestamp: new Date().toISOString(), data });
  const headers = hookHeadersOf(secret, body, Math.floor(Date.now() / 1000));
  const statuses: number[] = [];
  while (statuses.length < triesMax) {
    const status = await fetch(url, { method: 'POST', headers, body }).then(
      async (response) => {
        await response.arrayBuffer();
        return response.status;
      },
      () => 0,
    );
    statuses.push(status);
    if (status !== 429 && status < 500) break;
  }
  return statuses;
}
