/**
 * Labels that were written down, read for tables. Whoever makes those is another room, in another process, and is told this
 * module by its URL.
 *
 * Must not know tables.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { LabelRow, LabelStretch, LabelTimes } from '../core/label-rows.js';
import { eachFrame } from './frames.js';
import { labelOf, type Told } from './label-record.js';

/** @see LabelModule */
export function labelStretch(path: string, from: number, bytesMax: number): LabelStretch {
  const descriptor = openSync(path, 'r');
  try {
    const bytes = fstatSync(descriptor).size;
    const rows: LabelRow[] = [];
    let end = from;
    const read = (position: number, length: number) => {
      const part = Buffer.allocUnsafe(length);
      return part.subarray(0, readSync(descriptor, part, 0, length, position));
    };
    eachFrame({ from, size: Math.min(bytes, from + bytesMax), read }, (payload, offset, frameEnd) => {
      rows.push(rowOf(payload, offset));
      end = frameEnd;
    });
    return { rows, end, isFull: bytes >= from + bytesMax && end > from };
  } finally {
    closeSync(descriptor);
  }
}

function rowOf(payload: Buffer, seq: number): LabelRow {
  const { prediction, key, told, replaces, isHistory } = labelOf(payload);
  const { model, requestId, item } = prediction;
  const { label, source, weight } = told;
  return {
    model,
    requestId,
    item,
    key,
    label,
    ...timesOf(told),
    source,
    weight,
    seq,
    isHistory,
    replaces: replaces && timesOf(replaces),
  };
}

function timesOf({ tsMs, receivedMs }: Told): LabelTimes {
  return { labelMs: tsMs, receivedMs };
}
