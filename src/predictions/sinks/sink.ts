/**
 * What a sink is: somebody who takes the finished files of the log, besides the disk.
 *
 *   file ─▶ deliver ─┬─ taken(…), taken(…), …    what became of which rows, each step kept before the next
 *                    ├─ resolved                 the file is done with
 *                    └─ thrown                   to be asked again later, from the last step on
 *
 * Whoever wants rows rather than files is a RowSender (row-sink.ts).
 *
 * Must not know cursors, retries or the configuration.
 */
import type { RowPlace } from '../jobs.js';

export interface FinishedFile {
  readonly path: string;
  readonly model: string;
  /** Below the model's folder: `date=…/hour=…/part-….parquet`. */
  readonly name: string;
  /** When it was finished; some may have been removed since. */
  readonly rows: number;
}

/**
 * Why a row of the log never reached a sink: its file was deleted by retention before its turn (`expired`), the row was
 * erased from it (`erased`), or the receiver takes no such row (`refused`, `too_large`).
 */
export type SinkDrop = 'expired' | 'erased' | 'refused' | 'too_large';

export const sinkDrops: readonly SinkDrop[] = ['expired', 'erased', 'refused', 'too_large'];

export interface Step {
  readonly rows: number;
  /** Undefined = they were sent. */
  readonly drop?: SinkDrop;
  /** The last of them; undefined when a file is taken as a whole. */
  readonly last?: RowPlace;
}

export interface Delivery {
  /** The last row that was dealt with before; undefined = none was. */
  readonly after: RowPlace | undefined;
  readonly signal: AbortSignal;
  taken(step: Step): Promise<void>;
}

export interface Sink {
  deliver(file: FinishedFile, delivery: Delivery): Promise<void>;
  close(): Promise<void>;
}
