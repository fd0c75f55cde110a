/**
 * Webhooks of registries: somebody who knows the secret of a source says that it has changed. What is said is a hint and
 * nothing else; whoever cannot prove who he is is counted.
 *
 *   POST /hooks/mlflow/{source}   as MLflow signs it        POST /hooks/{source}   HMAC-SHA256 of the body, or the secret itself
 *
 * Must not know what a hint leads to.
 */
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import { Refusal } from '../registry/refusal.js';
import { type Delivery, genericHintOf, HeardDeliveries, mlflowHintOf, type PollHint } from '../registry/webhook.js';
import type { ControlCounts } from './counts.js';

const headerNames = [
  'authorization',
  'x-sluice-signature',
  'x-mlflow-signature',
  'x-mlflow-timestamp',
  'x-mlflow-delivery-id',
] as const;

export class Hooks {
  readonly #config: Config;
  readonly #counts: ControlCounts;
  readonly #epochNow: () => number;
  readonly #heard = new HeardDeliveries();

  constructor(config: Config, counts: ControlCounts, epochNow: () => number) {
    this.#config = config;
    this.#counts = counts;
    this.#epochNow = epochNow;
  }

  /** @throws NOT_FOUND for a source without a webhook; PERMISSION_DENIED for whoever cannot prove who he is */
  hear(segments: readonly string[], header: (name: string) => string | undefined, body: Uint8Array): PollHint {
    const isMlflow = segments[0] === 'mlflow' && segments.length === 2;
    const source = (isMlflow ? segments[1] : segments[0]) ?? '';
    const variable = this.#config.registry.sources.find(({ name }) => name === source)?.webhook?.secret_env;
    if (variable === undefined || segments.length !== (isMlflow ? 2 : 1))
      throw new GatewayError('NOT_FOUND', 'Not Found');
    const headers = Object.fromEntries(headerNames.map((name) => [name, header(name)]));
    const delivery: Delivery = { source, headers, body };
    const secret = process.env[variable] ?? '';
    try {
      if (!isMlflow) return genericHintOf(delivery, secret);
      return mlflowHintOf(delivery, { secret, heard: this.#heard, nowMs: this.#epochNow() });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#counts.securityEvents.add([error.kind]);
      throw new GatewayError('PERMISSION_DENIED', error.message);
    }
  }
}
