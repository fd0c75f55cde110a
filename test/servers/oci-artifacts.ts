/** Artifacts as registries hold them, made by hand: blobs, manifests, indexes; pushed by HTTP, or written as an OCI layout. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface TestBlob {
  readonly descriptor: {
    readonly mediaType: string;
    readonly digest: string;
    readonly size: number;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly bytes: Buffer;
}

export interface TestDocument {
  readonly mediaType: string;
  readonly artifactType?: string | undefined;
  readonly digest: string;
  readonly bytes: Buffer;
  readonly blobs: readonly TestBlob[];
  readonly members: readonly TestDocument[];
}

export interface ManifestParts {
  readonly config?: TestBlob;
  readonly layers: readonly TestBlob[];
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly subject?: TestDocument;
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';

export function digestOf(bytes: string | Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function blobOf(mediaType: string, content: string | Buffer, annotations?: Record<string, string>): TestBlob {
  const bytes = Buffer.from(content);
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length, annotations }, bytes };
}

const emptyConfig = blobOf('application/vnd.oci.empty.v1+json', '{}');

export function manifestOf({
  config = emptyConfig,
  layers,
  artifactType,
  annotations,
  subject,
}: ManifestParts): TestDocument {
  return documentOf({
    value: {
      schemaVersion: 2,
      mediaType: manifestType,
      artifactType,
      config: config.descriptor,
      layers: layers.map(({ descriptor }) => descriptor),
      subject: subject && referenceTo(subject),
      annotations,
    },
    mediaType: manifestType,
    artifactType,
    blobs: [config, ...layers],
    members: [],
  });
}

export function indexOf(members: readonly TestDocument[]): TestDocument {
  const manifests = members.map((member) => ({ ...referenceTo(member), artifactType: member.artifactType }));
  const value = { schemaVersion: 2, mediaType: indexType, manifests };
  return documentOf({ value, mediaType: indexType, blobs: [], members });
}

function referenceTo({ mediaType, digest, bytes }: TestDocument) {
  return { mediaType, digest, size: bytes.length };
}

export function documentOf({
  value,
  ...parts
}: Omit<TestDocument, 'bytes' | 'digest'> & { readonly value: unknown }): TestDocument {
  const bytes = Buffer.from(JSON.stringify(value));
  return { ...parts, bytes, digest: digestOf(bytes) };
}

/** A file as ORAS stores it. */
export function titled(path: string, content: string | Buffer): TestBlob {
  return blobOf('application/octet-stream', content, { 'org.opencontainers.image.title': path });
}

export function orasOf(files: Readonly<Record<string, string | Buffer>>, annotations?: Record<string, string>) {
  const layers = Object.entries(files).map(([path, content]) => titled(path, content));
  return manifestOf({ artifactType: 'application/vnd.example.model', layers, annotations });
}

export function modelPackOf(
  layers: readonly TestBlob[],
  config: unknown = { descriptor: {}, config: { format: 'onnx' } },
) {
  return manifestOf({
    artifactType: 'application/vnd.cncf.model.manifest.v1+json',
    config: blobOf('application/vnd.cncf.model.config.v1+json', JSON.stringify(config)),
    layers,
  });
}

export function packLayer(type: string, path: string | undefined, content: string | Buffer): TestBlob {
  const annotations = path === undefined ? undefined : { 'org.cncf.model.filepath': path };
  return blobOf(`application/vnd.cncf.model.${type}`, content, annotations);
}

export function modelKitOf(layers: readonly TestBlob[], kitfile: unknown = { manifestVersion: '1.0.0' }) {
  return manifestOf({
    config: blobOf('application/vnd.kitops.modelkit.config.v1+json', JSON.stringify(kitfile)),
    layers,
  });
}

/** One file of a tar, or several, as POSIX has them. */
export function tarOf(files: Readonly<Record<string, string>>): Buffer {
  const blocks = Object.entries(files).map(([name, content]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0, 100);
    header.write('0000644\u00000000000\u00000000000\u0000', 100);
    header.write(Buffer.byteLength(content).toString(8).padStart(11, '0'), 124);
    header.write('00000000000', 136);
    header.write('        0', 148);
    header.write('ustar\u000000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148);
    const body = Buffer.from(content);
    return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** Pushes by the distribution protocol, blobs first. */
export async function push(
  origin: string,
  reference: { readonly repository: string; readonly tag: string },
  document: TestDocument,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const base = `${origin}/v2/${reference.repository}`;
  for (const member of document.members) await push(origin, { ...reference, tag: member.digest }, member, headers);
  for (const { descriptor, bytes } of document.blobs) {
    const begun = await fetch(`${base}/blobs/uploads/`, { method: 'POST', headers });
    assert.equal(begun.status, 202, await begun.text());
    const place = new URL(begun.headers.get('location')!, origin);
    place.searchParams.set('digest', descriptor.digest);
    const type = { 'content-type': 'application/octet-stream' };
    const put = await fetch(place, { method: 'PUT', headers: { ...headers, ...type }, body: new Uint8Array(bytes) });
    assert.equal(put.status, 201, await put.text());
  }
  const type = { 'content-type': document.mediaType };
  const body = new Uint8Array(document.bytes);
  const put = await fetch(`${base}/manifests/${reference.tag}`, {
    method: 'PUT',
    headers: { ...headers, ...type },
    body,
  });
  assert.equal(put.status, 201, await put.text());
}

/** The same as a directory that other tools push. */
export function writeLayout(directory: string, tag: string, document: TestDocument): void {
  mkdirSync(join(directory, 'blobs', 'sha256'), { recursive: true });
  const write = (digest: string, bytes: Buffer) =>
    writeFileSync(join(directory, 'blobs', 'sha256', digest.slice('sha256:'.length)), bytes);
  const writeAll = (one: TestDocument) => {
    write(one.digest, one.bytes);
    for (const { descriptor, bytes } of one.blobs) write(descriptor.digest, bytes);
    one.members.forEach(writeAll);
  };
  writeAll(document);
  const annotations = { 'org.opencontainers.image.ref.name': tag };
  const index = { schemaVersion: 2, mediaType: indexType, manifests: [{ ...referenceTo(document), annotations }] };
  writeFileSync(join(directory, 'index.json'), JSON.stringify(index));
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}
