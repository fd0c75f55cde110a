/**
 * What happens to the gateway processes, as far as anybody else is to know.
 *
 * Must not know who listens.
 */
import type { ClosedSketch } from '../core/closed-sketch.js';
import type { VersionId } from '../core/model.js';
import type { Listening, Snapshot } from '../ipc.js';

export type FleetEvent =
  | {
      readonly kind: 'ready';
      readonly process: number;
      readonly life: string;
      readonly pid: number;
      readonly tookMs: number;
      readonly listening: Listening;
    }
  | {
      readonly kind: 'exit';
      readonly life: string;
      readonly process: number;
      readonly pid: number;
      readonly reason: string;
      readonly restartMs: number | undefined;
      /** What a crashed process ran; undefined when it did not crash. */
      readonly suspects: readonly VersionId[] | undefined;
    }
  | { readonly kind: 'cannotListen'; readonly message: string }
  | {
      readonly kind: 'overdue';
      readonly process: number;
      readonly version: VersionId;
      /** It was the instance that only sees copies of requests. */
      readonly isShadow: boolean;
    }
  | {
      readonly kind: 'snapshot';
      readonly life: string;
      readonly snapshot: Snapshot;
      readonly used: readonly string[];
    }
  /** Kept by whoever takes the event before it returns. */
  | { readonly kind: 'sketches'; readonly life: string; readonly closed: readonly ClosedSketch[] }
  | { readonly kind: 'gone'; readonly life: string };
