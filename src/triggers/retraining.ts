/**
 * Requests for new trainings: each model's policy with its state, looked at one time after another.
 *
 *   signals, a time, an operator ─▶ decision ─▶ told (audit log, outbox) ─▶ state on the disk
 *
 * The state is written last: a process that dies in between asks once more, under the same `dedup_key`, and never not at all.
 *
 * Must not know audit logs, webhooks or files: it is given functions.
 */
import { ownOf } from '../core/own.js';
import type { RetrainSignals } from '../core/trigger.js';
import {
  decideRetrain,
  freshRetrain,
  isExpired,
  nextLookMs,
  type OpenRequest,
  type RetrainDecision,
  type RetrainPolicy,
  type RetrainState,
} from './policy.js';

export type RetrainStates = Readonly<Record<string, RetrainState>>;

/** What went with the signals: window, profile digest, top features, a query for the rows. */
export type RetrainFacts = Readonly<Record<string, unknown>>;

/** What a policy, or an operator, has come to. */
export interface RetrainNews {
  readonly model: string;
  readonly policy: string;
  readonly dedupKey: string;
  readonly act: 'fired' | 'added';
  readonly id: string;
  readonly actor: string;
  readonly reasons: readonly string[];
  readonly signals: RetrainSignals;
  readonly facts: RetrainFacts;
  readonly isDryRun: boolean;
}

export interface RetrainClosing {
  readonly model: string;
  readonly request: OpenRequest;
  readonly actor: string;
  readonly reason: string;
}

export interface RetrainingOptions {
  /** By model. */
  readonly policies: Readonly<Record<string, RetrainPolicy>>;
  readonly states: RetrainStates;
  readonly save: (states: RetrainStates) => Promise<void>;
  readonly tell: (news: RetrainNews) => Promise<void>;
  readonly closed: (closing: RetrainClosing) => Promise<void>;
  readonly epochNow: () => number;
  /** Of a new request. */
  readonly id: () => string;
}

const system = 'system:triggers';
const byHand = 'manual';
const openMsMax = 14 * 86_400_000;

export class Retraining {
  readonly #options: RetrainingOptions;
  #states: RetrainStates;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: RetrainingOptions, states: RetrainStates) {
    this.#options = options;
    this.#states = states;
  }

  /** Times of cron signs count from the first start with the policy. */
  static async open(options: RetrainingOptions): Promise<Retraining> {
    const { policies, states, epochNow, save } = options;
    const fresh = Object.keys(policies).filter((model) => !Object.hasOwn(states, model));
    const all = { ...states, ...Object.fromEntries(fresh.map((model) => [model, freshRetrain(epochNow())])) };
    if (fresh.length > 0) await save(all);
    return new Retraining(options, all);
  }

  get states(): RetrainStates {
    return this.#states;
  }

  /** What has been seen of a model: at the close of a window, or when its quality was looked at. */
  look(model: string, signals: RetrainSignals, facts: RetrainFacts = {}): Promise<void> {
    return this.#inTurn(async () => {
      const policy = this.#policyOf(model);
      if (policy !== undefined) await this.#decide(model, policy, { signals, facts });
    });
  }

  /** An operator asks, whatever the policy says. @returns the trigger id */
  request(model: string, reason: string, actor: string): Promise<string> {
    return this.#inTurn(async () => {
      const { epochNow } = this.#options;
      const before = this.#stateOf(model);
      const reasons = [reason === '' ? 'operator' : `operator: ${reason}`];
      const news = { model, policy: this.#policyOf(model)?.name ?? byHand, actor, reasons, signals: {}, facts: {} };
      if (before.open !== null) {
        const request = {
          ...before.open,
          reasons: [...new Set([...before.open.reasons, ...reasons])],
          firings: before.open.firings + 1,
        };
        await this.#tell({ ...news, act: 'added', id: request.id, isDryRun: false });
        await this.#put(model, { ...before, open: request });
        return request.id;
      }
      const id = this.#options.id();
      await this.#tell({ ...news, act: 'fired', id, isDryRun: false });
      const atMs = epochNow();
      const open = { id, openedMs: atMs, reasons, firings: 1 };
      await this.#put(model, { ...before, firedMs: [...before.firedMs, atMs], open });
      return id;
    });
  }

  /** A version has come that names the request it answers. @returns whether it was the open one */
  registered(model: string, version: string, triggerId: string): Promise<boolean> {
    return this.#inTurn(async () => {
      if (this.#states[model]?.open?.id !== triggerId) return false;
      return this.#close(model, system, `version ${version} answers it`);
    });
  }

  /** @returns whether there was an open request */
  close(model: string, actor: string, reason: string): Promise<boolean> {
    return this.#inTurn(() => this.#close(model, actor, reason));
  }

  /** When the next cron time or the end of an open request is. */
  nextMs(): number | undefined {
    const times = Object.entries(this.#states).flatMap(([model, state]) => {
      const policy = this.#policyOf(model);
      const cronMs = policy === undefined ? undefined : nextLookMs(policy, state);
      return [cronMs ?? [], state.open === null ? [] : state.open.openedMs + openMsMax].flat();
    });
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** It is some model's time. */
  onTime(): Promise<void> {
    return this.#inTurn(async () => {
      const nowMs = this.#options.epochNow();
      for (const [model, state] of Object.entries(this.#states)) {
        if (isExpired(state, nowMs)) await this.#close(model, system, 'nothing came of it in 14 days');
        const policy = this.#policyOf(model);
        if (policy !== undefined) await this.#decide(model, policy, { signals: {}, facts: {} });
      }
    });
  }

  async #decide(
    model: string,
    policy: RetrainPolicy,
    { signals, facts }: { readonly signals: RetrainSignals; readonly facts: RetrainFacts },
  ): Promise<void> {
    const { epochNow, id } = this.#options;
    const before = this.#stateOf(model);
    const look = { nowMs: epochNow(), id: id(), signals };
    const { act, reasons, next }: RetrainDecision = decideRetrain(policy, look, before);
    if (act === 'fired' || act === 'added') {
      const { name, isDryRun } = policy;
      const triggerId = next.open?.id ?? look.id;
      await this.#tell({ model, policy: name, act, id: triggerId, actor: system, reasons, signals, facts, isDryRun });
    }
    await this.#put(model, next);
  }

  #tell(news: Omit<RetrainNews, 'dedupKey'>): Promise<void> {
    return this.#options.tell({ ...news, dedupKey: `${news.model}/${news.policy}` });
  }

  async #close(model: string, actor: string, reason: string): Promise<boolean> {
    const state = this.#states[model];
    if (state === undefined || state.open === null) return false;
    await this.#options.closed({ model, request: state.open, actor, reason });
    // What was seen up to here has been answered: only what is seen from now on asks again.
    await this.#put(model, { ...state, held: {}, open: null });
    return true;
  }

  async #put(model: string, state: RetrainState): Promise<void> {
    if (JSON.stringify(state) === JSON.stringify(this.#states[model])) return;
    const states = { ...this.#states, [model]: state };
    await this.#options.save(states);
    this.#states = states;
  }

  #policyOf(model: string): RetrainPolicy | undefined {
    const { policies } = this.#options;
    return ownOf(policies, model);
  }

  #stateOf(model: string): RetrainState {
    return Object.hasOwn(this.#states, model) ? this.#states[model]! : freshRetrain(this.#options.epochNow());
  }

  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}
