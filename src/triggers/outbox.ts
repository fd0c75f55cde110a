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
import { alertmanagerContentType, alertmanagerText } from './alertmanager.js';
import { type Clocks, Deliveries, type Delivery, type OutboxRecord } from './deliveries.js';
import { checkEvent, cloudEventContentType, cloudEventText, type TriggerEvent } from './event.js';
import { Journal } from './journal.js';
import { hubSignatureHeader, signatureHeaders, webhookKeysOf } from './signature.js';

export interface Endpoint {
  readonly name: string;
  /** Tells one address from another without showing it. */
  readonly place: string;
  /** Empty = all. */
  readonly types: readonly TriggerType[];
  readonly format: 'cloudevents' | 'alertmanager';
  readonly hasHubSignature: boolean;
  /** As it is kept; read anew for each try. */
  readonly secret: () => string;
}

/** @returns the status of the answer. @throws when there was none, or none that may be taken */
export type PostWebhook = (
  endpoint: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
) => Promise<number>;

export type DeliveryResult = 'delivered' | 'failed' | 'dead' | 'disabled' | 'refused';

export interface OutboxOptions extends Clocks {
  readonly path: string;
  readonly endpoints: readonly Endpoint[];
  readonly eventsMax: number;
  readonly bytesMax: number;
  readonly post: PostWebhook;
  readonly random: () => number;
  /** Calls `work` once, later. @returns what takes it back */
  readonly after: (delayMs: number, work: () => void) => () => void;
  readonly onResult: (result: DeliveryResult, endpoint: string, error: string) => void;
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

const delaysMs = [5000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000];
const answerMs = 10_000;
/** When a result cannot be written down, nothing is sent for so long. */
const brokenMs = 5000;
const atOnceMax = 4;
const errorCharactersMax = 200;
const eventBytesMax = 256 * 1024;
const rewriteBytes = 4 * 1024 * 1024;
const gone = 410;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #deliveries: Deliveries;
  readonly #journal: Journal<OutboxRecord>;
  /** Under way, with what ends them. */
  readonly #running = new Map<Delivery, AbortController>();
  readonly #ended = new Set<Promise<void>>();
  /** Events being written, which count against the limits already. */
  #coming = { count: 0, bytes: 0 };
  #cancelTimer: () => void = () => {};
  #isClosed = false;

  private constructor(options: OutboxOptions, deliveries: Deliveries, journal: Journal<OutboxRecord>) {
    this.#options = options;
    this.#deliveries = deliveries;
    this.#journal = journal;
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
    await outbox.#buryOrphans();
    outbox.#pump();
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
    const records: OutboxRecord[] = auditSeq === undefined ? [] : [{ kind: 'mark', auditSeq }];
    const endpoints = this.#wanting(event.type);
    if (endpoints.length > 0 && !this.#deliveries.has(event.id)) {
      const bytes = Buffer.byteLength(JSON.stringify(event)) * endpoints.length;
      await this.#makeRoom(bytes, endpoints.length, event);
      records.push({ kind: 'raised', seq: this.#deliveries.takeSeq(), event, endpoints });
      this.#coming = { count: this.#coming.count + endpoints.length, bytes: this.#coming.bytes + bytes };
      try {
        await this.#journal.append(...records);
      } finally {
        this.#coming = { count: this.#coming.count - endpoints.length, bytes: this.#coming.bytes - bytes };
      }
      this.#pump();
    } else if (records.length > 0) await this.#journal.append(...records);
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
      ({ name, place }) =>
        this.#deliveries.isDisabled(name, place) &&
        (name === endpoint || dead.some((one) => one.endpoint === name)),
    );
    await this.#journal.append(
      ...disabled.map(({ name }): OutboxRecord => ({ kind: 'enabled', endpoint: name })),
      ...dead.map(({ seq, endpoint: name }): OutboxRecord => ({ kind: 'replayed', seq, endpoint: name })),
    );
    this.#pump();
    return dead.length;
  }

  shown(): { readonly pending: ShownDelivery[]; readonly dead: ShownDelivery[]; readonly disabled: string[] } {
    const all = [...this.#deliveries.values()];
    const nowMs = this.#options.now();
    return {
      pending: all.filter(({ isDead }) => !isDead).map((one) => shownOf(one, nowMs)),
      dead: all.filter(({ isDead }) => isDead).map((one) => shownOf(one, nowMs)),
      disabled: this.#options.endpoints
        .filter(({ name, place }) => this.#deliveries.isDisabled(name, place))
        .map(({ name }) => name),
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
    this.#isClosed = true;
    this.#cancelTimer();
    for (const controller of this.#running.values()) controller.abort(new Error('the server stops'));
    await Promise.all(this.#ended);
    await this.#journal.close();
  }

  #wanting(type: TriggerType): string[] {
    return this.#options.endpoints
      .filter(({ name, place, types }) => {
        if (types.length > 0 && !types.includes(type)) return false;
        return !this.#deliveries.isDisabled(name, place);
      })
      .map(({ name }) => name);
  }

  /** The oldest dead letters make room; what is pending never does. */
  async #makeRoom(bytes: number, count: number, { type }: TriggerEvent): Promise<void> {
    const { eventsMax, bytesMax, onResult } = this.#options;
    const limit = Math.min(eventBytesMax * count, bytesMax);
    const overCount = () => this.#deliveries.count + this.#coming.count + count - eventsMax;
    const overBytes = () => this.#deliveries.bytes + this.#coming.bytes + bytes - bytesMax;
    if (bytes > limit) {
      onResult('refused', '', 'too large');
      throw new GatewayError('RESOURCE_EXHAUSTED', `outbox: event ${type} has ${bytes} bytes, at most ${limit} are taken`);
    }
    const dropped: OutboxRecord[] = [];
    let [count_, bytes_] = [0, 0];
    for (const { isDead, seq, endpoint, bytes: freed } of this.#deliveries.values()) {
      if (overCount() - count_ <= 0 && overBytes() - bytes_ <= 0) break;
      if (!isDead) continue;
      dropped.push({ kind: 'delivered', seq, endpoint });
      count_++;
      bytes_ += freed;
    }
    if (overCount() - count_ > 0 || overBytes() - bytes_ > 0) {
      onResult('refused', '', 'full');
      throw new GatewayError(
        'RESOURCE_EXHAUSTED',
        `outbox: ${this.#deliveries.count} deliveries wait, event ${type} finds no room`,
      );
    }
    if (dropped.length > 0) await this.#journal.append(...dropped);
  }

  /** For endpoints that the configuration no longer has. */
  async #buryOrphans(): Promise<void> {
    const names = new Set(this.#options.endpoints.map(({ name }) => name));
    const orphans = [...this.#deliveries.values()].filter(({ endpoint, isDead }) => !isDead && !names.has(endpoint));
    if (orphans.length === 0) return;
    const error = 'the configuration has no such endpoint';
    await this.#journal.append(
      ...orphans.map(({ seq, endpoint, tries }): OutboxRecord => ({ kind: 'dead', seq, endpoint, tries, error })),
    );
  }

  /** Starts what is due, and comes back when the next thing is. */
  #pump(): void {
    if (this.#isClosed) return;
    this.#cancelTimer();
    this.#cancelTimer = () => {};
    const nowMs = this.#options.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const endpoint of this.#options.endpoints) {
      let running = [...this.#running.keys()].filter((one) => one.endpoint === endpoint.name).length;
      const subjects = new Set([...this.#running.keys()].flatMap(subjectAt(endpoint.name)));
      for (const head of this.#deliveries.heads(endpoint.name)) {
        if (subjects.has(head.event.subject)) continue;
        if (head.dueMs > nowMs) nextMs = Math.min(nextMs, head.dueMs);
        else if (running < atOnceMax) {
          running++;
          this.#start(head, endpoint);
        }
      }
    }
    if (nextMs < Number.POSITIVE_INFINITY)
      this.#cancelTimer = this.#options.after(Math.max(1, nextMs - nowMs), () => this.#pump());
  }

  #start(delivery: Delivery, endpoint: Endpoint): void {
    const controller = new AbortController();
    this.#running.set(delivery, controller);
    const ended = this.#deliver(delivery, endpoint, controller).finally(() => {
      this.#running.delete(delivery);
      this.#ended.delete(ended);
      this.#pump();
    });
    this.#ended.add(ended);
  }

  async #deliver(delivery: Delivery, endpoint: Endpoint, controller: AbortController): Promise<void> {
    const answer = await this.#attempt(delivery, endpoint, controller);
    if (this.#isClosed && 'error' in answer) return;
    try {
      if ('error' in answer) await this.#missed(delivery, answer.error);
      else if (answer.status >= 200 && answer.status <= 299) {
        await this.#journal.append({ kind: 'delivered', seq: delivery.seq, endpoint: endpoint.name });
        this.#options.onResult('delivered', endpoint.name, '');
      } else if (answer.status === gone) await this.#disable(endpoint);
      else await this.#missed(delivery, `it answers ${answer.status}`);
    } catch (error) {
      // It stays pending, and is sent again under the same id.
      delivery.dueMs = this.#options.now() + brokenMs;
      this.#options.onResult('failed', endpoint.name, GatewayError.from(error).message);
    }
  }

  /** One try. Never throws, and never takes longer than a receiver has. */
  #attempt(
    { event }: Delivery,
    endpoint: Endpoint,
    controller: AbortController,
  ): Promise<{ readonly status: number } | { readonly error: string }> {
    const { signal } = controller;
    return new Promise((resolve) => {
      const expired = () => controller.abort(new Error(`no answer within ${answerMs / 1000} s`));
      const cancel = this.#options.after(answerMs, expired);
      const settle = (answer: { readonly status: number } | { readonly error: string }) => {
        cancel();
        resolve(answer);
      };
      signal.addEventListener('abort', () => settle({ error: reasonOf(signal.reason) }), { once: true });
      this.#post(event, endpoint, signal).then(
        (status) => settle({ status }),
        (error: unknown) => settle({ error: reasonOf(error) }),
      );
    });
  }

  async #post(event: TriggerEvent, endpoint: Endpoint, signal: AbortSignal): Promise<number> {
    const { name, format, secret, hasHubSignature } = endpoint;
    const isAlert = format === 'alertmanager';
    const body = isAlert ? alertmanagerText(event, name) : cloudEventText(event);
    const keys = webhookKeysOf(secret());
    const timestamp = Math.floor(this.#options.epochNow() / 1000);
    const headers = {
      'content-type': isAlert ? alertmanagerContentType : cloudEventContentType,
      ...signatureHeaders(keys, { id: event.id, timestamp, body }),
      ...(hasHubSignature ? hubSignatureHeader(keys, body) : {}),
    };
    return this.#options.post(name, headers, body, signal);
  }

  async #missed({ seq, endpoint, tries: before }: Delivery, error: string): Promise<void> {
    const { random, epochNow, onResult } = this.#options;
    const tries = before + 1;
    const delayMs = delaysMs[before];
    if (delayMs === undefined) await this.#journal.append({ kind: 'dead', seq, endpoint, tries, error });
    else {
      const dueEpochMs = Math.round(epochNow() + delayMs * (0.9 + 0.2 * random()));
      await this.#journal.append({ kind: 'tried', seq, endpoint, tries, error, dueEpochMs });
    }
    onResult(delayMs === undefined ? 'dead' : 'failed', endpoint, error);
  }

  /** What waits for it is kept as dead letters, for the day it is wanted after all. */
  async #disable({ name, place }: Endpoint): Promise<void> {
    const error = `it answers ${gone}: it wants no more`;
    const waiting = [...this.#deliveries.values()].filter(({ endpoint, isDead }) => endpoint === name && !isDead);
    await this.#journal.append(
      { kind: 'disabled', endpoint: name, place },
      ...waiting.map(({ seq, tries }): OutboxRecord => ({ kind: 'dead', seq, endpoint: name, tries, error })),
    );
    this.#options.onResult('disabled', name, error);
  }
}

function subjectAt(endpoint: string): (delivery: Delivery) => string[] {
  return (delivery) => (delivery.endpoint === endpoint ? [delivery.event.subject] : []);
}

function shownOf({ event, endpoint, tries, error, dueMs, isDead }: Delivery, nowMs: number): ShownDelivery {
  const { id, type, subject, time } = event;
  const due_in_ms = isDead ? null : Math.max(0, Math.round(dueMs - nowMs));
  return { id, type, subject, time, endpoint, tries, error, due_in_ms };
}

/** Our own words, or the name of a fault; never what a receiver has sent. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : 'it cannot be reached';
  return message.slice(0, errorCharactersMax);
}
