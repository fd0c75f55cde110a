/**
 * PART OF THE ROOT: triggers: events of all rooms into the outbox, retraining policies on their signals, and what an operator
 * asks of both.
 *
 *   audit log, drift, quality, sources ─▶ raise ─▶ outbox ─▶ webhooks
 *                     └ signals ─▶ retraining ─▶ audit log ─┘   ◀─ a version with the trigger id of a request closes it
 *
 * Must not know any rule: rules live in the rooms.
 */
import { join, resolve } from 'node:path';
import type { Triggering } from '../admin/trigger-operations.js';
import type { JsonObject } from '../audit/canonical.js';
import { withDecimalsAsText } from '../audit/config-hash.js';
import type { AuditRecord } from '../audit/entry.js';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import type { SourceState } from '../core/listing.js';
import { nameOf, type VersionId } from '../core/model.js';
import type { Family } from '../core/series.js';
import type { RetrainSignals, TriggerType } from '../core/trigger.js';
import type { Log } from '../log.js';
import type { DeliveryResult } from '../triggers/courier.js';
import type { TriggerEvent } from '../triggers/event.js';
import { Outbox } from '../triggers/outbox.js';
import { type RetrainClosing, type RetrainFacts, Retraining, type RetrainNews } from '../triggers/retraining.js';
import { Schedule } from '../triggers/schedule.js';
import { AuditFollow } from './audit-follow.js';
import { Count } from './counts.js';
import type { RegistryRoom } from './registry-room.js';
import { openRetrainStates, policiesOf } from './retrain-policies.js';
import { StaleSources } from './stale-sources.js';
import { type TriggersDocument, triggerFamilies, triggersDocument } from './trigger-document.js';
import { endpointsOf, postingTo } from './webhooks.js';

export interface TriggerTools {
  readonly config: Config;
  readonly room: RegistryRoom;
  readonly sources: () => readonly SourceState[];
  readonly log: Log;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
  readonly epochNow: () => number;
  readonly random: () => number;
  /** One that nobody else has. */
  readonly newId: () => string;
  /** An endpoint is where events must not go. */
  readonly onRefused?: (refusal: { readonly kind: string }) => void;
}

type Facts = Readonly<Record<string, unknown>>;

const retrainRequested = 'io.sluice.retrain.requested';

export class TriggerRoom {
  readonly #tools: TriggerTools;
  readonly #source: string;
  readonly #policies: ReturnType<typeof policiesOf>;
  readonly #deliveries = new Count(
    'sluice_webhook_deliveries_total',
    'Tries to deliver an event, by result; refused = it found no room in the outbox.',
    'result',
  );
  #stop: () => void = () => {};
  #closePosts: () => void = () => {};
  #outbox!: Outbox;
  #follow!: AuditFollow;
  #retraining!: Retraining;

  private constructor(tools: TriggerTools) {
    this.#tools = tools;
    this.#source = `/sluice/${encodeURIComponent(tools.config.server.name)}`;
    this.#policies = policiesOf(tools.config.triggers.retrain);
  }

  /**
   * @returns undefined when nobody is to be told of anything
   * @throws FAILED_PRECONDITION, INVALID_ARGUMENT for a secret or a policy that is none; UNAVAILABLE when the disk does not allow it
   */
  static async open(tools: TriggerTools): Promise<TriggerRoom | undefined> {
    const { endpoints, retrain } = tools.config.triggers;
    if (Object.keys(endpoints).length === 0 && Object.keys(retrain).length === 0) return undefined;
    const room = new TriggerRoom(tools);
    await room.#open();
    return room;
  }

  async #open(): Promise<void> {
    const { config, room, sources, log, now, epochNow, random, environment, newId, onRefused } = this.#tools;
    const { path, endpoints, max_events, max_bytes } = config.triggers;
    const { post, close } = postingTo(endpoints, { now, epochNow, random, onRefused });
    const { outbox, lostBytes } = await Outbox.open({
      path: join(resolve(path), 'outbox.journal'),
      endpoints: endpointsOf(endpoints, environment),
      eventsMax: max_events,
      bytesMax: max_bytes,
      post,
      after,
      random,
      now,
      epochNow,
      onResult: (result, endpoint, error) => this.#onResult(result, endpoint, error),
    });
    if (lostBytes > 0) log.warn('outbox.cut', { bytes: lostBytes });
    this.#outbox = outbox;
    const states = await openRetrainStates(room.store.state);
    this.#retraining = await Retraining.open({
      policies: this.#policies,
      states: states.value,
      save: (next) => states.change(() => next),
      tell: (news) => this.#tell(news),
      closed: (closing) => this.#closed(closing),
      epochNow,
      id: newId,
    });
    const schedule = new Schedule({
      nextMs: () => this.#retraining.nextMs(),
      onTime: () => this.#retraining.onTime(),
      onFault: (error) => this.#report('look at retraining policies', error),
      epochNow,
      after,
    });
    const stale = new StaleSources({
      states: sources,
      stale: ({ name, type, reason, lastSuccess }) =>
        void this.raise('io.sluice.registry.stale', name, { source: name, type, reason, last_success: lastSuccess }),
    });
    this.#closePosts = close;
    this.#stop = () => {
      schedule.stop();
      stale.stop();
    };
    this.#follow = new AuditFollow({
      audit: room.audit,
      followed: outbox.auditSeq,
      raise: (event, seq) => outbox.raise({ ...event, source: this.#source }, seq),
      mark: (seq) => outbox.mark(seq),
      report: (what, error) => this.#report(what, error),
    });
    await this.#follow.settled();
  }

  /** An event of any room, on the disk when this resolves. It never throws: what finds no room is counted and logged. */
  async raise(type: TriggerType, subject: string, data: Facts): Promise<void> {
    try {
      await this.#raised({ id: this.#tools.newId(), type, subject, data });
    } catch (error) {
      this.#report(`raise ${type} of ${subject}`, error);
    }
  }

  /** What has been seen of a model, for its retraining policy. Never throws. */
  async look(model: string, signals: RetrainSignals, facts: RetrainFacts = {}): Promise<void> {
    try {
      await this.#retraining.look(model, signals, facts);
    } catch (error) {
      this.#report(`look at the retraining policy of ${model}`, error);
    }
  }

  /** An entry of the audit log is on the disk. */
  audited(record: AuditRecord): void {
    this.#follow.written(record);
  }

  /** A version has been admitted. @param lineage as its manifest says */
  admitted({ model, version }: VersionId, lineage: unknown): void {
    const triggerId = (lineage as { trigger_id?: unknown } | null | undefined)?.trigger_id;
    if (typeof triggerId !== 'string') return;
    void this.#retraining
      .registered(model, version, triggerId)
      .catch((error: unknown) => this.#report(`close the request that ${nameOf({ model, version })} answers`, error));
  }

  async operate(asked: Triggering, actor: string): Promise<unknown> {
    switch (asked.ask) {
      case 'show':
        return this.#document();
      case 'replay': {
        const { id = null, endpoint = null } = asked;
        await this.#tools.room.audit.append('trigger.replayed', 'dead letters', { id, endpoint }, actor);
        return { replayed: await this.#outbox.replay(asked) };
      }
      case 'close': {
        const isClosed = await this.#retraining.close(asked.model, actor, asked.reason || 'operator');
        if (!isClosed) throw new GatewayError('NOT_FOUND', `no request for a training of '${asked.model}' is open`);
        return this.#document();
      }
      case 'test': {
        const { model, type, reason } = asked;
        if (!this.#tools.room.registry.has(model))
          throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' is not found`);
        await this.#tools.room.audit.append('trigger.tested', model, { type, reason }, actor);
        if (type === retrainRequested) return { id: await this.#retraining.request(model, reason, actor) };
        const id = this.#tools.newId();
        await this.#raised({ id, type, subject: model, data: { test: true, actor, reason } });
        return { id };
      }
    }
  }

  families(): Family[] {
    return [...triggerFamilies(this.#outbox), this.#deliveries.family()];
  }

  async close(): Promise<void> {
    this.#stop();
    await this.#follow.close();
    await this.#outbox.close();
    this.#closePosts();
  }

  #raised({ data, ...event }: Pick<TriggerEvent, 'id' | 'type' | 'subject' | 'data'>): Promise<void> {
    const { room, epochNow } = this.#tools;
    const { seq, hash } = room.audit.head;
    const { type, subject } = event;
    return this.#outbox.raise({
      ...event,
      source: this.#source,
      time: new Date(epochNow()).toISOString(),
      data: { dedup_key: `${subject}/${type}`, ...data, audit_head: { seq, hash } },
    });
  }

  /** Written down with its numbers; then told, unless it only joins what is open, or is a dry run. */
  async #tell({
    model,
    act,
    id,
    actor,
    reasons,
    signals,
    facts,
    isDryRun,
    policy,
    dedupKey,
  }: RetrainNews): Promise<void> {
    const { log, room } = this.#tools;
    const numbers = { ...signals, ...facts };
    log.info('trigger.fired', { model, triggerId: id, act, reasons: reasons.join(', '), isDryRun });
    if (isDryRun) return;
    const detail = { trigger_id: id, act, policy, reasons, numbers };
    await room.audit.append('trigger.fired', model, withDecimalsAsText(detail) as JsonObject, actor);
    if (act === 'added') return;
    const data = { ...facts, trigger_id: id, dedup_key: dedupKey, model, policy, reasons, signals };
    await this.#raised({ id, type: retrainRequested, subject: model, data });
  }

  async #closed({ model, request, actor, reason }: RetrainClosing): Promise<void> {
    const { log, room } = this.#tools;
    const detail = { trigger_id: request.id, reason, reasons: [...request.reasons], firings: request.firings };
    await room.audit.append('trigger.closed', model, detail, actor);
    log.info('trigger.closed', { model, triggerId: request.id, reason });
  }

  #document(): TriggersDocument {
    const { config, epochNow } = this.#tools;
    return triggersDocument({
      endpoints: config.triggers.endpoints,
      outbox: this.#outbox,
      states: this.#retraining.states,
      policies: this.#policies,
      nowMs: epochNow(),
    });
  }

  #onResult(result: DeliveryResult, endpoint: string, error: string): void {
    this.#deliveries.add([result]);
    const fields = { endpoint, error };
    if (result === 'failed') this.#tools.log.debug('webhook.failed', fields);
    else if (result !== 'delivered') this.#tools.log.warn(`webhook.${result}`, fields);
  }

  #report(what: string, error: unknown): void {
    this.#tools.log.error('trigger.failed', { what, error: GatewayError.from(error).message });
  }
}

function after(delayMs: number, work: () => void): () => void {
  const timer = setTimeout(work, delayMs).unref();
  return () => clearTimeout(timer);
}

/** @throws FAILED_PRECONDITION when there are none */
export function triggersOf(room: TriggerRoom | undefined): TriggerRoom {
  if (room !== undefined) return room;
  throw new GatewayError(
    'FAILED_PRECONDITION',
    'there are no triggers: set triggers.endpoints to say who is told, or triggers.retrain to say when to train again',
  );
}
