/**
 * One version as files to pull: where they lie, which of them is the model, which digests and signatures they have.
 *
 *   version record ─▶ get-download-uri ─▶ place ─▶ listing ─┬▶ files, with the digests of the tags
 *                                                           ├▶ signatures
 *                                                           └▶ MLmodel, config.pbtxt: read here, for they say what the rest is
 *
 * Must not know which versions are wanted.
 */
import { GatewayError } from '../../core/errors.js';
import { isSignaturePath } from '../file-path.js';
import type { Artifact, ArtifactFile, VersionFacts } from '../source.js';
import { parseTritonConfig } from '../triton-config.js';
import { labelFilesOf } from '../version-spec.js';
import type { ModelVersion } from './mlflow-answers.js';
import type { MlflowApi } from './mlflow-api.js';
import { digestsOf, factsOf, isFailed, metricsOf, revisionOf, waitingOf } from './mlflow-facts.js';
import type { Locations } from './mlflow-location.js';
import { modelFileOf, namingConfigOf } from './mlflow-model-file.js';
import { type ArtifactPlace, fromStart, type PlacedFile } from './mlflow-place.js';
import { RangedRoute, type RangeSupport } from './mlflow-ranged.js';

/** What `open` of the source finds the bytes by. */
export interface MlflowLocator {
  readonly place: ArtifactPlace;
  readonly file: PlacedFile;
}

export interface Artifacts {
  readonly api: MlflowApi;
  readonly locations: Locations;
  readonly ranges: RangeSupport;
}

/** Of the files that are read here instead of being pulled. */
const smallBytesMax = 1024 * 1024;
/** Other names are common among artifacts for other things: config.json is what tokenizers and transformers call theirs. */
const configNames = ['config.pbtxt', 'config.yaml'];

export async function artifactOf(
  id: { name: string; version: string },
  from: Artifacts,
  signal: AbortSignal,
): Promise<Artifact> {
  const { api, locations, ranges } = from;
  const version = await api.version(id.name, id.version, signal);
  checkStatus(version);
  const uri = await api.downloadUri(id.name, id.version, signal);
  const place = await locations.placeOf(uri, new RangedRoute(api, id, ranges), signal);
  const placed = await place.files(signal);
  if (placed.length === 0) throw new GatewayError('UNAVAILABLE', 'it has no artifacts (yet)');
  const reader = new SmallFiles(place, placed, signal);
  const plain = placed.filter(({ path }) => !isSignaturePath(path));
  const paths = plain.map(({ path }) => path);
  const modelFile = modelFileOf(paths, await reader.text('MLmodel'));
  const digests = digestsOf(version, paths);
  const file = (given: PlacedFile): ArtifactFile => ({
    path: given.path,
    bytes: given.bytes,
    sha256: digests.get(given.path),
    locator: { place, file: given } satisfies MlflowLocator,
  });
  return {
    model: id.name,
    version: id.version,
    revision: revisionOf(version),
    files: plain.map(file),
    signatures: placed.filter(({ path }) => isSignaturePath(path)).map(file),
    config: await configOf(reader, modelFile),
    facts: await factsWithRun(version, api, signal),
  };
}

function checkStatus(version: ModelVersion): void {
  if (isFailed(version)) throw new GatewayError('FAILED_PRECONDITION', 'its registration failed in MLflow');
  const waiting = waitingOf(version);
  if (waiting !== undefined) throw new GatewayError('UNAVAILABLE', waiting);
}

/** Small files of the version, by path. */
class SmallFiles {
  readonly #place: ArtifactPlace;
  readonly #files: readonly PlacedFile[];
  readonly #signal: AbortSignal;

  constructor(place: ArtifactPlace, files: readonly PlacedFile[], signal: AbortSignal) {
    this.#place = place;
    this.#files = files;
    this.#signal = signal;
  }

  /** @returns undefined when there is none */
  async text(path: string): Promise<string | undefined> {
    const file = this.#files.find((candidate) => candidate.path === path);
    if (file === undefined) return undefined;
    const { chunks } = await this.#place.open(file, fromStart, this.#signal);
    let text = '';
    let bytes = 0;
    const decoder = new TextDecoder();
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > smallBytesMax) {
        throw new GatewayError('FAILED_PRECONDITION', `'${path}' has more than ${smallBytesMax} bytes`);
      }
      text += decoder.decode(chunk, { stream: true });
    }
    return text + decoder.decode();
  }
}

async function configOf(reader: SmallFiles, modelFile: string): Promise<Artifact['config']> {
  for (const name of configNames) {
    const text = await reader.text(name);
    if (text === undefined) continue;
    const labels: Record<string, string> = {};
    for (const file of labelFilesOf(parseTritonConfig(name, text).config)) {
      const label = await reader.text(file);
      if (label !== undefined) labels[file] = label;
    }
    return { name, text, labels };
  }
  const naming = namingConfigOf(modelFile);
  return naming && { ...naming, labels: {} };
}

/** Before MLflow 3 metrics are with the run only. That one cannot be read is no reason to refuse a model. */
async function factsWithRun(version: ModelVersion, api: MlflowApi, signal: AbortSignal): Promise<VersionFacts> {
  const facts = factsOf(version);
  if (facts.runId === '' || Object.keys(facts.metrics).length > 0) return facts;
  try {
    return { ...facts, metrics: metricsOf((await api.run(facts.runId, signal)).data.metrics) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof GatewayError) return facts;
    throw error;
  }
}
