/**
 * Finished files into a bucket, each under the name that it has in the log, so that what reads the folder reads the bucket:
 *
 *   <prefix>/model=<m>/date=<YYYY-MM-DD>/hour=<HH>/part-….parquet
 *
 * A file is sent while it is read, with its digest, by which the store refuses what was damaged on the way. Sending it again
 * puts the same object in the same place.
 *
 * Must not know how requests are signed or sent.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Sink } from './sink.js';

export interface UploadedFile {
  readonly bytes: number;
  readonly sha256: string;
  /** From its beginning, each time. */
  read(): Readable;
}

/** @throws when the store has not got all of it */
export type Upload = (key: string, file: UploadedFile, signal: AbortSignal) => Promise<void>;

export function s3Sink(upload: Upload): Sink {
  return {
    async deliver({ path, model, name, rows }, { signal, taken }) {
      // What was opened stays as it is, even if another file takes its name meanwhile.
      const file = await open(path);
      try {
        const { size: bytes } = await file.stat();
        const sha256 = await digestOf(file);
        await upload(`model=${model}/${name}`, { bytes, sha256, read: () => streamOf(file) }, signal);
      } finally {
        await file.close();
      }
      await taken({ rows });
    },
    close: async () => {},
  };
}

function streamOf(file: FileHandle): Readable {
  return file.createReadStream({ start: 0, autoClose: false });
}

async function digestOf(file: FileHandle): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of streamOf(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
