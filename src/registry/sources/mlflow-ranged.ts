/**
 * Downloads of artifacts: the route of the tracking server that resumes, and bodies counted as they come.
 *
 * Whether the route knows ranges is asked once for a source, with one byte. The other route states no length, so the bytes
 * that come are counted against the listing: a body cut short would look like a whole one there.
 *
 * Must not know which files a version has.
 */
import { GatewayError } from '../../core/errors.js';
import type { Answer } from '../net/http.js';
import { openRange } from '../net/ranged.js';
import type { FileStream } from '../source.js';
import type { MlflowApi } from './mlflow-api.js';
import { lastAnswerOf } from './mlflow-error.js';
import { shownPath } from './mlflow-facts.js';
import type { PlacedFile, ResumePoint } from './mlflow-place.js';

/** What a source has found out about its server, once. */
export interface RangeSupport {
  /** undefined = not found out yet. */
  isThere?: boolean | undefined;
}

/** The route that resumes, if this tracking server has it. */
export class RangedRoute {
  readonly #api: MlflowApi;
  readonly #version: { readonly name: string; readonly version: string };
  readonly #support: RangeSupport;

  constructor(api: MlflowApi, version: { readonly name: string; readonly version: string }, support: RangeSupport) {
    this.#api = api;
    this.#version = version;
    this.#support = support;
  }

  /** @returns undefined when the file is to be fetched the other way, which also tells best what is wrong with it */
  async open(file: PlacedFile, from: ResumePoint, signal: AbortSignal): Promise<FileStream | undefined> {
    try {
      this.#support.isThere ??= await this.#isRanged(file, signal);
      if (!this.#support.isThere) return undefined;
      // A range is asked for only where there is an etag to go on with.
      const ask = (range: string | undefined) =>
        this.#ask(file, range === undefined ? {} : { range, 'if-range': from.etag! }, signal);
      const stream = await openRange(from, ask, shownPath(file.path));
      return countedTo(file.bytes ?? stream.bytes, file, stream);
    } catch (error) {
      if (!(error instanceof GatewayError) || isDown(error)) throw error;
      return undefined;
    }
  }

  async #isRanged(file: PlacedFile, signal: AbortSignal): Promise<boolean> {
    const answer = await this.#ask(file, { range: 'bytes=0-0' }, signal);
    answer.dispose();
    return answer.status === 206;
  }

  #ask(file: PlacedFile, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const url = this.#api.urlOf('/model-versions/get-artifact');
    for (const [key, value] of Object.entries({ ...this.#version, path: file.path })) url.searchParams.set(key, value);
    return this.#api.ask(url, headers, signal);
  }
}

/** No answer at all, as opposed to one that says no. */
function isDown(error: GatewayError): boolean {
  return error.code === 'UNAVAILABLE' && lastAnswerOf(error) === undefined;
}

/** The whole file, by whatever route. */
export function wholeOf(answer: Answer, file: PlacedFile): FileStream {
  const stated = answer.headers['content-length'];
  const bytes = file.bytes ?? (stated === undefined ? undefined : Number(stated));
  return countedTo(bytes, file, { chunks: answer.body, offset: 0, bytes, etag: undefined });
}

/** The same stream, which fails when it ends early or goes on too long. */
function countedTo(bytes: number | undefined, file: PlacedFile, stream: FileStream): FileStream {
  return bytes === undefined ? stream : { ...stream, bytes, chunks: counted(stream, bytes, file) };
}

async function* counted(stream: FileStream, bytes: number, file: PlacedFile): AsyncGenerator<Uint8Array, void> {
  let count = stream.offset;
  const differs = (was: string) =>
    new GatewayError('UNAVAILABLE', `artifact ${shownPath(file.path)} ${was} after ${count} bytes, expected ${bytes}`);
  for await (const chunk of stream.chunks) {
    count += chunk.length;
    if (count > bytes) throw differs('goes on');
    yield chunk;
  }
  if (count < bytes) throw differs('ended');
}
