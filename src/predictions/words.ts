/**
 * Bytes that many records have in common, encoded once and then written a word at a time: a call into the runtime that copies
 * them costs as much as 150 of such bytes (bench/micro/prediction-row).
 *
 * The last word may go up to three bytes beyond the end, where the next thing is written.
 *
 * Must not know what is encoded.
 */
import { type Bytes, type Chunk, chunkOver } from './chunk.js';

export interface Words {
  readonly words: Uint32Array;
  readonly bytes: number;
}

export const slackBytes = 3;

/** @param put writes at most `bytesMax` bytes into a chunk from 0 on, and says how many */
export function wordsOf(bytesMax: number, put: (chunk: Chunk) => number): Words {
  const scratch = chunkOver(0, new SharedArrayBuffer(bytesMax + slackBytes));
  const bytes = put(scratch);
  return { words: new Uint32Array(scratch.shared.slice(0, (bytes + slackBytes) & ~slackBytes)), bytes };
}

/** @returns where it ends */
export function putWords(chunk: Bytes, at: number, { words, bytes }: Words): number {
  const { view } = chunk;
  for (let w = 0; w < words.length; w++) view.setUint32(at + 4 * w, words[w]!, true);
  return at + bytes;
}
