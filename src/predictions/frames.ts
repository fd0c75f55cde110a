/**
 * The way of an event from the serving thread to the observer, in memory that cannot grow:
 *
 *   append ─▶ the chunk being filled ─(full, or flush)─▶ send ─▶ … ─▶ recycle ─▶ free chunks
 *
 * At most `chunksMax` chunks exist. When none is free the event is dropped: it keeps its number, is counted by reason, and
 * the next record written says which numbers are missing. Shadows are refused earlier, so that they cannot push out the rest.
 *
 * Must not know threads, files or sampling.
 */
import { type Chunk, chunkBytes, chunkOver } from './chunk.js';
import { DropRuns, putMarker } from './drop-runs.js';
import { type DropReason, noDrops, type PredictionEvent } from './event.js';
import { type FrameTerms, frameBytesMax, putEvent } from './frame.js';
import { markerBytes } from './layout.js';

export interface FramesOptions {
  readonly chunksMax: number;
  /** Chunks in use from which on shadows are refused. */
  readonly shadowChunksMax: number;
  readonly tensorBytesMax: number;
  /** Takes a chunk until `recycle`. Records fill its first `bytes`. */
  readonly send: (chunk: Chunk, bytes: number) => void;
}

export class Frames {
  readonly #options: FramesOptions;
  readonly #free: Chunk[] = [];
  readonly #runs = new DropRuns();
  #made = 0;
  #current: Chunk | undefined;
  #end = 0;
  /** Number of the newest event. */
  #seq = 0;
  #isClosed = false;
  readonly dropped = noDrops();

  constructor(options: FramesOptions) {
    this.#options = options;
  }

  /** Events that took a number. */
  get seq(): number {
    return this.#seq;
  }

  /** Chunks that are being filled or are with the observer. */
  get inUse(): number {
    return this.#made - this.#free.length;
  }

  /** @returns whether it was taken */
  append(event: PredictionEvent, terms: FrameTerms): boolean {
    const seq = ++this.#seq;
    if (this.#isClosed) return this.#drop(seq, 'shutdown');
    if (event.role === 'shadow' && this.inUse >= this.#options.shadowChunksMax) return this.#drop(seq, 'shadow_shed');
    const { tensorBytesMax } = this.#options;
    const bytes = frameBytesMax(event, terms.withPayload, tensorBytesMax);
    const chunk = this.#chunkWith(bytes);
    if (chunk === undefined) return this.#drop(seq, 'buffer_full');
    if (this.#runs.length > 0) this.#putMarkers(chunk);
    this.#end = putEvent(chunk, this.#end, seq, event, terms, tensorBytesMax);
    return true;
  }

  #drop(seq: number, reason: DropReason): false {
    this.#runs.add(seq, reason);
    this.dropped[reason]++;
    return false;
  }

  /** The chunk being filled when it has room, else the next one. */
  #chunkWith(bytes: number): Chunk | undefined {
    const needed = bytes + this.#runs.length * markerBytes;
    if (this.#current !== undefined) {
      if (this.#end + needed <= chunkBytes) return this.#current;
      this.flush();
    }
    if (needed > chunkBytes) return undefined;
    this.#current = this.#free.pop() ?? this.#another();
    return this.#current;
  }

  #another(): Chunk | undefined {
    if (this.#made >= this.#options.chunksMax) return undefined;
    return chunkOver(this.#made++, new SharedArrayBuffer(chunkBytes));
  }

  #putMarkers(chunk: Chunk): void {
    for (const run of this.#runs.take()) this.#end = putMarker(chunk.view, this.#end, run);
  }

  /** Sends what has been written so far. */
  flush(): void {
    const chunk = this.#current;
    if (chunk === undefined || this.#end === 0) return;
    const bytes = this.#end;
    this.#current = undefined;
    this.#end = 0;
    this.#options.send(chunk, bytes);
  }

  recycle(chunk: Chunk): void {
    this.#free.push(chunk);
  }

  /** Sends everything; later events are dropped. Gaps that no chunk had room for are returned. */
  close(): ReturnType<DropRuns['take']> {
    this.#isClosed = true;
    const chunk = this.#chunkWith(0);
    if (chunk !== undefined && this.#runs.length > 0) this.#putMarkers(chunk);
    this.flush();
    return this.#runs.take();
  }
}
