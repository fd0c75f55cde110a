/**
 * Numbers that were given to events which are not kept, as runs: what the next drop marker says.
 *
 * Beyond `runsMax` runs the last one grows under its own reason, so that no number is left out: the counters by reason stay
 * exact, the marker names the first reason. Runs that are not neighbours have a kept event between them, which takes them.
 *
 * Must not know why anything was dropped.
 */
import { type DropReason, dropReasons } from './event.js';
import { headBytes, kinds, markerBytes, putSeq, seqAt, viewOf } from './layout.js';

export interface DropRun {
  readonly reason: DropReason;
  readonly first: number;
  last: number;
  count: number;
}

const runsMax = 64;

export class DropRuns {
  #runs: DropRun[] = [];

  get length(): number {
    return this.#runs.length;
  }

  add(seq: number, reason: DropReason): void {
    const newest = this.#growing(seq, reason);
    if (newest === undefined) {
      this.#runs.push({ reason, first: seq, last: seq, count: 1 });
      return;
    }
    newest.last = seq;
    newest.count++;
  }

  addRun(run: DropRun): void {
    const newest = this.#growing(run.first, run.reason);
    if (newest === undefined) {
      this.#runs.push({ ...run });
      return;
    }
    newest.last = run.last;
    newest.count += run.count;
  }

  /** The run that a gap from `first` on belongs to. */
  #growing(first: number, reason: DropReason): DropRun | undefined {
    const newest = this.#runs.at(-1);
    if (newest === undefined || newest.last !== first - 1) return undefined;
    return newest.reason === reason || this.#runs.length >= runsMax ? newest : undefined;
  }

  /** All of them, oldest first; none are left. */
  take(): DropRun[] {
    const taken = this.#runs;
    this.#runs = [];
    return taken.length < 2 ? taken : joined(taken);
  }
}

function joined(runs: DropRun[]): DropRun[] {
  const out: DropRun[] = [];
  for (const run of runs.sort((a, b) => a.first - b.first)) {
    const before = out.at(-1);
    if (before !== undefined && before.last === run.first - 1 && before.reason === run.reason) {
      before.last = run.last;
      before.count += run.count;
    } else out.push(run);
  }
  return out;
}

/** Writes a marker without its checksum. Its seq is the last of its gap. */
export function putMarker(view: DataView, at: number, run: DropRun): number {
  view.setUint32(at, markerBytes - headBytes, true);
  view.setUint32(at + 4, 0, true);
  putSeq(view, at + 8, run.last);
  view.setUint8(at + 16, kinds.drops);
  view.setUint8(at + 17, dropReasons.indexOf(run.reason));
  view.setUint16(at + 18, 0, true);
  view.setUint32(at + 20, run.count, true);
  putSeq(view, at + 24, run.first);
  putSeq(view, at + 32, run.last);
  putSeq(view, at + 40, 0);
  return at + markerBytes;
}

/** @param record from its head on */
export function markerOf(record: Uint8Array): DropRun {
  const view = viewOf(record);
  return {
    reason: dropReasons[view.getUint8(17)] ?? 'write_error',
    count: view.getUint32(20, true),
    first: seqAt(view, 24),
    last: seqAt(view, 32),
  };
}
