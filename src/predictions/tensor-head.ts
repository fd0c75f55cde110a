/**
 * What tensors of one name have in common in a frame: name, datatype and rank. A version has few inputs and outputs, and every
 * request tells them again: they are encoded once, and found again by their name.
 *
 *   u16 name length, name │ u8 datatype │ u8 rank
 *
 * Must not know dimensions or elements.
 */
import { type DataType, datatypes, type Tensor } from '../core/tensor.js';
import type { Bytes } from './chunk.js';
import { putText } from './text-bytes.js';
import { putWords, type Words, wordsOf } from './words.js';

interface Known {
  readonly name: string;
  readonly datatype: DataType;
  readonly rank: number;
  readonly words: Words;
}

export const nameCharsMax = 128;
const knownMax = 32;
const known: Known[] = [];
let oldest = 0;

/** @returns where it ends */
export function putTensorHead(chunk: Bytes, at: number, { name, datatype }: Tensor, rank: number): number {
  for (let i = 0; i < known.length; i++) {
    const one = known[i]!;
    if (one.name === name && one.datatype === datatype && one.rank === rank) return putWords(chunk, at, one.words);
  }
  if (name.length <= nameCharsMax) {
    const words = wordsOf(4 * nameCharsMax, (scratch) => putHead(scratch, 0, { name, datatype, rank }));
    known[oldest] = { name, datatype, rank, words };
    oldest = (oldest + 1) % knownMax;
  }
  return putHead(chunk, at, { name, datatype, rank });
}

function putHead(chunk: Bytes, at: number, { name, datatype, rank }: Omit<Known, 'words'>): number {
  const end = putText(chunk, at, name.length > nameCharsMax ? name.slice(0, nameCharsMax) : name);
  chunk.view.setUint8(end, datatypes.indexOf(datatype));
  chunk.view.setUint8(end + 1, rank);
  return end + 2;
}
