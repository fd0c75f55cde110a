/**
 * PART OF THE ROOT: the audit log made into events, entry after entry, from where it was left.
 *
 *   entries that nobody was told of ─▶ read ─┐
 *   an entry, just written ──────────────────┴▶ in order, each once ─▶ raise, with its number as the mark of how far this is
 *
 * At the very first start what is in the log is past and nobody is told of it.
 *
 * Must not know who is told.
 */
import type { AuditRecord } from '../audit/entry.js';
import type { AuditLog } from '../audit/log.js';
import { type AuditEvent, eventOf } from './audit-events.js';

export interface AuditFollowOptions {
  readonly audit: Pick<AuditLog, 'head' | 'read'>;
  /** How far it was followed before; undefined = never. */
  readonly followed: number | undefined;
  readonly raise: (event: AuditEvent, seq: number) => Promise<void>;
  /** Notes how far it has been followed. */
  readonly mark: (seq: number) => Promise<void>;
  readonly report: (what: string, error: unknown) => void;
}

export class AuditFollow {
  readonly #options: AuditFollowOptions;
  #seq: number;
  #last: Promise<void>;

  constructor(options: AuditFollowOptions) {
    this.#options = options;
    const { seq } = options.audit.head;
    // A log that ends before the mark is another log.
    const isNew = options.followed === undefined || options.followed > seq;
    this.#seq = isNew ? seq : options.followed;
    this.#last = this.#reported(() => (isNew ? options.mark(seq) : this.#catchUp()));
  }

  /** An entry is on the disk. */
  written(record: AuditRecord): void {
    this.#last = this.#last.then(() =>
      this.#reported(() => (record.entry.seq === this.#seq + 1 ? this.#take(record) : this.#catchUp())),
    );
  }

  /** When everything that was written until now has been seen to. */
  settled(): Promise<void> {
    return this.#last;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#reported(() => this.#options.mark(this.#seq));
  }

  /** All that is in the log beyond what was seen, if anything is. */
  async #catchUp(): Promise<void> {
    for await (const record of this.#options.audit.read(this.#seq + 1)) await this.#take(record);
  }

  async #take(record: AuditRecord): Promise<void> {
    const { seq } = record.entry;
    this.#seq = seq;
    const event = eventOf(record);
    if (event === undefined) return;
    await this.#reported(() => this.#options.raise(event, seq), `raise ${event.type} of ${event.subject}`);
  }

  async #reported(work: () => Promise<void>, what = 'follow the audit log'): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#options.report(what, error);
    }
  }
}
