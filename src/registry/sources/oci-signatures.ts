/**
 * Signatures that were attached to a manifest after it was pushed.
 *
 *   referrers of the digest ─┐                          ┌─▶ attached.<n>.cosign.sig
 *   tag sha256-<hex>        ─┼─▶ manifests of signatures┤
 *   tag sha256-<hex>.sig    ─┘                          └─▶ attached.<n>.sigstore.json
 *
 * A cosign signature is given as one JSON document of payload, signature, certificate and entry in a log, the first two in
 * base64. Its payload says which manifest it speaks about; one that speaks about another is not given on. Whether a
 * signature holds is for whoever has the keys.
 *
 * Must not know keys or policies.
 */
import { createHash } from 'node:crypto';
import { GatewayError } from '../../core/errors.js';
import { parseJson } from '../net/text.js';
import type { ArtifactFile } from '../source.js';
import type { Descriptor, OciDocument } from './oci-manifest.js';
import { hexOf } from './oci-names.js';
import type { BlobPlace, OciRegistry } from './oci-registry.js';

/** A file that is made here, not stored there. */
export interface InlineFile {
  readonly inline: Buffer;
}

const cosignPayload = 'application/vnd.dev.cosign.simplesigning.v1+json';
const cosignPrefix = 'dev.cosignproject.cosign/';
const certificateKey = 'dev.sigstore.cosign/certificate';
const logEntryKey = 'dev.sigstore.cosign/bundle';
const sigstoreBundle = /^application\/vnd\.dev\.sigstore\.bundle[.+].*json$/;
const signatureTypes = /^application\/vnd\.dev\.(cosign|sigstore)\b/;

const signaturesMax = 32;
const payloadBytesMax = 64 * 1024;
const bundleBytesMax = 1024 * 1024;
/** Of all signatures of one manifest, those of others included. */
const layersMax = 128;

interface SignedManifest {
  readonly registry: OciRegistry;
  readonly repository: string;
  readonly digest: string;
}

/** @param digests of a manifest, and of the index that it was found through: either may be what was signed */
export async function signaturesOf(
  registry: OciRegistry,
  repository: string,
  digests: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<readonly ArtifactFile[]> {
  const files: ArtifactFile[] = [];
  for (const digest of digests) {
    const signed = { registry, repository, digest };
    for (const layer of await signatureLayers(signed, signal)) {
      if (files.length === signaturesMax) return files;
      const file = await signatureIn(signed, layer, { name: `attached.${files.length}`, signal });
      if (file !== undefined) files.push(file);
    }
  }
  return files;
}

async function signatureIn(
  signed: SignedManifest,
  layer: Descriptor,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<ArtifactFile | undefined> {
  if (layer.mediaType === cosignPayload) {
    const content = await cosignSignature(signed, layer, signal);
    return content === undefined ? undefined : inlineFile(`${name}.cosign.sig`, content);
  }
  if (!sigstoreBundle.test(layer.mediaType)) return undefined;
  const { size, digest } = layer;
  if (size > bundleBytesMax) return undefined;
  const locator: BlobPlace = { repository: signed.repository, digest, size };
  return { path: `${name}.sigstore.json`, bytes: size, sha256: hexOf(digest), locator };
}

async function signatureLayers(signed: SignedManifest, signal: AbortSignal): Promise<readonly Descriptor[]> {
  const { registry, repository, digest } = signed;
  const tag = `sha256-${hexOf(digest)}`;
  const attached =
    (await registry.referrers(repository, digest, signal)) ??
    (await registry.document(repository, tag, signal))?.document;
  const byTag = await registry.document(repository, `${tag}.sig`, signal);
  const layers = byTag?.document.kind === 'manifest' ? [...byTag.document.manifest.layers] : [];
  for (const referrer of signaturesAmong(attached)) {
    const found = (await registry.document(repository, referrer.digest, signal))?.document;
    if (found?.kind !== 'manifest' || found.manifest.subject?.digest !== digest) continue;
    layers.push(...found.manifest.layers);
  }
  return layers.slice(0, layersMax);
}

/** Bills of material and the like are attached the same way. */
function signaturesAmong(attached: OciDocument | undefined): readonly Descriptor[] {
  if (attached?.kind !== 'index') return [];
  const found = attached.index.manifests.filter(({ artifactType = '' }) => signatureTypes.test(artifactType));
  return found.slice(0, signaturesMax);
}

/** Payload and signature in one document, when the payload speaks about this manifest. */
async function cosignSignature(
  { registry, repository, digest }: SignedManifest,
  layer: Descriptor,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { annotations = {}, size } = layer;
  const signature = annotations[`${cosignPrefix}signature`];
  if (signature === undefined || size > payloadBytesMax) return undefined;
  const payload = await registry.blob({ repository, digest: layer.digest, size }, payloadBytesMax, signal);
  if (signedDigestOf(payload) !== digest) return undefined;
  const { [certificateKey]: certificate, [logEntryKey]: bundle } = annotations;
  return JSON.stringify({ payload: payload.toString('base64'), signature, certificate, bundle });
}

interface SimpleSigning {
  readonly critical?: { readonly image?: { readonly 'docker-manifest-digest'?: unknown } | null } | null;
}

function signedDigestOf(payload: Buffer): unknown {
  try {
    const value = parseJson(payload, 'cosign payload') as SimpleSigning | null;
    return value?.critical?.image?.['docker-manifest-digest'];
  } catch (error) {
    // Anybody may attach what is no payload; it only does not count.
    if (error instanceof GatewayError) return undefined;
    throw error;
  }
}

function inlineFile(path: string, text: string): ArtifactFile {
  const inline = Buffer.from(text);
  const locator: InlineFile = { inline };
  return { path, bytes: inline.length, sha256: createHash('sha256').update(inline).digest('hex'), locator };
}
