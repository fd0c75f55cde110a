/**
 * `Server-Timing`: where the time of one answered request went, for a caller that asked (protocol §2.5). Milliseconds.
 *
 * Must not know protocols.
 */
import type { Timing } from './inference.js';

export interface DoorTimes {
  /** From arrival until the inputs were tensors. */
  readonly parseMs: number;
  /** For the bytes of the reply, as far as it is known when this is written. */
  readonly encodeMs: number;
}

/** @param rowsMax of a batch of the model */
export function serverTiming(timing: Timing, { parseMs, encodeMs }: DoorTimes, rowsMax: number): string {
  const { queueMs, inputMs, inferMs, outputMs, batchRows } = timing;
  const text = (milliseconds: number) => milliseconds.toFixed(3);
  const batch = `batch;desc="${batchRows}/${rowsMax}"`;
  return `parse;dur=${text(parseMs)}, queue;dur=${text(queueMs)}, ${batch}, infer;dur=${text(inputMs + inferMs)}, ser;dur=${text(outputMs + encodeMs)}`;
}
