/**
 * PART OF THE ROOT: from one entry under `prediction_log.sinks` to a sink with a way out to the network, under the rules that
 * hold for everything that is asked outside.
 *
 * Must not know what a sink has taken or when it is woken.
 */
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { rootCertificates } from 'node:tls';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import type { Archive } from '../predictions/archive.js';
import { cloudEventsSender } from '../predictions/sinks/cloud-events.js';
import { natsSender } from '../predictions/sinks/nats.js';
import { type RowSender, rowSink } from '../predictions/sinks/row-sink.js';
import { s3Sink } from '../predictions/sinks/s3.js';
import type { Sink } from '../predictions/sinks/sink.js';
import { createHttp, type HttpOptions } from '../registry/net/client.js';
import { type CredentialPlaces, createCredentials } from '../registry/net/credentials.js';
import { Reach } from '../registry/net/reach.js';
import { secretOf } from '../registry/net/secret.js';
import { bucketUrl, prefixOf, S3Bucket } from '../registry/sources/s3-bucket.js';
import { createS3Keys } from '../registry/sources/s3-keys.js';
import { postingTo } from './webhooks.js';

export type SinkConfig = Config['prediction_log']['sinks'][number];
type Of<Type extends SinkConfig['type']> = Extract<SinkConfig, { type: Type }>;

export interface SinkTools extends Pick<HttpOptions, 'now' | 'random' | 'onRefused'> {
  /** `server.name`. */
  readonly instance: string;
  readonly archive: Pick<Archive, 'read'>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly epochMs: () => number;
}

/** @throws FAILED_PRECONDITION, INVALID_ARGUMENT for a secret, a file or an address that is none */
export function sinkOf(config: SinkConfig, tools: SinkTools): Sink {
  for (const variable of Object.values(config.auth)) secretOf(tools.environment, variable);
  if (config.type === 's3') return bucketOf(config, tools);
  const { max_batch_rows: rowsPerSend, max_batch_bytes: bytesPerSend } = config;
  const sender = config.type === 'nats' ? natsOf(config, tools) : eventsOf(config, tools);
  return rowSink({ sender, rowsPerSend, bytesPerSend, read: (...asked) => tools.archive.read(...asked) });
}

function placesOf({ auth }: SinkConfig): CredentialPlaces {
  return { tokenEnv: auth.token_env, userEnv: auth.user_env, passwordEnv: auth.password_env };
}

function eventsOf(config: Of<'http'>, { instance, environment, ...tools }: SinkTools): RowSender {
  const { name, namespace, timeout_ms } = config;
  const { authorization } = createCredentials(placesOf(config), environment);
  const { post, close } = postingTo({ [name]: config }, { ...tools, epochNow: tools.epochMs }, timeout_ms);
  const sender = cloudEventsSender({
    source: `/sluice/${encodeURIComponent(instance)}`,
    namespace,
    post: async (headers, body, signal) => {
      const secret = await authorization();
      return post(name, { ...headers, ...(secret !== undefined && { authorization: secret }) }, body, signal);
    },
  });
  return { ...sender, close: async () => close() };
}

function natsOf(config: Of<'nats'>, { environment }: SinkTools): RowSender {
  const { subject, timeout_ms: timeoutMs, ca_file } = config;
  const credentials = createCredentials(placesOf(config), environment);
  return natsSender({
    urls: config.url.map((text) => new URL(text)),
    subject,
    timeoutMs,
    authorities: ca_file === undefined ? undefined : [...rootCertificates, certificatesIn(ca_file)].join('\n'),
    credentials: async () => ({ ...(await credentials.basic()), token: await credentials.token() }),
    addressOf: (url) => addressOf(url, config.allow_private),
  });
}

/** The address is judged like that of any request, by its host and port. */
function addressOf(url: URL, allowPrivate: readonly string[]): Promise<string> {
  const judged = new URL(`https://${url.host}`);
  const resolve = async (host: string) => (await lookup(host, { all: true })).map(({ address }) => address);
  const reach = new Reach({ origin: judged, allowHttp: false, allowPrivate, allowHosts: [], resolve });
  reach.check(judged);
  return new Promise((found, failed) => {
    reach.lookup(judged)(url.hostname.replace(/^\[|\]$/g, ''), {}, (error, address) =>
      error === null ? found(String(address)) : failed(error),
    );
  });
}

function certificatesIn(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new GatewayError('FAILED_PRECONDITION', `the CA file cannot be read: ${code}`);
  }
}

function bucketOf(config: Of<'s3'>, { environment, now, epochMs: epochNow, random, onRefused }: SinkTools): Sink {
  const { name, region, force_path_style: forcePathStyle, timeout_ms } = config;
  const endpoint = config.endpoint === undefined ? undefined : new URL(config.endpoint);
  const place = { url: new URL(config.url), endpoint, region, forcePathStyle };
  const http = createHttp({
    origin: bucketUrl(place),
    allowHttp: config.allow_http,
    allowPrivate: config.allow_private,
    allowHosts: [],
    caFile: config.ca_file,
    triesMax: 1,
    totalTimeoutMs: timeout_ms,
    headerTimeoutMs: timeout_ms,
    now,
    epochNow,
    random,
    onRefused,
    sleep: (delayMs, signal) => sleep(delayMs, undefined, { signal }),
  });
  const bucket = new S3Bucket({ ...place, name, http, keys: createS3Keys(placesOf(config), environment), epochNow });
  const sink = s3Sink(async (key, body, signal) => {
    const url = bucket.urlOf(`${prefixOf(place)}${key}`);
    const answer = await bucket.ask(url, { method: 'PUT', body, signal }, body.sha256);
    if (answer.status !== 200) throw await bucket.refusal(answer, name);
    answer.dispose();
  });
  return { ...sink, close: async () => http.close() };
}
