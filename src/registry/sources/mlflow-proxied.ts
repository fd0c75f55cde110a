/**
 * Artifacts that the tracking server gives out itself, by one of two routes:
 *
 *   /mlflow-artifacts/artifacts/{path}     always there; no length, no etag, no ranges: from the start, every time
 *   /model-versions/get-artifact           where it knows ranges, a large file goes on where it was cut
 *
 * A file that is not there is answered with 500, as is a directory, so after a failure the listing decides what it was.
 *
 * Must not know how the model file is chosen, or what becomes of the bytes.
 */
import { GatewayError } from '../../core/errors.js';
import type { FileStream } from '../source.js';
import type { MlflowApi } from './mlflow-api.js';
import { MlflowError } from './mlflow-error.js';
import { shownPath } from './mlflow-facts.js';
import { filesBelow } from './mlflow-listing.js';
import type { ArtifactPlace, PlacedFile, ResumePoint } from './mlflow-place.js';
import { type RangedRoute, wholeOf } from './mlflow-ranged.js';

export interface ProxiedRoot {
  readonly api: MlflowApi;
  /** The route of the artifacts, on whatever host it is. */
  readonly artifacts: URL;
  /** Where the version begins below it. */
  readonly path: string;
  /** Asks the tracking server for a file of the version; undefined when the artifacts lie elsewhere. */
  readonly ranged: RangedRoute | undefined;
}

/** From here on a file is worth a route that resumes. */
const rangedBytesMin = 8 * 1024 * 1024;

export class ProxiedPlace implements ArtifactPlace {
  readonly #root: ProxiedRoot;

  constructor(root: ProxiedRoot) {
    this.#root = root;
  }

  files(signal: AbortSignal): Promise<readonly PlacedFile[]> {
    return filesBelow((directory) => this.#entries(directory, signal));
  }

  async open(file: PlacedFile, from: ResumePoint, signal: AbortSignal): Promise<FileStream> {
    const { ranged } = this.#root;
    if (ranged !== undefined && (file.bytes ?? 0) >= rangedBytesMin) {
      const stream = await ranged.open(file, from, signal);
      if (stream !== undefined) return stream;
    }
    return this.#whole(file, signal);
  }

  async #whole(file: PlacedFile, signal: AbortSignal): Promise<FileStream> {
    const { api, artifacts } = this.#root;
    const url = new URL(artifacts);
    url.pathname += `/${this.#pathOf(file.path).split('/').map(encodeURIComponent).join('/')}`;
    const what = `artifact ${shownPath(file.path)}`;
    const answer = await api.ask(url, {}, signal).catch(async (error) => {
      throw await this.#explained(file, api.explained(error, what), signal);
    });
    if (answer.status === 200) return wholeOf(answer, file);
    throw await this.#explained(file, await api.refusal(answer, what), signal);
  }

  /** What a failed download means, once the listing has been asked whether the file is there. */
  async #explained(file: PlacedFile, error: unknown, signal: AbortSignal): Promise<unknown> {
    if (!(error instanceof MlflowError) || error.status < 500 || error.code !== 'UNAVAILABLE') return error;
    const slash = file.path.lastIndexOf('/');
    const siblings = await this.#entries(file.path.slice(0, Math.max(0, slash)), signal);
    const entry = siblings.find(({ path }) => path === file.path.slice(slash + 1));
    if (entry?.is_dir === false) return permanently(error);
    const found = entry === undefined ? 'is no longer there' : 'is a directory by now';
    return new GatewayError('FAILED_PRECONDITION', `${error.message}, for it ${found}`);
  }

  #entries(directory: string, signal: AbortSignal) {
    return this.#root.api.filesIn(this.#root.artifacts, this.#pathOf(directory), signal);
  }

  #pathOf(path: string): string {
    return [this.#root.path, path].filter((part) => part !== '').join('/');
  }
}

/** The server failed at this file alone, after as many tries as there are: asking again at every poll helps nobody. */
function permanently({ message, status, errorCode }: MlflowError): MlflowError {
  return new MlflowError('FAILED_PRECONDITION', `${message} to every try`, { status, errorCode });
}
