/**
 * Which layers of a manifest are the files of a model, under the conventions that people pack models by.
 *
 *   CNCF ModelPack   weight and weight.config layers, named by org.cncf.model.filepath
 *   KitOps ModelKit  model and modelpart layers, named likewise or archives
 *   ORAS             one file for each layer, named by its title; a directory as an archive
 *
 * A raw layer is a file as it is: it can be resumed and needs nothing unpacked. Documents, code and data sets stay where
 * they are.
 *
 * Must not know requests or how a version is numbered.
 */
import { GatewayError } from '../../core/errors.js';
import { isFilePath, isSignaturePath } from '../file-path.js';
import { type ArchiveKind, zstdObjection } from '../inflate.js';
import { Refusal } from '../refusal.js';
import type { ArtifactFile } from '../source.js';
import type { Descriptor, OciManifest } from './oci-manifest.js';

export type Convention = 'modelpack' | 'modelkit' | 'oras';

const conventionOfConfig: ReadonlyMap<string, Convention> = new Map([
  ['application/vnd.cncf.model.config.v1+json', 'modelpack'],
  ['application/vnd.kitops.modelkit.config.v1+json', 'modelkit'],
  ['application/vnd.oci.empty.v1+json', 'oras'],
  // What ORAS wrote before OCI 1.1 had an empty config.
  ['application/vnd.unknown.config.v1+json', 'oras'],
]);
const images = new Set(['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json']);

const titleKey = 'org.opencontainers.image.title';
const filepathKey = 'org.cncf.model.filepath';
const unpackKey = 'io.deis.oras.content.unpack';

const modelPackLayer = /^application\/vnd\.cncf\.model\.([a-z.]+)\.v1\.(raw|tar)(?:\+([a-z]+))?$/;
const modelKitLayer = /^application\/vnd\.kitops\.modelkit\.([a-z]+)\.v1\.(raw|tar)(?:\+([a-z]+))?$/;
const takenParts: ReadonlySet<string> = new Set(['weight', 'weight.config', 'model', 'modelpart']);

/** What of an artifact is a file of the version, and what speaks about it. */
export interface TakenLayers {
  readonly files: readonly ArtifactFile[];
  readonly signatures: readonly ArtifactFile[];
}

/** Undefined when it is no artifact of a model. */
export function conventionOf({ config }: OciManifest): Convention | undefined {
  return conventionOfConfig.get(config.mediaType);
}

/** The types that an artifact shows, for messages. */
export function kindOf({ artifactType, config }: OciManifest): string {
  const type = `'${artifactType ?? config.mediaType}'`;
  return images.has(config.mediaType) ? `${type} (a container image, which the platform mounts)` : type;
}

/**
 * @param locatorOf where the source will find the bytes of a layer
 * @throws FAILED_PRECONDITION, Refusal `traversal`, each naming the layer
 */
export function layersOf(
  manifest: OciManifest,
  convention: Convention,
  locatorOf: (layer: Descriptor) => unknown,
): TakenLayers {
  const files: ArtifactFile[] = [];
  const signatures: ArtifactFile[] = [];
  const folded = new Set<string>();
  for (const layer of manifest.layers) {
    const form = formOf(layer, convention);
    if (form === undefined) continue;
    const path = pathOf(layer, form);
    if (folded.has(path.toLowerCase())) throw refused(`two layers are named '${path}', or differ only in case`);
    folded.add(path.toLowerCase());
    const place = { path, bytes: layer.size, sha256: layer.digest.slice('sha256:'.length), locator: locatorOf(layer) };
    if (form !== 'raw') files.push({ ...place, archive: form });
    else if (isSignaturePath(path)) signatures.push(place);
    else files.push(place);
  }
  if (files.length === 0) throw refused(`none of its ${manifest.layers.length} layers is a file of a model`);
  return { files, signatures };
}

type Form = 'raw' | ArchiveKind;

/** Undefined for a layer that is left where it is. */
function formOf(layer: Descriptor, convention: Convention): Form | undefined {
  if (convention === 'oras') return orasForm(layer);
  const pattern = convention === 'modelpack' ? modelPackLayer : modelKitLayer;
  const [, part = '', form, compression] = pattern.exec(layer.mediaType) ?? [];
  if (!takenParts.has(part)) return undefined;
  if (form === 'raw' && compression === undefined) return 'raw';
  if (form === 'tar' && compression === undefined) return 'tar';
  if (form === 'tar' && compression === 'gzip') return 'tar+gzip';
  if (form === 'tar' && compression === 'zstd') return zstdForm(layer);
  throw refused(`layer '${shownName(layer)}' is compressed by ${compression}: push it as raw, tar or tar+gzip`);
}

/** ORAS packs a directory by gzip, whatever the media type that it was told to write. */
function orasForm(layer: Descriptor): Form | undefined {
  const { mediaType, annotations = {} } = layer;
  if (annotations[titleKey] === undefined) return undefined;
  if (annotations[unpackKey] !== 'true') return 'raw';
  if (/[.+]zstd$/.test(mediaType)) return zstdForm(layer);
  return /[./]tar$/.test(mediaType) ? 'tar' : 'tar+gzip';
}

function pathOf(layer: Descriptor, form: Form): string {
  const name = nameOf(layer);
  if (name === undefined) {
    if (form !== 'raw') return `layer-${layer.digest.slice(7, 19)}.tar`;
    throw refused(`layer ${layer.digest} has no ${filepathKey}`);
  }
  if (isFilePath(name)) return name;
  const shown = JSON.stringify(name.slice(0, 200));
  throw new Refusal('traversal', `layer ${layer.digest}: ${shown} is not a path inside a version`);
}

function nameOf({ annotations = {} }: Descriptor): string | undefined {
  return annotations[filepathKey] ?? annotations[titleKey];
}

/** @throws FAILED_PRECONDITION where this Node cannot read it, with what to do */
function zstdForm(layer: Descriptor): Form {
  if (zstdObjection === '') return 'tar+zstd';
  throw refused(`layer '${shownName(layer)}' is compressed by zstd, ${zstdObjection}`);
}

function shownName(layer: Descriptor): string {
  return nameOf(layer)?.slice(0, 200) ?? layer.digest;
}

function refused(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', reason);
}
