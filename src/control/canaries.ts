/**
 * PART OF THE ROOT: canaries on their way: begun with their route, looked at once an interval, moved, and taken back.
 *
 *   counts of the phase ─ evaluate ─▶ decision ─▶ audit log ─▶ state on disk ─▶ one new table
 *   blamed by the supervisor ─────────▲
 *
 * A change is in the audit log and on the disk before any process answers by it. One that cannot be written down is not made,
 * and the next look decides again.
 *
 * Must not know any rule of when to move: `monitor/canary.ts` does.
 */
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import { nameOf, type VersionId } from '../core/model.js';
import { ownOf } from '../core/own.js';
import type { Route } from '../core/route.js';
import type { Log } from '../log.js';
import { evaluate } from '../monitor/canary.js';
import type { CanaryState } from '../monitor/canary-state.js';
import type { CanaryPolicy } from '../monitor/policy.js';
import type { ArmsSeen } from './arms-seen.js';
import { byItself, type CanaryBook } from './canary-book.js';
import { type Evidence, evidenceOf } from './canary-evidence.js';
import { isResumed, type Move, moveNames, moveTo } from './canary-moves.js';
import { type CanaryRun, isUnderWay, policyOf, type WantedCanary, wantedCanary } from './canary-run.js';
import type { EstimateOf } from './estimated-arm.js';
import type { Act, RouteChanges } from './route-changes.js';
import { type ShareRules, shareRefusal } from './route-stages.js';

export interface CanariesOptions {
  readonly book: CanaryBook;
  readonly changes: Pick<RouteChanges, 'actOf'>;
  readonly shares: ShareRules;
  readonly log: Log;
  readonly seen: ArmsSeen;
  /** Milliseconds since the epoch that never go back. */
  readonly now: () => number;
  /** As written, without what canaries make of them. */
  readonly routes: () => Config['routes'];
  /** Has the processes answer by the weights as they are now. */
  readonly publish: (reason: string) => Promise<void>;
  /** Has a version answer by default. @throws why it may not */
  readonly promote: (id: VersionId) => Promise<void>;
  readonly onRollback: () => void;
  readonly estimateOf: EstimateOf;
}

export class Canaries {
  readonly #options: CanariesOptions;
  readonly #nextAt = new Map<string, number>();
  /** Candidates that brought a process down, as long as nothing has come of it. */
  readonly #blamed = new Map<string, 'crashed' | 'hung'>();
  /** What the sources and the registry say of models, as of the last table. */
  #known: Readonly<Record<string, Route>> = {};
  #isUnwritten = false;
  /** What was decided last is not in force yet. */
  #isStale = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: CanariesOptions) {
    this.#options = options;
  }

  /**
   * Before a table is made: begins a canary whose version is there and may be shared with, and forgets those that routes do not have any more.
   * @param lastPhase of a model's experiment so far
   */
  async settle(known: Readonly<Record<string, Route>>, lastPhase: (model: string) => number): Promise<void> {
    const { book, changes, shares, log } = this.#options;
    this.#known = known;
    this.#isUnwritten = false;
    const routes = this.#options.routes();
    for (const [model] of book.runs()) if (routes[model]?.canary === undefined) await book.drop(model);
    for (const [model, route] of Object.entries(routes)) {
      book.wait(model, '');
      const wanted = Object.hasOwn(known, model) ? wantedCanary(model, route, known) : undefined;
      // A version that is not known at this moment, as during a start, says nothing about the canary.
      if (wanted?.candidate === undefined || book.runOf(model)?.section === wanted.section) continue;
      await book.drop(model);
      if (!this.#isReady(wanted.candidate)) continue;
      const { actor, reason } = changes.actOf(model);
      book.wait(model, shares.withheld(wanted.candidate, actor));
      if (book.waitOf(model) !== '') continue;
      const act = { ...byItself, reason: `on the route of ${actor}${reason === '' ? '' : `: ${reason}`}` };
      // A canary that cannot begin waits for the next table; this one goes out without it.
      await this.#begin(model, wanted, lastPhase(model) + 1, act).then(
        () => log.info('canary.started', { route: model, candidate: nameOf(wanted.candidate!) }),
        (error: Error) => {
          this.#isUnwritten = true;
          log.error('canary.stuck', { route: model, action: 'start', error: error.message });
        },
      );
    }
  }

  /** The start of one could not be written down: only another table helps. */
  get isUnwritten(): boolean {
    return this.#isUnwritten;
  }

  async #begin(model: string, wanted: WantedCanary, phase: number, act: Act): Promise<void> {
    await this.#options.book.begin(model, wanted, phase, act);
    // Afterwards: approvals that are used up for what did not begin would have to be given again.
    await this.#options.shares.used(wanted.candidate!);
  }

  #isReady({ model, version }: VersionId): boolean {
    const versions = Object.hasOwn(this.#known, model) ? this.#known[model]!.versions : [];
    const state = versions.find((entry) => entry.version === version)?.state;
    return state === 'ready' || state === 'lazy';
  }

  /** Whether any canary is due for a look. */
  isDue(): boolean {
    const at = this.#options.now();
    return this.#isStale || this.#underWay().some(([model, run]) => at >= this.#dueAt(model, run));
  }

  /** Looks at those that are due; the counts of all processes have just come. */
  look(): Promise<void> {
    return this.#serial(async () => {
      if (this.#isStale) await this.#publish('again');
      const at = this.#options.now();
      const due = this.#underWay().filter(([model, run]) => at >= this.#dueAt(model, run));
      for (const [model] of due) {
        this.#nextAt.set(model, at + this.#policyOf(model).intervalS * 1000);
        await this.#judge(model);
      }
    });
  }

  /** A candidate brought a process down: no statistics, no interval to wait for. */
  blame(id: VersionId, reason: 'crashed' | 'hung'): Promise<void> {
    return this.#serial(async () => {
      for (const [model, run] of this.#underWay()) {
        if (nameOf(run.candidate) !== nameOf(id)) continue;
        this.#blamed.set(model, reason);
        await this.#judge(model);
      }
    });
  }

  #underWay(): [string, CanaryRun][] {
    const routes = this.#options.routes();
    return this.#options.book.runs().filter(([model, run]) => isUnderWay(run) && routes[model]?.canary !== undefined);
  }

  #dueAt(model: string, { state }: CanaryRun): number {
    const firstAt = state.stepStartedAtMs + this.#policyOf(model).intervalS * 1000;
    return Math.max(firstAt, this.#nextAt.get(model) ?? 0);
  }

  #policyOf(model: string): CanaryPolicy {
    return policyOf(this.#options.routes()[model]!)!;
  }

  async #judge(model: string): Promise<void> {
    const { book, now, log, onRollback } = this.#options;
    const run = book.runOf(model);
    const evidence = run && this.#evidence(model, run);
    if (run === undefined || evidence === undefined) return;
    const at = now();
    const blamed = this.#blamed.get(model) ?? null;
    const decision = evaluate(run.state, { ...evidence, blamed }, at, this.#policyOf(model));
    book.note(model, { ...decision, atMs: at });
    const { action, state, reasons } = decision;
    try {
      if (action === 'none') return await book.learn(model, decision);
      await this.#move(model, run, { action, state, act: { ...byItself, reason: reasons.join('; ') } });
      if (action === 'rollback') onRollback();
    } catch (error) {
      log.error('canary.stuck', { route: model, action, error: (error as Error).message });
    }
  }

  #evidence(model: string, run: CanaryRun): Evidence | undefined {
    const { routes, seen, estimateOf } = this.#options;
    return evidenceOf(model, run, { route: routes()[model]!, known: this.#known, seen, estimateOf });
  }

  /** One change: written down, kept, and in force when this resolves. */
  async #move(
    model: string,
    run: CanaryRun,
    { action, state, act }: { action: Move; state: CanaryState; act: Act },
  ): Promise<void> {
    const { book, log, promote } = this.#options;
    if (action === 'promote' && run.candidate.model === model) {
      const refused = await promote(run.candidate).then(
        () => undefined,
        (error: unknown) => GatewayError.from(error).message,
      );
      if (refused !== undefined) return this.#holdInstead(model, run, `it cannot be promoted: ${refused}`);
    }
    const next = { ...run, state };
    await book.enter(model, next, { action: moveNames[action], act });
    // Another candidate has taken its place meanwhile.
    if (book.runOf(model)?.section !== run.section) return;
    await book.put(model, next);
    this.#blamed.delete(model);
    const fields = { route: model, candidate: nameOf(run.candidate), reason: act.reason };
    if (action === 'rollback' || action === 'hold') log.warn(moveNames[action], fields);
    else log.info(moveNames[action], fields);
    await this.#publish(moveNames[action]);
  }

  async #holdInstead(model: string, run: CanaryRun, reason: string): Promise<void> {
    if (run.state.status === 'held') throw refusal(reason);
    const state: CanaryState = { ...run.state, status: 'held', reason: reason.slice(0, 1000) };
    await this.#move(model, run, { action: 'hold', state, act: { ...byItself, reason } });
  }

  async #publish(reason: string): Promise<void> {
    this.#isStale = true;
    await this.#options.publish(reason);
    this.#isStale = false;
  }

  /** An operator begins one anew. @throws FAILED_PRECONDITION */
  start(model: string, phase: number, act: Act): Promise<void> {
    return this.#serial(async () => {
      this.#checkHas(model);
      const { book, routes } = this.#options;
      const run = book.runOf(model);
      if (run !== undefined && isUnderWay(run))
        throw refusal(`the canary of '${model}' is ${run.state.status} already`);
      const wanted = wantedCanary(model, routes()[model]!, this.#known);
      if (wanted?.candidate === undefined || !this.#isReady(wanted.candidate))
        throw refusal(`the candidate of '${model}' is not ready`);
      const objection = this.#options.shares.withheld(wanted.candidate, act.actor);
      if (objection !== '') throw shareRefusal(wanted.candidate, model, objection);
      await this.#begin(model, wanted, phase, act);
      await this.#publish('canary.started');
    });
  }

  /**
   * An operator moves it.
   * @param next what becomes of its state
   * @throws FAILED_PRECONDITION when it is not on its way, or so already
   */
  steer(model: string, act: Act, next: (run: CanaryRun, evidence: Evidence) => CanaryState): Promise<void> {
    return this.#serial(async () => {
      this.#checkHas(model);
      const { book } = this.#options;
      const run = book.runOf(model);
      const evidence = run !== undefined && isUnderWay(run) ? this.#evidence(model, run) : undefined;
      if (run === undefined || evidence === undefined)
        throw refusal(`the canary of '${model}' is ${run?.state.status ?? 'waiting for its candidate'}`);
      const state = next(run, evidence);
      if (isResumed(run.state, state)) {
        await book.enter(model, { ...run, state }, { action: 'canary.resumed', act });
        await book.put(model, { ...run, state });
        return this.#publish('canary.resumed');
      }
      const action = moveTo(run.state, state);
      if (action === undefined) throw refusal(`the canary of '${model}' is ${run.state.status} already`);
      await this.#move(model, run, { action, state, act });
    });
  }

  #checkHas(model: string): void {
    const routes = this.#options.routes();
    const route = ownOf(routes, model);
    if (route?.canary !== undefined) return;
    throw refusal(`the route of '${model}' has no canary: write one under routes.${model}.canary`);
  }

  /** Weights set by hand hold from now on. @throws FAILED_PRECONDITION while a canary has them */
  async release(model: string): Promise<void> {
    const { book, routes } = this.#options;
    const run = book.runOf(model);
    if (run?.isReleased === true || routes()[model]?.canary === undefined) return;
    if (run === undefined || isUnderWay(run)) {
      const is = run?.state.status ?? 'waiting for its candidate';
      throw refusal(`the canary of '${model}' is ${is} and has the weights: roll it back first`);
    }
    await book.put(model, { ...run, isReleased: true });
  }

  #serial<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

function refusal(message: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', message);
}
