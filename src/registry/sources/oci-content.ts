/**
 * What one manifest digest holds: found through an index if need be, its config read, its layers chosen.
 *
 * Everything here follows from the digest alone and is the same for ever, so it is read once and kept.
 *
 * Must not know tags or numbers of versions.
 */
import { GatewayError } from '../../core/errors.js';
import { isVersionText } from '../../core/model.js';
import { documentBytesMax, parseJson } from '../net/text.js';
import type { VersionFacts } from '../source.js';
import { type Convention, conventionOf, kindOf, layersOf, type TakenLayers } from './oci-conventions.js';
import type { Descriptor, OciIndex, OciManifest } from './oci-manifest.js';
import type { BlobPlace, OciRegistry } from './oci-registry.js';

export interface OciContent extends TakenLayers {
  /** Of the manifest itself: that of the tag, unless an index lies between. */
  readonly manifestDigest: string;
  /** A version number that its author wrote into it. */
  readonly version: string | undefined;
  /** Of the model file, when it is a layer of its own. */
  readonly bytes: number | undefined;
  readonly facts: VersionFacts;
}

export interface ContentPlace {
  readonly registry: OciRegistry;
  readonly repository: string;
  readonly digest: string;
}

/** Members of an index that are looked into at most. */
const candidatesMax = 32;
const rfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;

/** @throws NOT_FOUND; FAILED_PRECONDITION or Refusal saying what is wrong with it */
export async function readContent(place: ContentPlace, signal: AbortSignal): Promise<OciContent> {
  const { manifest, digest } = await findManifest(place, signal);
  const convention = conventionOf(manifest);
  const where = `${place.repository}@${place.digest}`;
  if (convention === undefined) throw refused(where, `${kindOf(manifest)} is not an artifact of a model`);
  const config = convention === 'oras' ? {} : await readConfig(place, manifest.config, signal);
  checkFormat(convention, config, where);
  const locatorOf = ({ digest: blob, size }: Descriptor): BlobPlace => ({
    repository: place.repository,
    digest: blob,
    size,
  });
  const layers = layersOf(manifest, convention, locatorOf);
  const model = layers.files.find(({ path, archive }) => archive === undefined && path.endsWith('.onnx'));
  return {
    ...layers,
    manifestDigest: digest,
    version: versionIn(manifest, config),
    bytes: model?.bytes,
    facts: factsOf(manifest, config),
  };
}

interface FoundManifest {
  readonly manifest: OciManifest;
  readonly digest: string;
}

async function findManifest(place: ContentPlace, signal: AbortSignal): Promise<FoundManifest> {
  const document = await documentAt(place, place.digest, signal);
  if (document.kind === 'manifest') return { manifest: document.manifest, digest: place.digest };
  return memberOf(place, document.index, signal);
}

/** The first of an index that is an artifact of a model. */
async function memberOf(place: ContentPlace, index: OciIndex, signal: AbortSignal): Promise<FoundManifest> {
  const found: string[] = [];
  for (const { digest } of index.manifests.slice(0, candidatesMax)) {
    const document = await documentAt(place, digest, signal);
    if (document.kind === 'manifest' && conventionOf(document.manifest) !== undefined) {
      return { manifest: document.manifest, digest };
    }
    found.push(document.kind === 'manifest' ? kindOf(document.manifest) : 'another index');
  }
  const what = found.length === 0 ? 'nothing' : found.join(', ');
  throw refused(`${place.repository}@${place.digest}`, `no artifact of a model is in this index, which holds ${what}`);
}

async function documentAt({ registry, repository }: ContentPlace, digest: string, signal: AbortSignal) {
  const found = await registry.document(repository, digest, signal);
  if (found !== undefined) return found.document;
  throw new GatewayError('NOT_FOUND', `${repository}@${digest} is gone`);
}

/** As far as it matters here; everything may be missing or of another type. */
interface ConfigDocument {
  readonly descriptor?: Readonly<Record<string, unknown>> | null;
  readonly config?: Readonly<Record<string, unknown>> | null;
  readonly package?: Readonly<Record<string, unknown>> | null;
  readonly model?: Readonly<Record<string, unknown>> | null;
}

async function readConfig(
  { registry, repository }: ContentPlace,
  { digest, size }: Descriptor,
  signal: AbortSignal,
): Promise<ConfigDocument> {
  const bytes = await registry.blob({ repository, digest, size }, documentBytesMax, signal);
  const value = parseJson(bytes, `config of ${repository}`);
  if (typeof value === 'object' && value !== null) return value;
  throw refused(repository, 'its config is not an object');
}

function checkFormat(convention: Convention, { config }: ConfigDocument, where: string): void {
  if (convention !== 'modelpack') return;
  const format = textOf(config?.format);
  if (format.toLowerCase() !== 'onnx') throw refused(where, `its format is '${format.slice(0, 100)}', expected 'onnx'`);
}

function versionIn({ annotations = {} }: OciManifest, config: ConfigDocument): string | undefined {
  const written = [
    annotations['sluice.version'],
    annotations['org.opencontainers.image.version'],
    config.descriptor?.version,
    config.package?.version,
    config.model?.version,
  ];
  return written.map(textOf).find(isVersionText);
}

function factsOf({ annotations = {} }: OciManifest, config: ConfigDocument): VersionFacts {
  const created = annotations['org.opencontainers.image.created'] ?? textOf(config.descriptor?.createdAt);
  return {
    tags: annotations,
    description:
      annotations['org.opencontainers.image.description'] ??
      (textOf(config.descriptor?.description) || textOf(config.package?.description)),
    metrics: {},
    runId: '',
    created: rfc3339.test(created) ? created : '',
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function refused(where: string, reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `${where}: ${reason}`);
}
