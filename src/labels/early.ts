/**
 * Labels that came before their prediction. They wait for an hour and are then unmatched. What waits survives a restart.
 *
 * Must not know predictions. Time is given.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { namesIn } from './days.js';
import type { Label } from './feedback.js';
import { frameAt } from './frames.js';
import { Journal } from './journal.js';
import { labelNameOf } from './label-record.js';

export interface EarlyLabel {
  readonly model: string;
  readonly label: Label;
  readonly receivedMs: number;
}

export interface EarlyOptions {
  readonly directory: string;
  /** Of this life of the process. */
  readonly name: string;
  readonly holdMs: number;
  readonly labelsMax: number;
}

/** The journal holds those that have found their prediction, too, until it is begun anew. */
const journalBytesMax = 64 * 1024 * 1024;

export class EarlyLabels {
  readonly #options: EarlyOptions;
  readonly #journal: Journal;
  /** By request, then by name; the first to come is the first to go. */
  readonly #waiting = new Map<string, Map<string, EarlyLabel>>();
  #size = 0;
  /** That nobody asked for in time. */
  unmatched = 0;
  /** Files whose rest is no records. */
  damaged = 0;

  constructor(options: EarlyOptions) {
    this.#options = options;
    this.#journal = new Journal((number) => join(options.directory, `${options.name}-${number}.rows`));
  }

  get size(): number {
    return this.#size;
  }

  get isFull(): boolean {
    return this.#size >= this.#options.labelsMax;
  }

  all(): EarlyLabel[] {
    return [...this.#waiting.values()].flatMap((ofRequest) => [...ofRequest.values()]);
  }

  has(requestId: string): boolean {
    return this.#waiting.has(requestId);
  }

  find(name: string, requestId: string): EarlyLabel | undefined {
    return this.#waiting.get(requestId)?.get(name);
  }

  /** What waited when the process before this one ended; its files are no longer needed once `write` has resolved. */
  async open(nowMs: number): Promise<void> {
    const { directory, holdMs } = this.#options;
    const names = namesIn(directory).filter((name) => name.endsWith('.rows'));
    const found = names.flatMap((name) => this.#earlyIn(readFileSync(join(directory, name))));
    const fresh = found.filter(({ receivedMs }) => nowMs - receivedMs < holdMs);
    if (fresh.length > 0) await this.add(fresh.slice(-this.#options.labelsMax));
    for (const name of names) rmSync(join(directory, name), { force: true });
  }

  #earlyIn(bytes: Buffer): EarlyLabel[] {
    const found: EarlyLabel[] = [];
    let frame = frameAt(bytes, 0);
    for (; frame.is === 'whole'; frame = frameAt(bytes, frame.end)) {
      found.push(JSON.parse(frame.payload.toString('utf8')) as EarlyLabel);
    }
    if (frame.is === 'bad') this.damaged++;
    return found;
  }

  /** Resolves when they are on the disk. */
  async add(labels: readonly EarlyLabel[]): Promise<void> {
    await this.#write(labels);
    for (const early of labels) {
      const { requestId, item, key } = early.label;
      const ofRequest = this.#waiting.get(requestId) ?? new Map<string, EarlyLabel>();
      const name = labelNameOf(requestId, item, key);
      if (!ofRequest.has(name)) this.#size++;
      ofRequest.set(name, early);
      this.#waiting.set(requestId, ofRequest);
    }
  }

  async #write(labels: readonly EarlyLabel[]): Promise<void> {
    await this.#journal.append(labels.map((early) => Buffer.from(JSON.stringify(early))));
    if (this.#journal.bytes < journalBytesMax) return;
    const { directory } = this.#options;
    const before = namesIn(directory);
    await this.#journal.close();
    await this.#journal.append([...this.all(), ...labels].map((early) => Buffer.from(JSON.stringify(early))));
    for (const name of before) rmSync(join(directory, name), { force: true });
  }

  /** Those of a request, which do not wait any more. */
  take(requestId: string): EarlyLabel[] {
    const ofRequest = this.#waiting.get(requestId);
    if (ofRequest === undefined) return [];
    this.#waiting.delete(requestId);
    this.#size -= ofRequest.size;
    return [...ofRequest.values()];
  }

  expire(nowMs: number): void {
    for (const [requestId, ofRequest] of this.#waiting) {
      const newest = Math.max(...[...ofRequest.values()].map(({ receivedMs }) => receivedMs));
      if (nowMs - newest < this.#options.holdMs) return;
      this.unmatched += ofRequest.size;
      this.take(requestId);
    }
  }

  async close(): Promise<void> {
    await this.#journal.close();
  }
}
