/**
 * PART OF THE ROOT: from one entry under `registry.sources` to a source, a folder or one over the network with its own client
 * and credentials.
 *
 * Must not know what the sources offer or when they are asked.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/schema.js';
import { invalid } from '../core/errors.js';
import { createHttp } from '../registry/net/client.js';
import { type CredentialPlaces, createCredentials } from '../registry/net/credentials.js';
import type { Http } from '../registry/net/http.js';
import type { Refusal } from '../registry/refusal.js';
import { noTrust } from '../registry/signing/trust.js';
import { verifyDetached } from '../registry/signing/verify.js';
import type { Source } from '../registry/source.js';
import { FolderSource } from '../registry/sources/folder.js';
import { createHttpIndexSource } from '../registry/sources/http-index.js';
import type { VerifyIndex } from '../registry/sources/index-reader.js';
import { createMlflowSource } from '../registry/sources/mlflow.js';
import { createOciSource } from '../registry/sources/oci.js';
import type { OciSelection } from '../registry/sources/oci-model.js';
import { createS3Source } from '../registry/sources/s3.js';
import { bucketUrl } from '../registry/sources/s3-bucket.js';
import { createS3Keys } from '../registry/sources/s3-keys.js';
import type { SourceMemory } from './source-memory.js';
import type { ReadTrust } from './trust.js';

export type SourceConfig = Config['registry']['sources'][number];
type NetworkConfig = Exclude<SourceConfig, { type: 'directory' }>;

export interface SourceTools {
  /** Name of the model when a folder holds one bare model.onnx. */
  readonly bareName: string;
  /** Undefined = nobody is trusted. */
  readonly trust: ReadTrust | undefined;
  readonly memory: SourceMemory;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
  readonly epochNow: () => number;
  readonly random: () => number;
  readonly onRefused?: ((refusal: Refusal) => void) | undefined;
}

/** What lies somewhere without a manifest is taken when it has not changed for so many polls. */
const settlePolls = 2;
/** Of one request: a poll is repeated by its poller and a pull by the store, and why it failed should be known soon. */
const sourceTriesMax = 3;

/** The sources in force: those configured, or the folder of models alone. */
export function sourcesIn({ registry, models }: Config): readonly SourceConfig[] {
  if (registry.sources.length > 0) return registry.sources;
  return [{ name: 'local', type: 'directory', path: models.path, poll_ms: models.poll_ms }];
}

/** What is done about signatures when the configuration does not say. */
export function signatureModeOf({ signature, type }: SourceConfig): 'off' | 'warn' | 'require' {
  return signature ?? (type === 'directory' ? 'off' : 'warn');
}

/** @throws INVALID_ARGUMENT for an address, a range or a name that is none */
export function sourceOf(config: SourceConfig, tools: SourceTools): Source {
  const { name } = config;
  const { epochNow, now } = tools;
  if (config.type === 'directory') {
    const settleMs = settlePolls * config.poll_ms;
    return new FolderSource({ name, path: config.path, bareName: tools.bareName, settleMs, epochNow });
  }
  const url = urlOf(config.url, name);
  const credentials = createCredentials(placesOf(config), tools.environment);
  const lastSerial = tools.memory.serialOf(name);
  const models = config.models === undefined ? undefined : Object.keys(config.models);
  const verifyIndex = indexJudge(config, tools);
  switch (config.type) {
    case 'http': {
      const http = httpOf(config, url, tools);
      return createHttpIndexSource({
        name,
        url,
        http,
        credentials,
        verifyIndex,
        lastSerial,
        models,
        allowHosts: config.allow_hosts,
        epochNow,
      });
    }
    case 'mlflow':
      return createMlflowSource({
        name,
        url,
        models: config.models,
        http: httpOf(config, url, tools),
        credentials,
        allowHosts: config.allow_hosts,
        fileRoots: config.allow_file,
      });
    case 'oci':
      return createOciSource({
        name,
        url,
        allowHttp: config.allow_http,
        models: ociSelections(config),
        http: httpOf(config, new URL(config.url.replace(/^oci:/, 'https:')), tools),
        credentials,
        allowRealms: config.allow_realms,
        numbers: tools.memory.numbersOf(name),
        now,
      });
    case 's3': {
      const endpoint = config.endpoint === undefined ? undefined : urlOf(config.endpoint, name);
      const place = { url, endpoint, region: config.region, forcePathStyle: config.force_path_style };
      return createS3Source({
        ...place,
        name,
        http: httpOf(config, bucketUrl(place), tools),
        keys: createS3Keys(placesOf(config), tools.environment),
        verifyIndex,
        lastSerial,
        models,
        settleMs: settlePolls * config.poll_ms,
        now,
        epochNow,
      });
    }
  }
}

function urlOf(text: string, source: string): URL {
  if (!URL.canParse(text)) throw invalid(`source '${source}': expected a URL, got '${text}'`);
  const url = new URL(text);
  if (url.username !== '' || url.password !== '')
    throw invalid(
      `source '${source}': credentials stand in the URL, expected them in a variable or a file named by auth`,
    );
  return url;
}

function httpOf(config: NetworkConfig, origin: URL, { now, epochNow, random, onRefused }: SourceTools): Http {
  return createHttp({
    origin,
    allowHttp: config.allow_http,
    allowPrivate: config.allow_private,
    allowHosts: [...config.allow_hosts, ...(config.type === 'oci' ? config.allow_realms : [])],
    caFile: config.ca_file,
    triesMax: sourceTriesMax,
    now,
    epochNow,
    random,
    onRefused,
    sleep: (delayMs, signal) => sleep(delayMs, undefined, { signal }),
  });
}

function placesOf({ auth }: NetworkConfig): CredentialPlaces {
  return {
    tokenEnv: auth.token_env,
    tokenFile: auth.token_file,
    userEnv: auth.user_env,
    passwordEnv: auth.password_env,
    passwordFile: auth.password_file,
  };
}

/** An index may be signed as a whole. */
function indexJudge(config: NetworkConfig, { trust }: SourceTools): VerifyIndex | undefined {
  const mode = signatureModeOf(config);
  if (mode === 'off' || (mode === 'warn' && trust === undefined)) return undefined;
  return async (bytes, signature) => {
    const signatures = signature === undefined ? [] : [{ path: 'index.json.sig', content: signature }];
    await verifyDetached({ bytes, signatures, trust: trust ?? (async () => noTrust), policy: { mode } });
  };
}

function ociSelections({ name, models }: Extract<SourceConfig, { type: 'oci' }>): Record<string, OciSelection> {
  if (models === undefined)
    throw invalid(
      `source '${name}': expected models, for example {digits: {tag: prod}}, because a registry does not list them`,
    );
  const selections: Record<string, OciSelection> = {};
  for (const [model, selector] of Object.entries(models)) {
    if ('tag' in selector) selections[model] = { tag: selector.tag };
    else if ('alias' in selector) selections[model] = { tag: selector.alias };
    else if ('aliases' in selector) selections[model] = { tags: selector.aliases };
    else if (typeof selector.versions === 'object' && 'specific' in selector.versions)
      selections[model] = { tags: selector.versions.specific };
    else selections[model] = { latest: selector.versions === 'all' ? ociVersionsMax : selector.versions.latest.n };
  }
  return selections;
}

const ociVersionsMax = 1000;
