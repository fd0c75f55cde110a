/**
 * The MLflow Model Registry as a source: aliases are followed, READY versions pulled, whatever the registry says about them
 * is shown.
 *
 *   list ─▶ mlflow-follow ─┐                      ┌▶ the tracking server, proxied
 *   resolve ─▶ mlflow-artifact ─▶ mlflow-location ┼▶ a bucket
 *   open ──────────────────────────────────────── ┴▶ a folder
 *
 * MLflow answers no conditional requests, so a listing is compared with the one before. It stays the same under an alias
 * that goes to and fro between two polls, and is always the newest: nothing is queued here.
 *
 * Must not know the store.
 */
import { createHash } from 'node:crypto';
import { GatewayError, invalid } from '../../core/errors.js';
import { isModelName, isVersionText } from '../../core/model.js';
import type { Selector } from '../catalogue.js';
import type { Credentials } from '../net/credentials.js';
import type { Http } from '../net/http.js';
import { Refusal } from '../refusal.js';
import type { Artifact, ArtifactFile, FileStream, Listing, Source } from '../source.js';
import { MlflowApi } from './mlflow-api.js';
import { artifactOf, type MlflowLocator } from './mlflow-artifact.js';
import { Following } from './mlflow-follow.js';
import { type LocationOptions, Locations } from './mlflow-location.js';
import type { RangeSupport } from './mlflow-ranged.js';

export interface MlflowSourceOptions extends LocationOptions {
  readonly name: string;
  /** Of the tracking server, with its static prefix if it has one. */
  readonly url: URL;
  /** What is wanted, by model; undefined = every version of every registered model. */
  readonly models: Readonly<Record<string, Selector>> | undefined;
  readonly http: Http;
  readonly credentials: Pick<Credentials, 'authorization'>;
  /** MLflow 3: the workspace that is meant. */
  readonly workspace?: string | undefined;
}

/** @throws INVALID_ARGUMENT when a model is asked for that cannot be served under its name */
export function createMlflowSource(options: MlflowSourceOptions): Source {
  const odd = Object.keys(options.models ?? {}).find((name) => !isModelName(name));
  if (odd !== undefined) throw invalid(`source '${options.name}': '${odd}' is not a model name`);
  return new MlflowSource(options);
}

class MlflowSource implements Source {
  readonly type = 'mlflow';
  readonly name: string;
  readonly #api: MlflowApi;
  readonly #following: Following;
  readonly #locations: Locations;
  readonly #http: Http;
  readonly #ranges: RangeSupport = {};
  #listed = '';

  constructor(options: MlflowSourceOptions) {
    this.name = options.name;
    this.#http = options.http;
    this.#api = new MlflowApi(options);
    this.#following = new Following(this.#api, options.models);
    this.#locations = new Locations(this.#api, options);
  }

  async list(signal: AbortSignal): Promise<Listing | undefined> {
    const listing = await this.#following.look(signal);
    const listed = createHash('sha256').update(JSON.stringify(listing)).digest('hex');
    if (listed === this.#listed) return undefined;
    this.#listed = listed;
    return listing;
  }

  async resolve(model: string, version: string, signal: AbortSignal): Promise<Artifact> {
    if (!isModelName(model) || !isVersionText(version)) {
      throw new GatewayError('NOT_FOUND', `source '${this.name}' has no version '${version}' of model '${model}'`);
    }
    try {
      const from = { api: this.#api, locations: this.#locations, ranges: this.#ranges };
      return await artifactOf({ name: model, version }, from, signal);
    } catch (error) {
      throw named(error, `model '${model}' version '${version}'`);
    }
  }

  open(
    file: ArtifactFile,
    from: { offset: number; etag: string | undefined },
    signal: AbortSignal,
  ): Promise<FileStream> {
    const { place, file: placed } = file.locator as MlflowLocator;
    return place.open(placed, from, signal);
  }

  async close(): Promise<void> {
    this.#http.close();
  }
}

/** The same error, saying which version it is about. */
function named(error: unknown, subject: string): unknown {
  if (error instanceof Refusal) return new Refusal(error.kind, `${subject}: ${error.message}`, { cause: error });
  if (!(error instanceof GatewayError)) return error;
  return new GatewayError(error.code, `${subject}: ${error.message}`, { cause: error });
}
