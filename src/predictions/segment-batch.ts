/**
 * Records that are to be written by one call, sealed, and what is to be remembered of them if they are kept.
 *
 * Must not know files.
 */
import type { Chunk } from './chunk.js';
import { type DropRun, putMarker } from './drop-runs.js';
import { headBytes, markerBytes, place, putSeq, seqAt, viewOf } from './layout.js';
import { checksumOf } from './segment.js';

/** Where that of a record begins that its checksum is of. */
const sealedAt = 8;

function memoryOf(length: number): Pick<Chunk, 'bytes' | 'view'> {
  const bytes = Buffer.allocUnsafe(length);
  return { bytes, view: viewOf(bytes) };
}

export class SegmentBatch {
  #memory: ReturnType<typeof memoryOf>;
  #end = 0;
  #rows = 0;
  #subjects: number[] = [];
  #numbers: (number | DropRun)[] = [];

  /** @param bytes that it begins with; it grows with what it is given */
  constructor(bytes: number) {
    this.#memory = memoryOf(bytes);
  }

  get length(): number {
    return this.#end;
  }

  get bytes(): Uint8Array {
    return this.#memory.bytes.subarray(0, this.#end);
  }

  get rows(): number {
    return this.#rows;
  }

  /** Ids of those that are told in it. */
  get subjects(): readonly number[] {
    return this.#subjects;
  }

  /** In their order: events, and gaps. */
  get numbers(): readonly (number | DropRun)[] {
    return this.#numbers;
  }

  putEvent(bytes: Buffer, from: number, to: number): void {
    const at = this.#end;
    this.#put(bytes, from, to);
    const { view } = this.#memory;
    this.#numbers.push(seqAt(view, at + 8));
    this.#rows += Math.max(1, view.getUint32(at + place.items, true));
  }

  putMarker(run: DropRun): void {
    const record = Buffer.alloc(markerBytes);
    putMarker(viewOf(record), 0, run);
    this.#numbers.push(run);
    this.#put(record, 0, record.length);
  }

  putSubject(id: number, kind: number, text: string): void {
    this.#subjects.push(id);
    this.putText(kind, 0, text);
  }

  putText(kind: number, seq: number, text: string): void {
    const record = Buffer.alloc(headBytes + 1 + Buffer.byteLength(text));
    putSeq(viewOf(record), 8, seq);
    record.writeUInt8(kind, headBytes);
    record.write(text, headBytes + 1, 'utf8');
    this.#put(record, 0, record.length);
  }

  #put(record: Buffer, from: number, to: number): void {
    const at = this.#end;
    const end = at + to - from;
    if (end > this.#memory.bytes.length) this.#growTo(2 * end);
    const { bytes, view } = this.#memory;
    // One view for both: to make one costs as much as to copy what it shows.
    const sealed = new Uint8Array(record.buffer, record.byteOffset + from + sealedAt, to - from - sealedAt);
    view.setUint32(at, to - from - headBytes, true);
    view.setUint32(at + 4, checksumOf(sealed), true);
    bytes.set(sealed, at + sealedAt);
    this.#end = end;
  }

  #growTo(length: number): void {
    const larger = memoryOf(length);
    this.#memory.bytes.copy(larger.bytes, 0, 0, this.#end);
    this.#memory = larger;
  }

  clear(): void {
    this.#end = 0;
    this.#rows = 0;
    this.#subjects = [];
    this.#numbers = [];
  }
}
