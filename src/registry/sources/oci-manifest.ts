/**
 * Documents of an OCI registry: a manifest (config and layers) or an index (manifests), read from bytes whose digest has
 * been checked already.
 *
 * A document that could be read as either is refused, and so is one that calls itself other than its Content-Type did: two
 * readers of the same bytes must not come to two contents.
 *
 * Must not know requests, or what layers mean.
 */
import { z } from 'zod';
import { GatewayError } from '../../core/errors.js';
import { parseJson } from '../net/text.js';
import { isDigest } from './oci-names.js';

export const manifestType = 'application/vnd.oci.image.manifest.v1+json';
export const indexType = 'application/vnd.oci.image.index.v1+json';

/** Far more than a model has. */
const layersMax = 10_000;
const manifestsMax = 1000;

const mediaType = z.string().min(1).max(255);
const annotations = z.record(z.string(), z.string()).optional();
const descriptor = z.object({
  mediaType,
  digest: z.string().refine(isDigest, 'expected sha256: and 64 hex digits'),
  size: z.int().min(0),
  artifactType: z.string().optional(),
  annotations,
});
const manifest = z.object({
  schemaVersion: z.literal(2),
  artifactType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor).max(layersMax),
  subject: descriptor.optional(),
  annotations,
});
const index = z.object({
  schemaVersion: z.literal(2),
  manifests: z.array(descriptor).max(manifestsMax),
  annotations,
});

export type Descriptor = z.infer<typeof descriptor>;
export type OciManifest = z.infer<typeof manifest>;
export type OciIndex = z.infer<typeof index>;

export type OciDocument =
  | { readonly kind: 'manifest'; readonly manifest: OciManifest }
  | { readonly kind: 'index'; readonly index: OciIndex };

/**
 * @param where begins the text of what is thrown
 * @throws FAILED_PRECONDITION naming the member that is wrong
 */
export function parseDocument(bytes: Uint8Array, contentType: string, where: string): OciDocument {
  const value = parseJson(bytes, where);
  if (typeof value !== 'object' || value === null) throw refused(where, 'expected an object');
  const given = contentType.replace(/;.*/, '').trim().toLowerCase();
  const own = 'mediaType' in value ? value.mediaType : given;
  if (own !== given) throw refused(where, `its mediaType is '${String(own).slice(0, 255)}', but it came as '${given}'`);
  if ('manifests' in value && ('layers' in value || 'config' in value)) {
    throw refused(where, 'it is a manifest and an index at once');
  }
  if (given === indexType) return { kind: 'index', index: read(index, value, where) };
  if (given === manifestType) return { kind: 'manifest', manifest: read(manifest, value, where) };
  throw refused(where, `'${given.slice(0, 255)}' is not an OCI manifest`);
}

function read<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw refused(where, `'${path.map(String).join('.')}': ${message}`);
}

function refused(where: string, reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `${where}: ${reason}`);
}
