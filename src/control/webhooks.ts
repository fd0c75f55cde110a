/**
 * PART OF THE ROOT: the endpoints of the configuration with their secrets, and the one way out to them.
 *
 * Must not know what is sent.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import { createHttp, type HttpOptions, type LastAnswer } from '../registry/net/client.js';
import type { Http } from '../registry/net/http.js';
import { type Environment, secretOf } from '../registry/net/secret.js';
import type { Endpoint, PostWebhook } from '../triggers/attempt.js';
import { webhookKeysOf } from '../triggers/signature.js';

type Endpoints = Config['triggers']['endpoints'];

const timeoutMs = 10_000;

/** @throws FAILED_PRECONDITION naming the endpoint whose secret is none */
export function endpointsOf(endpoints: Endpoints, environment: Environment): readonly Endpoint[] {
  return Object.entries(endpoints).map(([name, { url, secret_env, types, format, hub_signature }]) => {
    const secret = () => secretOf(environment, secret_env);
    try {
      webhookKeysOf(secret());
    } catch (error) {
      const { code, message } = GatewayError.from(error);
      throw new GatewayError(code, `triggers.endpoints.${name}: ${message}`);
    }
    const place = createHash('sha256').update(url).digest('hex').slice(0, 16);
    return { name, place, types, format, hasHubSignature: hub_signature, secret };
  });
}

/** Where somebody is told something. */
type Receiver = Pick<Endpoints[string], 'url' | 'allow_http' | 'allow_private' | 'ca_file'>;

/** Once, to exactly that address: no redirects, no proxies, and not to private addresses that were not allowed. */
export function postingTo(
  receivers: Readonly<Record<string, Receiver>>,
  tools: Pick<HttpOptions, 'now' | 'epochNow' | 'random' | 'onRefused'>,
  totalTimeoutMs = timeoutMs,
): { readonly post: PostWebhook; readonly close: () => void } {
  const ways = new Map<string, { readonly url: URL; readonly http: Http }>();
  for (const [name, { url, allow_http, allow_private, ca_file }] of Object.entries(receivers)) {
    const http = createHttp({
      ...tools,
      origin: new URL(url),
      allowHttp: allow_http,
      allowPrivate: allow_private,
      allowHosts: [],
      caFile: ca_file,
      triesMax: 1,
      totalTimeoutMs,
      headerTimeoutMs: totalTimeoutMs,
      sleep: (delayMs, signal) => sleep(delayMs, undefined, { signal }),
    });
    ways.set(name, { url: new URL(url), http });
  }
  return {
    post: async (name, headers, body, signal) => {
      const { url, http } = ways.get(name)!;
      try {
        const answer = await http.ask({ url, method: 'POST', headers, body, signal });
        answer.dispose();
        return answer.status;
      } catch (error) {
        const status = ((error as Error).cause as Partial<LastAnswer> | undefined)?.status;
        if (typeof status === 'number') return status;
        throw error;
      }
    },
    close: () => {
      for (const { http } of ways.values()) http.close();
    },
  };
}
