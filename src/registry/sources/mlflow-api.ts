/**
 * MLflow's registry over REST: each call of it that a source needs.
 *
 * Credentials go to the tracking server and to nobody else, wherever artifacts may lie.
 *
 * Must not know which models are wanted, or where the bytes of a version lie.
 */
import type { z } from 'zod';
import { GatewayError } from '../../core/errors.js';
import type { Credentials } from '../net/credentials.js';
import type { Answer, Http } from '../net/http.js';
import { jsonOf, textOf } from '../net/text.js';
import { answers, type ModelVersion, type RegisteredModel } from './mlflow-answers.js';
import { isRefused, lastAnswerOf, type MlflowError, mlflowErrorOf } from './mlflow-error.js';
import { pagesOf } from './mlflow-pages.js';

export interface MlflowApiOptions {
  /** Of the source, for messages. */
  readonly name: string;
  /** Of the tracking server, with its static prefix if it has one. */
  readonly url: URL;
  readonly http: Http;
  readonly credentials: Pick<Credentials, 'authorization'>;
  /** MLflow 3: the workspace that is meant. */
  readonly workspace?: string | undefined;
}

type Query = Readonly<Record<string, string>>;

const jsonBytesMax = 16 * 1024 * 1024;
const errorBytesMax = 64 * 1024;
const pageItems = 200;

export class MlflowApi {
  readonly #options: MlflowApiOptions;
  readonly #prefix: string;

  constructor(options: MlflowApiOptions) {
    this.#options = options;
    this.#prefix = options.url.pathname.replace(/\/+$/, '');
  }

  get origin(): URL {
    return this.#options.url;
  }

  /** A path below the tracking server, whatever prefix it has. */
  urlOf(path: string): URL {
    return new URL(this.#prefix + path, this.#options.url);
  }

  /** @returns undefined when the model has no such alias; MLflow says 400 to that, not 404 */
  async byAlias(model: string, alias: string, signal: AbortSignal): Promise<ModelVersion | undefined> {
    try {
      const call = '/mlflow/registered-models/alias';
      return (await this.#call(call, { name: model, alias }, answers.version, signal)).model_version;
    } catch (error) {
      if (isRefused(error, 'INVALID_PARAMETER_VALUE')) return undefined;
      throw error;
    }
  }

  /** @throws NOT_FOUND when there is none, like every call about a single thing */
  async model(name: string, signal: AbortSignal): Promise<RegisteredModel> {
    return (await this.#call('/mlflow/registered-models/get', { name }, answers.model, signal)).registered_model;
  }

  async version(name: string, version: string, signal: AbortSignal): Promise<ModelVersion> {
    return (await this.#call('/mlflow/model-versions/get', { name, version }, answers.version, signal)).model_version;
  }

  /** Ordered by what never changes, so that no update moves anything over the edge of a page. */
  models(signal: AbortSignal): Promise<Map<string, RegisteredModel>> {
    const query = { max_results: String(pageItems), order_by: 'name ASC' };
    return pagesOf(async (token) => {
      const page = await this.#call('/mlflow/registered-models/search', paged(query, token), answers.models, signal);
      return { items: page.registered_models, next: page.next_page_token };
    }, keyOfModel);
  }

  /** @param model its name has been checked, so it needs no quoting in the filter */
  versions(model: string, signal: AbortSignal): Promise<Map<string, ModelVersion>> {
    const query = { filter: `name='${model}'`, max_results: String(pageItems), order_by: 'version_number ASC' };
    return pagesOf(async (token) => {
      const page = await this.#call('/mlflow/model-versions/search', paged(query, token), answers.versions, signal);
      return { items: page.model_versions, next: page.next_page_token };
    }, keyOfVersion);
  }

  async downloadUri(name: string, version: string, signal: AbortSignal): Promise<string> {
    const call = '/mlflow/model-versions/get-download-uri';
    return (await this.#call(call, { name, version }, answers.downloadUri, signal)).artifact_uri;
  }

  async run(id: string, signal: AbortSignal) {
    return (await this.#call('/mlflow/runs/get', { run_id: id }, answers.run, signal)).run;
  }

  /** MLflow 3 only. */
  async loggedModelUri(id: string, signal: AbortSignal): Promise<string> {
    const call = `/mlflow/logged-models/${encodeURIComponent(id)}`;
    return (await this.#call(call, {}, answers.loggedModel, signal)).model.info.artifact_uri;
  }

  /** What lies directly in a directory of artifacts; a directory that is not there is an empty one. */
  async filesIn(artifacts: URL, path: string, signal: AbortSignal) {
    const url = new URL(artifacts);
    if (path !== '') url.searchParams.set('path', path);
    return (await this.#json(url, 'the listing of artifacts', answers.files, signal)).files;
  }

  /** Any answer, sent with our credentials if it goes to our own server. */
  async ask(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const { http, url: own, credentials, workspace } = this.#options;
    const sent: Record<string, string> = { ...headers };
    if (url.origin === own.origin) {
      const authorization = await credentials.authorization();
      if (authorization !== undefined) sent.authorization = authorization;
      if (workspace !== undefined) sent['x-mlflow-workspace'] = workspace;
    }
    return http.ask({ url, headers: sent, signal });
  }

  /** What an answer other than the hoped for means. Reads its body to the end. */
  async refusal(answer: Answer, what: string): Promise<MlflowError> {
    // Of a body that is cut or endless, the status says enough.
    const text = await textOf(answer, errorBytesMax).catch(() => '');
    const contentType = answer.headers['content-type'] ?? '';
    return mlflowErrorOf(this.#named(what), { status: answer.status, contentType, text });
  }

  /** The same of what was thrown because every try was answered so; other errors as they are. */
  explained(error: unknown, what: string): unknown {
    const last = lastAnswerOf(error);
    return last === undefined ? error : mlflowErrorOf(this.#named(what), last);
  }

  #call<T extends z.ZodType>(call: string, query: Query, shape: T, signal: AbortSignal): Promise<z.output<T>> {
    const url = this.urlOf(`/api/2.0${call}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return this.#json(url, call.slice('/mlflow/'.length), shape, signal);
  }

  async #json<T extends z.ZodType>(url: URL, what: string, shape: T, signal: AbortSignal): Promise<z.output<T>> {
    const answer = await this.ask(url, { accept: 'application/json' }, signal).catch((error) => {
      throw this.explained(error, what);
    });
    if (answer.status !== 200) throw await this.refusal(answer, what);
    const parsed = shape.safeParse(await jsonOf(answer, jsonBytesMax));
    if (parsed.success) return parsed.data;
    const place = parsed.error.issues[0]?.path.join('.') ?? '';
    throw new GatewayError('UNAVAILABLE', `${this.#named(what)} is not as MLflow answers it: '${place}'`);
  }

  #named(what: string): string {
    return `source '${this.#options.name}': ${what}`;
  }
}

function paged(query: Query, token: string | undefined): Query {
  return token === undefined ? query : { ...query, page_token: token };
}

const keyOfModel = ({ name }: RegisteredModel) => name;
const keyOfVersion = ({ version }: ModelVersion) => version;
