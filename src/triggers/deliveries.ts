/**
 * What is still to be delivered to whom, as a state that records make, one after another.
 *
 *   raised ─▶ pending ─ tried ─▶ pending, later ─▶ … ─▶ dead ─ replayed ─▶ pending
 *                └──────────────── ended
 *
 * Must not know the disk, the network or timers.
 */
import type { TriggerEvent } from './event.js';

/** A line of the outbox. Times are milliseconds since the epoch, the only clock that outlives a process. */
export type OutboxRecord =
  | {
      readonly kind: 'raised';
      readonly seq: number;
      readonly event: TriggerEvent;
      readonly endpoints: readonly string[];
    }
  | {
      readonly kind: 'tried';
      readonly seq: number;
      readonly endpoint: string;
      readonly tries: number;
      readonly dueEpochMs: number;
      readonly error: string;
    }
  /** Delivered, or given up to make room. */
  | { readonly kind: 'ended'; readonly seq: number; readonly endpoint: string }
  | {
      readonly kind: 'dead';
      readonly seq: number;
      readonly endpoint: string;
      readonly tries: number;
      readonly error: string;
    }
  | { readonly kind: 'replayed'; readonly seq: number; readonly endpoint: string }
  /** @param place which address it had: with another one it is asked again */
  | { readonly kind: 'disabled'; readonly endpoint: string; readonly place: string }
  | { readonly kind: 'enabled'; readonly endpoint: string }
  /** How far the audit log has been made into events. */
  | { readonly kind: 'mark'; readonly auditSeq: number };

export interface Delivery {
  readonly seq: number;
  readonly event: TriggerEvent;
  readonly endpoint: string;
  readonly bytes: number;
  tries: number;
  /** Of the clock that does not jump. */
  dueMs: number;
  isDead: boolean;
  error: string;
}

export interface Clocks {
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly epochNow: () => number;
}

/** No wait is longer, whatever a clock that was wrong has left in the file. */
const waitMsMax = 11 * 3_600_000;
const noMore = 'it answered 410: it wants no more';

export class Deliveries {
  readonly #clocks: Clocks;
  /** By sequence number and endpoint, in the order in which they were raised. */
  readonly #all = new Map<string, Delivery>();
  readonly #disabled = new Map<string, string>();
  #nextSeq = 1;
  #bytes = 0;
  #auditSeq: number | undefined;

  constructor(clocks: Clocks) {
    this.#clocks = clocks;
  }

  /** Of the next event. */
  takeSeq(): number {
    return this.#nextSeq++;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#all.size;
  }

  get auditSeq(): number | undefined {
    return this.#auditSeq;
  }

  values(): Iterable<Delivery> {
    return this.#all.values();
  }

  has(eventId: string): boolean {
    for (const { event } of this.#all.values()) if (event.id === eventId) return true;
    return false;
  }

  isDisabled(endpoint: string): boolean {
    return this.#disabled.has(endpoint);
  }

  /** Disabled under another address than this. */
  hasMoved(endpoint: string, place: string): boolean {
    return this.#disabled.has(endpoint) && this.#disabled.get(endpoint) !== place;
  }

  /** The first of each subject of an endpoint: the others wait for it. */
  heads(endpoint: string): Delivery[] {
    const first = new Map<string, Delivery>();
    for (const delivery of this.#all.values()) {
      if (delivery.isDead || delivery.endpoint !== endpoint) continue;
      const { subject } = delivery.event;
      const before = first.get(subject);
      if (before === undefined || delivery.seq < before.seq) first.set(subject, delivery);
    }
    return [...first.values()];
  }

  apply(record: OutboxRecord): void {
    switch (record.kind) {
      case 'raised':
        return this.#add(record);
      case 'mark':
        this.#auditSeq = record.auditSeq;
        return;
      case 'disabled':
        return this.#disable(record);
      case 'enabled':
        this.#disabled.delete(record.endpoint);
        return;
      default: {
        const delivery = this.#all.get(keyOf(record));
        if (delivery !== undefined) this.#change(delivery, record);
      }
    }
  }

  #add({ seq, event, endpoints }: Extract<OutboxRecord, { kind: 'raised' }>): void {
    this.#nextSeq = Math.max(this.#nextSeq, seq + 1);
    const bytes = bytesOf(event);
    for (const endpoint of endpoints) {
      // It has said so while the event was being written down.
      const isDead = this.#disabled.has(endpoint);
      const error = isDead ? noMore : '';
      const delivery = { seq, event, endpoint, bytes, tries: 0, dueMs: 0, isDead, error };
      this.#all.set(keyOf(delivery), delivery);
      this.#bytes += bytes;
    }
  }

  /** What waits for it is kept as dead letters, for the day it is wanted after all. */
  #disable({ endpoint, place }: Extract<OutboxRecord, { kind: 'disabled' }>): void {
    this.#disabled.set(endpoint, place);
    for (const delivery of this.#all.values())
      if (delivery.endpoint === endpoint && !delivery.isDead) Object.assign(delivery, { isDead: true, error: noMore });
  }

  #change(delivery: Delivery, record: Extract<OutboxRecord, { kind: 'tried' | 'ended' | 'dead' | 'replayed' }>): void {
    switch (record.kind) {
      case 'ended':
        return this.#drop(delivery);
      case 'tried': {
        const waitMs = Math.min(waitMsMax, Math.max(0, record.dueEpochMs - this.#clocks.epochNow()));
        Object.assign(delivery, { tries: record.tries, error: record.error, dueMs: this.#clocks.now() + waitMs });
        return;
      }
      case 'dead':
        Object.assign(delivery, { tries: record.tries, error: record.error, isDead: true });
        return;
      case 'replayed':
        Object.assign(delivery, { tries: 0, dueMs: 0, isDead: false });
    }
  }

  #drop(delivery: Delivery): void {
    if (this.#all.delete(keyOf(delivery))) this.#bytes -= delivery.bytes;
  }

  /** Records that make the state as it is. */
  live(): OutboxRecord[] {
    const records: OutboxRecord[] = [];
    if (this.#auditSeq !== undefined) records.push({ kind: 'mark', auditSeq: this.#auditSeq });
    for (const [endpoint, place] of this.#disabled) records.push({ kind: 'disabled', endpoint, place });
    for (const { seq, event, endpoint, tries, dueMs, isDead, error } of this.#all.values()) {
      records.push({ kind: 'raised', seq, event, endpoints: [endpoint] });
      if (isDead) records.push({ kind: 'dead', seq, endpoint, tries, error });
      else if (tries > 0) {
        const dueEpochMs = this.#clocks.epochNow() + dueMs - this.#clocks.now();
        records.push({ kind: 'tried', seq, endpoint, tries, error, dueEpochMs });
      }
    }
    return records;
  }
}

/** What it counts for against the limit. */
export function bytesOf(event: TriggerEvent): number {
  return Buffer.byteLength(JSON.stringify(event));
}

function keyOf({ seq, endpoint }: { readonly seq: number; readonly endpoint: string }): string {
  return `${seq} ${endpoint}`;
}
