/**
 * From the URI that MLflow gives for the artifacts of a version to the place where they lie.
 *
 *   mlflow-artifacts:/p           the tracking server          runs:/…, models:/…    one more call gives another URI
 *   mlflow-artifacts://host/p     that host, if allowed        s3://                 the place that is given for buckets
 *   http(s)://host/…/artifacts/p  that host, if allowed        file:/p, /p           a folder, if allowed
 *
 * A URI is the word of whoever registered the version, so it reaches no host and no folder that the operator did not name.
 *
 * Must not know which files a version has.
 */
import { fileURLToPath } from 'node:url';
import { GatewayError } from '../../core/errors.js';
import { isFilePath } from '../file-path.js';
import { Refusal } from '../refusal.js';
import type { MlflowApi } from './mlflow-api.js';
import { FolderPlace } from './mlflow-folder.js';
import type { ArtifactPlace } from './mlflow-place.js';
import { ProxiedPlace } from './mlflow-proxied.js';
import type { RangedRoute } from './mlflow-ranged.js';

export interface LocationOptions {
  /** Hosts beside the tracking server's own, `name` or `name:port`. */
  readonly allowHosts: readonly string[];
  /** Folders in which artifacts may lie; none = local paths are refused. */
  readonly fileRoots: readonly string[];
  /** The place behind an `s3://` URI; undefined = such versions are refused. */
  readonly s3?: ((uri: string) => ArtifactPlace) | undefined;
}

const artifactsRoute = '/api/2.0/mlflow-artifacts/artifacts';
const uriMax = 4096;

export class Locations {
  readonly #api: MlflowApi;
  readonly #options: LocationOptions;

  constructor(api: MlflowApi, options: LocationOptions) {
    this.#api = api;
    this.#options = options;
  }

  /** @param ranged for artifacts that the tracking server gives out itself */
  async placeOf(uri: string, ranged: RangedRoute, signal: AbortSignal): Promise<ArtifactPlace> {
    const direct = this.#direct(uri, ranged);
    if (direct !== undefined) return direct;
    const place = this.#direct(await this.#looked(uri, signal), ranged);
    if (place !== undefined) return place;
    throw refused('its artifacts lead from one registry entry to another');
  }

  /** @returns undefined for a URI that names another entry of the registry */
  #direct(uri: string, ranged: RangedRoute): ArtifactPlace | undefined {
    if (uri === '' || uri.length > uriMax) throw refused('MLflow says nowhere where its artifacts are');
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase();
    switch (scheme) {
      case 'runs':
      case 'models':
        return undefined;
      case 'mlflow-artifacts':
        return this.#proxied(parsed(uri), ranged);
      case 'http':
      case 'https':
        return this.#served(parsed(uri), ranged);
      case 's3':
        if (this.#options.s3 !== undefined) return this.#options.s3(uri);
        throw refused('its artifacts are in s3://, for which no credentials and endpoint are set');
      case 'file':
      case undefined:
        return this.#folder(uri, scheme);
      default:
        throw refused(`its artifacts are in ${scheme}:, which cannot be read here`);
    }
  }

  #proxied(uri: URL, ranged: RangedRoute): ProxiedPlace {
    const { origin } = this.#api;
    const path = pathOf(uri.pathname);
    if (uri.host === '' || uri.host === origin.host) {
      return new ProxiedPlace({ api: this.#api, artifacts: this.#api.urlOf(artifactsRoute), path, ranged });
    }
    this.#checkHost(uri);
    const artifacts = new URL(`${origin.protocol}//${uri.host}${artifactsRoute}`);
    return new ProxiedPlace({ api: this.#api, artifacts, path, ranged: undefined });
  }

  #served(uri: URL, ranged: RangedRoute): ProxiedPlace {
    const at = uri.pathname.indexOf(artifactsRoute);
    if (at === -1) throw refused(`its artifacts are at ${uri.host}, but not behind ${artifactsRoute}`);
    const isOwn = uri.origin === this.#api.origin.origin;
    if (!isOwn) this.#checkHost(uri);
    const end = at + artifactsRoute.length;
    const artifacts = new URL(uri.pathname.slice(0, end), uri.origin);
    const path = pathOf(uri.pathname.slice(end));
    return new ProxiedPlace({ api: this.#api, artifacts, path, ranged: isOwn ? ranged : undefined });
  }

  #checkHost({ host, hostname }: URL): void {
    const { allowHosts } = this.#options;
    if (allowHosts.includes(host) || allowHosts.includes(hostname)) return;
    throw new Refusal('address', `its artifacts are at ${host}, which is not the tracking server; see allow_hosts`);
  }

  #folder(uri: string, scheme: string | undefined): FolderPlace {
    const { fileRoots } = this.#options;
    if (fileRoots.length === 0) throw new Refusal('address', 'its artifacts are in a local folder; see allow_file');
    if (scheme === undefined && uri.startsWith('/')) return new FolderPlace(uri, fileRoots);
    try {
      return new FolderPlace(fileURLToPath(uri), fileRoots);
    } catch {
      throw new Refusal('address', 'its artifacts are in a folder that is not named by an absolute path');
    }
  }

  /** `runs:/<run>/<path>`, `models:/<model>/<version>` or, from MLflow 3, `models:/m-<id>[/<path>]`. */
  async #looked(uri: string, signal: AbortSignal): Promise<string> {
    const [first = '', ...rest] = uri
      .slice(uri.indexOf(':') + 1)
      .split('/')
      .filter((part) => part !== '');
    if (uri.startsWith('runs:')) return below((await this.#api.run(first, signal)).info.artifact_uri, rest);
    if (/^m-[A-Za-z0-9_-]{1,128}$/.test(first)) return below(await this.#api.loggedModelUri(first, signal), rest);
    const [version = '', ...path] = rest;
    return below(await this.#api.downloadUri(first, version, signal), path);
  }
}

function below(uri: string, path: readonly string[]): string {
  return [uri.replace(/\/+$/, ''), ...path].join('/');
}

function parsed(uri: string): URL {
  if (!URL.canParse(uri)) throw refused('the URI of its artifacts cannot be read');
  return new URL(uri);
}

/** Decoded, it must still be a path below the route: it is going to be asked for with our credentials. */
function pathOf(pathname: string): string {
  let path: string;
  try {
    path = decodeURIComponent(pathname).replace(/^\/+|\/+$/g, '');
  } catch {
    throw refused('the URI of its artifacts cannot be read');
  }
  if (path === '' || isFilePath(path)) return path;
  throw new Refusal('traversal', 'the URI of its artifacts is no plain path');
}

function refused(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', reason);
}
