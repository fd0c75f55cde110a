/**
 * A piece of memory that the serving thread fills and the observer empties. It is shared, so that handing it over copies
 * nothing and both sides keep their views for good.
 *
 * Must not know what is written into it.
 */

export const chunkBytes = 256 * 1024;

export interface Chunk {
  readonly index: number;
  readonly shared: SharedArrayBuffer;
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** Where something lies or is written, in a chunk or in a copy of one. */
export type Bytes = Pick<Chunk, 'bytes' | 'view'>;

export function chunkOver(index: number, shared: SharedArrayBuffer): Chunk {
  return { index, shared, bytes: Buffer.from(shared), view: new DataView(shared) };
}
