/**
 * The observer thread: empties chunks into segments, away from the thread that serves.
 *
 *   { subject } · { chunk, bytes } · { tap } · { close } ─▶ observer ─▶ { done } per chunk · { closed }
 *
 * The tap is a module of somebody else, given by its URL, that exports `openTap`.
 *
 * Must not know requests. The clock is this thread's own.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type Series, secondsBuckets } from '../core/series.js';
import { Tally } from '../core/tally.js';
import { type Chunk, chunkOver } from './chunk.js';
import type { DropCounts } from './event.js';
import { realFiles } from './files.js';
import { Intake, type Tap } from './intake.js';
import type { HashKey } from './redaction.js';
import { type RoomLimits, roomIn } from './room.js';
import { type LogEnd, SegmentWriter } from './segment-writer.js';
import type { Subject } from './subject.js';

export interface ObserverSetup {
  readonly directory: string;
  readonly gatewayId: string;
  readonly incarnation: number;
  readonly segmentBytesMax: number;
  readonly segmentRowsMax: number;
  readonly segmentAgeMsMax: number;
  readonly room: RoomLimits;
  readonly hashKey: HashKey;
  readonly tapUrl: string | undefined;
}

/** Of what the observer has received so far. */
export interface ObserverCounts {
  readonly logged: number;
  readonly bytes: number;
  readonly dropped: DropCounts;
}

export type ToObserver =
  | { readonly kind: 'subject'; readonly subject: Subject }
  | { readonly kind: 'chunk'; readonly index: number; readonly bytes: number; readonly shared?: SharedArrayBuffer }
  | { readonly kind: 'tap'; readonly message: unknown }
  | { readonly kind: 'close'; readonly end: LogEnd };

export type FromObserver =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly index: number; readonly counts: ObserverCounts }
  | { readonly kind: 'tap'; readonly report: unknown }
  /** How late this thread's loop was, since its start. */
  | { readonly kind: 'lag'; readonly lag: Series }
  | { readonly kind: 'closed'; readonly counts: ObserverCounts };

/** What the module behind `tapUrl` exports. */
export interface TapModule {
  openTap(report: (value: unknown) => void): Tap;
}

const tickMs = 100;
const roomMs = 1000;

async function run(setup: ObserverSetup, port: NonNullable<typeof parentPort>): Promise<void> {
  const tell = (message: FromObserver) => port.postMessage(message);
  const now = () => performance.now();
  const writer = new SegmentWriter({
    ...setup,
    files: realFiles,
    now,
    nowUs: () => Math.round((performance.timeOrigin + performance.now()) * 1000),
  });
  const tap = await tapFrom(setup.tapUrl, (report) => tell({ kind: 'tap', report }));
  const intake = new Intake({ writer, hashKey: setup.hashKey, tap });
  const look = () => {
    intake.room = roomIn(setup.directory, setup.room, realFiles);
  };
  look();
  const chunks: Chunk[] = [];
  const counts = () => ({ ...writer.written, dropped: { ...writer.dropped } });
  const lag = new Tally(secondsBuckets);
  let dueAt = now() + tickMs;
  const ticking = setInterval(() => {
    const at = now();
    lag.add(Math.max(0, at - dueAt) / 1000);
    dueAt = at + tickMs;
    writer.tick();
  }, tickMs);
  const looking = setInterval(() => {
    look();
    tell({ kind: 'lag', lag: lag.series({ thread: 'observer' }) });
  }, roomMs);
  port.on('message', (message: ToObserver) => {
    switch (message.kind) {
      case 'subject':
        intake.learn(message.subject);
        break;
      case 'chunk': {
        const { index, bytes, shared } = message;
        if (shared !== undefined) chunks[index] = chunkOver(index, shared);
        intake.take(chunks[index]!.bytes, bytes);
        tell({ kind: 'done', index, counts: counts() });
        break;
      }
      case 'tap':
        tap?.hear?.(message.message);
        break;
      case 'close':
        clearInterval(ticking);
        clearInterval(looking);
        tap?.close?.();
        writer.close(message.end);
        tell({ kind: 'closed', counts: counts() });
        port.close();
    }
  });
  tell({ kind: 'ready' });
}

async function tapFrom(url: string | undefined, report: (value: unknown) => void): Promise<Tap | undefined> {
  if (url === undefined) return undefined;
  const module = (await import(url)) as TapModule;
  return module.openTap(report);
}

if (parentPort !== null) await run(workerData as ObserverSetup, parentPort);
