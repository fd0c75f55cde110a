/**
 * What may still be written, by how full the disk and the log's own budget are: a log never fills a disk.
 *
 * Must not know what is written.
 */
import type { SegmentFiles } from './files.js';
import type { Room } from './intake.js';

export interface RoomLimits {
  /** Below this share of free disk only metadata is written. */
  readonly metadataFreeShareMin: number;
  /** Below this one nothing is. */
  readonly freeShareMin: number;
  /** Bytes of segments that may wait for their conversion. */
  readonly segmentsBytesMax: number;
}

export function roomIn(directory: string, limits: RoomLimits, files: SegmentFiles): Room {
  let free: { freeShare: number; bytes: number };
  try {
    free = files.room(directory);
  } catch {
    // The directory went away or cannot be read. Writing finds out by itself and counts.
    return 'all';
  }
  if (free.freeShare < limits.freeShareMin || free.bytes >= limits.segmentsBytesMax) return 'nothing';
  return free.freeShare < limits.metadataFreeShareMin ? 'metadata' : 'all';
}
