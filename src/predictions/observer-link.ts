/**
 * The serving thread's end of the observer thread. A chunk is named by its number; its memory goes over once.
 *
 * Should the thread end by itself, nothing is awaited any more: what it had not confirmed counts as not written.
 *
 * Must not know records.
 */
import { Worker } from 'node:worker_threads';
import type { Series } from '../core/series.js';
import type { Chunk } from './chunk.js';
import { noDrops } from './event.js';
import type { FromObserver, ObserverCounts, ObserverSetup, ToObserver } from './observer.js';
import type { LogEnd } from './segment-writer.js';
import type { Subject } from './subject.js';

export interface LinkListener {
  readonly onDone: (chunk: Chunk) => void;
  readonly onTap: (report: unknown) => void;
  /** The thread ended although nobody asked it to. */
  readonly onLost: (error: Error) => void;
}

const noCounts: ObserverCounts = { logged: 0, bytes: 0, dropped: noDrops() };

export class ObserverLink {
  readonly #worker: Worker;
  readonly #listener: LinkListener;
  readonly #sent: (Chunk | undefined)[] = [];
  #counts = noCounts;
  #isLost = false;
  /** Of the thread's loop; undefined as long as it has not told. */
  lag: Series | undefined;
  readonly ready: Promise<void>;
  readonly #exited: Promise<void>;

  constructor(setup: ObserverSetup, listener: LinkListener) {
    this.#listener = listener;
    this.#worker = new Worker(new URL('./observer.js', import.meta.url), { workerData: setup });
    this.#worker.unref();
    this.#worker.on('error', (error: Error) => this.#lose(error));
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.ready = new Promise((resolve) => {
      this.#worker.once('exit', () => resolve());
      this.#worker.on('message', (message: FromObserver) => {
        if (message.kind === 'ready') resolve();
        else this.#hear(message);
      });
    });
  }

  /** Of what has been confirmed. */
  get counts(): ObserverCounts {
    return this.#counts;
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  #hear(message: Exclude<FromObserver, { kind: 'ready' }>): void {
    if (message.kind === 'tap') {
      this.#listener.onTap(message.report);
      return;
    }
    if (message.kind === 'lag') {
      this.lag = message.lag;
      return;
    }
    this.#counts = message.counts;
    if (message.kind === 'done') this.#listener.onDone(this.#sent[message.index]!);
  }

  #lose(error: Error): void {
    this.#isLost = true;
    this.#listener.onLost(error);
  }

  learn(subject: Subject): void {
    this.#tell({ kind: 'subject', subject });
  }

  send(chunk: Chunk, bytes: number): void {
    const isKnown = this.#sent[chunk.index] !== undefined;
    this.#sent[chunk.index] = chunk;
    const { index, shared } = chunk;
    this.#tell(isKnown ? { kind: 'chunk', index, bytes } : { kind: 'chunk', index, bytes, shared });
  }

  tellTap(message: unknown): void {
    this.#tell({ kind: 'tap', message });
  }

  #tell(message: ToObserver): void {
    if (!this.#isLost) this.#worker.postMessage(message);
  }

  /** Resolves when everything is written and the thread has ended, or after `withinMs`. */
  async close(end: LogEnd, withinMs: number): Promise<void> {
    this.#worker.ref();
    this.#tell({ kind: 'close', end });
    let timer: NodeJS.Timeout | undefined;
    const overdue = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, withinMs);
    });
    await Promise.race([this.#exited, overdue]);
    clearTimeout(timer);
    this.#worker.unref();
  }
}
