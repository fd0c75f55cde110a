/**
 * Events on their way to those who asked for them: written down first, then sent until they are taken.
 *
 *   raise ─▶ journal (fsync) ─▶ first of its subject? due? ─▶ signed, posted ─▶ 2xx: delivered
 *                                     ▲                          ├▶ 410: the endpoint wants no more
 *                                     └─ 5 s … 10 h later ◀──────┴▶ else: once more, or dead after the last try
 *
 * At least once: a process that dies between the answer of a receiver and the note of it sends the event again, under the same
 * `webhook-id`. In order for each subject and endpoint: while one waits for its next try, those behind it wait too; a dead one
 * lets them pass. What is full refuses: who raises is told, and dead letters go before anything that still can be delivered.
 *
 * Must not know the network (`post` is given), files beyond the path of the journal, or what events mean.
 */
import { GatewayError } from '../core/errors.js';
import type { TriggerType } from '../core/trigger.js';
import { Courier, type CourierOptions } from './courier.js';
import { bytesOf, Deliveries, type Delivery, type OutboxRecord } from './deliveries.js';
import { checkEvent, type TriggerEvent } from './event.js';
import { Journal } from './journal.js';

export interface OutboxOptions extends CourierOptions {
  readonly path: string;
  readonly eventsMax: number;
  readonly bytesMax: number;
}

/** A delivery as people see it. */
export interface ShownDelivery {
  readonly id: string;
  readonly type: TriggerType;
  readonly subject: string;
  readonly time: string;
  readonly endpoint: string;
  readonly tries: number;
  readonly error: string;
  /** Until the next try; null = there is none. */
  readonly due_in_ms: number | null;
}

const eventBytesMax = 256 * 1024;
const rewriteBytes = 4 * 1024 * 1024;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #deliveries: Deliveries;
  readonly #journal: Journal<OutboxRecord>;
  readonly #courier: Courier;
  /** Events being written, which count against the limits already. */
  #coming = { count: 0, bytes: 0 };
  /** Dead letters that make room for them, and no longer count. */
  readonly #leaving = new Set<Delivery>();

  private constructor(options: OutboxOptions, deliveries: Deliveries, journal: Journal<OutboxRecord>) {
    this.#options = options;
    this.#deliveries = deliveries;
    this.#journal = journal;
    this.#courier = new Courier(options, deliveries, journal);
  }

  /** Sends what is due. @returns it, and how many bytes of its file a crash has cost. @throws UNAVAILABLE */
  static async open(options: OutboxOptions): Promise<{ readonly outbox: Outbox; readonly lostBytes: number }> {
    const deliveries = new Deliveries(options);
    const { journal, lostBytes } = await Journal.open<OutboxRecord>({
      path: options.path,
      rewriteBytes,
      apply: (record) => deliveries.apply(record),
      live: () => deliveries.live(),
    });
    const outbox = new Outbox(options, deliveries, journal);
    await outbox.#reconcile();
    outbox.#courier.wake();
    return { outbox, lostBytes };
  }

  /** How far the audit log has been made into events; undefined = never. */
  get auditSeq(): number | undefined {
    return this.#deliveries.auditSeq;
  }

  /**
   * @param auditSeq the entry of the audit log that it was made from
   * @returns once it is on the disk, or at once when nobody wants it or it is there already
   * @throws RESOURCE_EXHAUSTED when there is no room, UNAVAILABLE when the disk does not take it
   */
  async raise(event: TriggerEvent, auditSeq?: number): Promise<void> {
    checkEvent(event);
    const endpoints = this.#deliveries.has(event.id) ? [] : this.#wanting(event.type);
    const marks: OutboxRecord[] = auditSeq === undefined ? [] : [{ kind: 'mark', auditSeq }];
    if (endpoints.length === 0) return marks.length === 0 ? undefined : this.#journal.append(...marks);
    const count = endpoints.length;
    const bytes = count * bytesOf(event);
    const leaving = this.#roomFor(event, { count, bytes });
    const ended = leaving.map(({ seq, endpoint }): OutboxRecord => ({ kind: 'ended', seq, endpoint }));
    const raised: OutboxRecord = { kind: 'raised', seq: this.#deliveries.takeSeq(), event, endpoints };
    this.#reserve(count, bytes);
    for (const one of leaving) this.#leaving.add(one);
    try {
      await this.#journal.append(...marks, ...ended, raised);
    } finally {
      this.#reserve(-count, -bytes);
      for (const one of leaving) this.#leaving.delete(one);
    }
    this.#courier.wake();
  }

  #reserve(count: number, bytes: number): void {
    this.#coming = { count: this.#coming.count + count, bytes: this.#coming.bytes + bytes };
  }

  /** So far the audit log has been read, and nothing of it was an event. */
  mark(auditSeq: number): Promise<void> {
    return this.#journal.append({ kind: 'mark', auditSeq });
  }

  /** Dead letters are tried anew, and disabled endpoints are asked again. @returns how many */
  async replay({ id, endpoint }: { readonly id?: string; readonly endpoint?: string } = {}): Promise<number> {
    const dead = [...this.#deliveries.values()].filter(
      (one) =>
        one.isDead &&
        (id === undefined || one.event.id === id) &&
        (endpoint === undefined || one.endpoint === endpoint) &&
        this.#options.endpoints.some(({ name }) => name === one.endpoint),
    );
    const disabled = this.#options.endpoints.filter(
      ({ name }) =>
        this.#deliveries.isDisabled(name) && (name === endpoint || dead.some((one) => one.endpoint === name)),
    );
    await this.#journal.append(
      ...disabled.map(({ name }): OutboxRecord => ({ kind: 'enabled', endpoint: name })),
      ...dead.map(({ seq, endpoint: name }): OutboxRecord => ({ kind: 'replayed', seq, endpoint: name })),
    );
    this.#courier.wake();
    return dead.length;
  }

  shown(): { readonly pending: ShownDelivery[]; readonly dead: ShownDelivery[]; readonly disabled: string[] } {
    const all = [...this.#deliveries.values()];
    const nowMs = this.#options.now();
    return {
      pending: all.filter(({ isDead }) => !isDead).map((one) => shownOf(one, nowMs)),
      dead: all.filter(({ isDead }) => isDead).map((one) => shownOf(one, nowMs)),
      disabled: this.#options.endpoints.filter(({ name }) => this.#deliveries.isDisabled(name)).map(({ name }) => name),
    };
  }

  /** Deliveries that wait, by endpoint. */
  pending(): ReadonlyMap<string, number> {
    const counts = new Map(this.#options.endpoints.map(({ name }) => [name, 0]));
    for (const { endpoint, isDead } of this.#deliveries.values())
      if (!isDead) counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1);
    return counts;
  }

  /** What is under way is given up and sent again after the next start. */
  async close(): Promise<void> {
    await this.#courier.close();
    await this.#journal.close();
  }

  #wanting(type: TriggerType): string[] {
    return this.#options.endpoints
      .filter(({ name, types }) => {
        if (types.length > 0 && !types.includes(type)) return false;
        return !this.#deliveries.isDisabled(name);
      })
      .map(({ name }) => name);
  }

  /** The oldest dead letters make room; what is pending never does. @throws RESOURCE_EXHAUSTED */
  #roomFor({ type }: TriggerEvent, { count, bytes }: { count: number; bytes: number }): Delivery[] {
    const { eventsMax, bytesMax } = this.#options;
    const limit = Math.min(eventBytesMax * count, bytesMax);
    if (bytes > limit) throw this.#refused(`event ${type} has ${bytes} bytes, at most ${limit} are taken`);
    let overCount = this.#deliveries.count + this.#coming.count + count - eventsMax;
    let overBytes = this.#deliveries.bytes + this.#coming.bytes + bytes - bytesMax;
    for (const one of this.#leaving) [overCount, overBytes] = [overCount - 1, overBytes - one.bytes];
    const leaving: Delivery[] = [];
    for (const one of this.#deliveries.values()) {
      if (overCount <= 0 && overBytes <= 0) break;
      if (!one.isDead || this.#leaving.has(one)) continue;
      leaving.push(one);
      [overCount, overBytes] = [overCount - 1, overBytes - one.bytes];
    }
    if (overCount <= 0 && overBytes <= 0) return leaving;
    throw this.#refused(`${this.#deliveries.count} deliveries wait, event ${type} finds no room`);
  }

  #refused(reason: string): GatewayError {
    this.#options.onResult('refused', '', reason);
    return new GatewayError('RESOURCE_EXHAUSTED', `outbox: ${reason}`);
  }

  /** With the configuration of this start: endpoints that are gone get nothing, those with another address are asked again. */
  async #reconcile(): Promise<void> {
    const { endpoints } = this.#options;
    const names = new Set(endpoints.map(({ name }) => name));
    const error = 'the configuration has no such endpoint';
    const moved = endpoints.filter(({ name, place }) => this.#deliveries.hasMoved(name, place));
    const orphans = [...this.#deliveries.values()].filter(({ endpoint, isDead }) => !isDead && !names.has(endpoint));
    const records = [
      ...moved.map(({ name }): OutboxRecord => ({ kind: 'enabled', endpoint: name })),
      ...orphans.map(({ seq, endpoint, tries }): OutboxRecord => ({ kind: 'dead', seq, endpoint, tries, error })),
    ];
    if (records.length > 0) await this.#journal.append(...records);
  }
}

function shownOf({ event, endpoint, tries, error, dueMs, isDead }: Delivery, nowMs: number): ShownDelivery {
  const { id, type, subject, time } = event;
  const due_in_ms = isDead ? null : Math.max(0, Math.round(dueMs - nowMs));
  return { id, type, subject, time, endpoint, tries, error, due_in_ms };
}
