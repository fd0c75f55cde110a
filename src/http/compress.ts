/**
 * gzip and deflate, both ways. The limit of a body counts its bytes after inflation, and inflation stops there.
 *
 * Done by zlib's own threads: a bomb of 64 MiB would hold the event loop for 200 ms.
 *
 * Must not know V2.
 */
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { GatewayError, invalid } from '../core/errors.js';

export type Coding = 'gzip' | 'deflate';

const gunzip = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip);
const inflate = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.inflate);
const gzip = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.gzip);
const deflate = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.deflate);

/** The one coding of a body; undefined for none, `'unknown'` for any other or a list. */
export function contentCoding(header: string | undefined): Coding | 'unknown' | undefined {
  if (header === undefined) return undefined;
  const coding = header.trim().toLowerCase();
  if (coding === 'identity' || coding === '') return undefined;
  return coding === 'gzip' || coding === 'deflate' ? coding : 'unknown';
}

/** @throws INVALID_ARGUMENT for broken data, RESOURCE_EXHAUSTED beyond `bytesMax` */
export async function inflateBody(coding: Coding, body: Buffer, bytesMax: number): Promise<Buffer> {
  try {
    return await (coding === 'gzip' ? gunzip : inflate)(body, { maxOutputLength: bytesMax });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new GatewayError(
        'RESOURCE_EXHAUSTED',
        `request body exceeds the maximum allowed input size of ${bytesMax} bytes after decompression. Use --http-max-input-size to increase the limit.`,
        { reason: 'too_large' },
      );
    }
    throw invalid(`failed to decompress the request body as ${coding}`);
  }
}

/** The coding that a client likes best of gzip, deflate and identity; the first of equals. Undefined = identity. */
export function acceptedCoding(header: string | undefined): Coding | undefined {
  if (header === undefined) return undefined;
  let best: Coding | 'identity' = 'identity';
  let bestWeight = 0;
  for (const item of header.split(',').slice(0, 16)) {
    const [name, ...attributes] = item.split(';');
    const coding = name!.trim().toLowerCase();
    if (coding !== 'gzip' && coding !== 'deflate' && coding !== 'identity') continue;
    const weight = weightOf(attributes);
    if (weight > bestWeight) {
      best = coding;
      bestWeight = weight;
    }
  }
  return best === 'identity' ? undefined : best;
}

function weightOf(attributes: readonly string[]): number {
  for (const attribute of attributes) {
    const match = /^\s*q=([01](?:\.[0-9]{0,3})?)\s*$/i.exec(attribute);
    if (match !== null) return Math.min(1, Number(match[1]));
  }
  return 1;
}

/** Level 1: twice as fast as the default and nearly as small on numbers. */
export function deflateBody(coding: Coding, body: Uint8Array): Promise<Buffer> {
  return (coding === 'gzip' ? gzip : deflate)(body, { level: 1 });
}
