/**
 * The bytes of an archive as they were before they were compressed: by gzip, and by zstd where the zlib of this Node has it
 * (22.15 and newer).
 *
 * A stream of zstd that ends early is not told of by zlib (Node 22); whoever reads what is in it notices, as long as it is
 * something.
 *
 * Must not know what is in an archive.
 */
import { pipeline, Readable, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { Refusal } from './refusal.js';

export type ArchiveKind = 'tar' | 'tar+gzip' | 'tar+zstd';

const ratioFromBytes = 64 * 1024 * 1024;

const { createZstdDecompress } = zlib as { readonly createZstdDecompress?: () => Transform };

/** Why what is compressed by zstd cannot be read here; empty = it can. */
export const zstdObjection =
  createZstdDecompress === undefined
    ? 'which needs Node 22.15 or newer: run the gateway on it, or push it as raw, tar or tar+gzip'
    : '';

/**
 * @param ratioMax unpacked bytes for one packed byte, looked at beyond 64 MiB
 * @throws Refusal `archive`; errors of `chunks` as they are
 */
export async function* inflated(
  chunks: AsyncIterable<Uint8Array>,
  kind: ArchiveKind,
  ratioMax: number,
): AsyncGenerator<Uint8Array> {
  if (kind === 'tar') return yield* chunks;
  let packedBytes = 0;
  async function* counted() {
    for await (const chunk of chunks) {
      packedBytes += chunk.length;
      yield chunk;
    }
  }
  const inflate = inflateOf(kind);
  // An error of the source destroys it, too, and so comes out of the loop.
  pipeline(Readable.from(counted(), { objectMode: false }), inflate, () => {});
  let bytes = 0;
  try {
    for await (const chunk of inflate) {
      bytes += chunk.length;
      if (bytes > ratioFromBytes && bytes > packedBytes * ratioMax)
        throw refused(`${packedBytes} bytes unpack to more than ${bytes}, at most ${ratioMax} for one`);
      yield chunk;
    }
    if (bytes === 0) throw refused(`it is not a whole ${kind.slice(4)} stream: it unpacks to nothing`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isOfZlib = code !== undefined && /^(Z|ZSTD)_/.test(code);
    throw isOfZlib ? refused(`it is not a whole ${kind.slice(4)} stream: ${message}`, error as Error) : error;
  }
}

function inflateOf(kind: Exclude<ArchiveKind, 'tar'>): Transform {
  if (kind === 'tar+gzip') return zlib.createGunzip();
  if (createZstdDecompress === undefined) throw refused(`it is compressed by zstd, ${zstdObjection}`);
  return createZstdDecompress();
}

function refused(reason: string, cause?: Error): Refusal {
  return new Refusal('archive', `archive: ${reason}`, { cause });
}
