/**
 * Compression of replies, which grpc-js does not have: it announces `identity` and frames every message as uncompressed.
 *
 * The encoding is announced by a header of the reply, which grpc-js passes on, and the flag is set while the message is
 * framed: framing copies the message behind a head of five bytes that begins with the flag, so a buffer whose own `copy`
 * also sets the flag is framed as compressed. A test holds this against the library.
 *
 * Must not know the gRPC library or messages.
 */
import { promisify } from 'node:util';
import { deflate, gzip } from 'node:zlib';

export type CompressionLevel = 'none' | 'low' | 'medium' | 'high';
export type Encoding = 'gzip' | 'deflate';

/** Chosen: as `http.compression_min_bytes`; below it the result is hardly smaller. */
const bytesMin = 1024;
const zlibLevel = { low: 1, medium: 6, high: 9 };
const compressors = { gzip: promisify(gzip), deflate: promisify(deflate) };

/** The encoding to use for a caller that accepts those of `text`; undefined = none. */
function encodingFor(text: string): Encoding | undefined {
  const accepted = text.split(',').map((name) => name.trim());
  if (accepted.includes('gzip')) return 'gzip';
  return accepted.includes('deflate') ? 'deflate' : undefined;
}

/** The same message compressed and marked so; unchanged when it is small. */
export async function compressed(
  message: Buffer,
  encoding: Encoding,
  level: 'low' | 'medium' | 'high',
): Promise<Buffer> {
  if (message.length < bytesMin) return message;
  const packed = (await compressors[encoding](message, { level: zlibLevel[level] })) as Buffer;
  packed.copy = function copy(target: Uint8Array, start = 0, from?: number, to?: number): number {
    target[start - 5] = 1;
    return Buffer.prototype.copy.call(this, target, start, from, to);
  };
  return packed;
}

const acceptEncoding = 'grpc-accept-encoding';

/** What is needed of the library's Metadata. */
interface Opaque {
  setOpaque(key: string, value: unknown): void;
  getOpaque(key: string): unknown;
}

interface MetadataReader {
  fromHttp2Headers(headers: Record<string, unknown>): Opaque;
}

const patched = new WeakSet<MetadataReader>();

/** grpc-js takes `grpc-accept-encoding` away before a handler sees the metadata; from now on it is kept beside them. */
export function keepAcceptEncoding(metadata: MetadataReader): void {
  if (patched.has(metadata)) return;
  patched.add(metadata);
  const read = metadata.fromHttp2Headers;
  metadata.fromHttp2Headers = (headers) => {
    const result = read(headers);
    const accepted = headers[acceptEncoding];
    if (accepted !== undefined) result.setOpaque(acceptEncoding, accepted);
    return result;
  };
}

/** The encoding for replies to this caller; undefined = none. */
export function encodingOf(call: { readonly metadata: Opaque }): Encoding | undefined {
  return encodingFor(String(call.metadata.getOpaque(acceptEncoding) ?? ''));
}
