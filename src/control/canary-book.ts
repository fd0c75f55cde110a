/**
 * PART OF THE ROOT: canaries as they are written down: how each stands, on the disk, and what became of it, in the audit log.
 *
 * Must not know when one moves, or who says so.
 */
import type { AuditAction } from '../audit/actions.js';
import type { JsonObject } from '../audit/canonical.js';
import { configHash, withDecimalsAsText } from '../audit/config-hash.js';
import type { AuditLog } from '../audit/log.js';
import type { Config } from '../config/schema.js';
import { nameOf } from '../core/model.js';
import type { CanaryDecision } from '../monitor/canary.js';
import { freshPhase, percentOf, startedCanary } from '../monitor/canary-state.js';
import { StateDocument, type StateFolder } from '../registry/store/state.js';
import { type CanaryRun, canaryRuns, isUnderWay, policyOf, restarted, type WantedCanary } from './canary-run.js';
import type { Act } from './route-changes.js';

type Runs = Readonly<Record<string, CanaryRun>>;

export interface CanaryBookOptions {
  readonly state: StateFolder;
  readonly audit: AuditLog;
  /** Milliseconds since the epoch that never go back. */
  readonly now: () => number;
  /** As written, without what canaries make of them. */
  readonly routes: () => Config['routes'];
}

/** The last look at a canary, for people. */
export interface CanaryLook extends CanaryDecision {
  readonly atMs: number;
}

/** Who acts when no person does. */
export const byItself: Act = { actor: 'system:canary', reason: '' };

export class CanaryBook {
  readonly #options: CanaryBookOptions;
  readonly #document: StateDocument<Runs>;
  readonly #looks = new Map<string, CanaryLook>();
  readonly #waits = new Map<string, string>();

  private constructor(options: CanaryBookOptions, document: StateDocument<Runs>) {
    this.#options = options;
    this.#document = document;
  }

  /** Those on their way go on at the step where they were, which is counted anew: the counts are gone. */
  static async open(options: CanaryBookOptions): Promise<CanaryBook> {
    const document = await StateDocument.open<Runs>(options.state, 'canaries', canaryRuns, {});
    const book = new CanaryBook(options, document);
    for (const [model, run] of book.runs()) {
      if (!isUnderWay(run)) continue;
      const next = restarted(run, options.now());
      await book.enter(model, next, { action: 'canary.resumed', act: { ...byItself, reason: 'restart' } });
      await book.put(model, next);
    }
    return book;
  }

  runs(): [string, CanaryRun][] {
    return Object.entries(this.#document.value);
  }

  runOf(model: string): CanaryRun | undefined {
    return Object.hasOwn(this.#document.value, model) ? this.#document.value[model] : undefined;
  }

  lookOf(model: string): CanaryLook | undefined {
    return this.#looks.get(model);
  }

  note(model: string, look: CanaryLook): void {
    this.#looks.set(model, look);
  }

  /** @param reason why the canary of a model does not begin although its version is ready; empty = it does */
  wait(model: string, reason: string): void {
    if (reason === '') this.#waits.delete(model);
    else this.#waits.set(model, reason);
  }

  waitOf(model: string): string {
    return this.#waits.get(model) ?? '';
  }

  async begin(model: string, { section, candidate }: WantedCanary, phase: number, act: Act): Promise<void> {
    const state = startedCanary({ nowMs: this.#options.now(), slowMs: null, phase });
    const run = { section, candidate: candidate!, isReleased: false, state };
    this.#looks.delete(model);
    await this.enter(model, run, { action: 'canary.started', act });
    await this.put(model, run);
  }

  /** A phase has the number that the table gives it: whatever began a new one, its counts are new. */
  setPhase(model: string, phase: number): Promise<void> {
    const at = this.#options.now();
    return this.#change(model, (run) =>
      run.state.phase === phase ? run : { ...run, state: { ...run.state, ...freshPhase(phase, at) } },
    );
  }

  /** Above it a request counts as slow, from now to the end of the canary. */
  setSlow(model: string, slowMs: number): Promise<void> {
    return this.#change(model, (run) => ({ ...run, state: { ...run.state, slowMs } }));
  }

  /** What a look has learnt, unless a new phase has begun meanwhile. */
  learn(model: string, { state }: CanaryDecision): Promise<void> {
    return this.#change(model, (run) => (run.state.phase === state.phase ? { ...run, state } : run));
  }

  put(model: string, run: CanaryRun): Promise<void> {
    return this.#document.change((all) => ({ ...all, [model]: run }));
  }

  #change(model: string, next: (run: CanaryRun) => CanaryRun): Promise<void> {
    return this.#document.change((all) => {
      if (!Object.hasOwn(all, model)) return all;
      const run = all[model]!;
      const changed = next(run);
      return changed === run ? all : { ...all, [model]: changed };
    });
  }

  async drop(model: string): Promise<void> {
    if (this.runOf(model) === undefined) return;
    this.#looks.delete(model);
    await this.#document.change((all) => {
      const { [model]: _, ...others } = all;
      return others;
    });
  }

  /** An entry in the audit log, with every number that the last look saw. @throws when it cannot be written */
  enter(model: string, run: CanaryRun, { action, act }: { action: AuditAction; act: Act }): Promise<unknown> {
    const route = this.#options.routes()[model];
    const look = this.lookOf(model);
    const { status, step, slowMs } = run.state;
    const detail = {
      route: model,
      reason: act.reason.slice(0, 1000),
      status,
      step,
      percent: route?.canary === undefined ? null : percentOf(run.state, policyOf(route)!),
      slow_ms: slowMs,
      config_hash: configHash(route ?? null),
      window: look === undefined ? null : windowOf(look),
      numbers: look?.numbers ?? null,
    };
    const plain = withDecimalsAsText(detail) as JsonObject;
    return this.#options.audit.append(action, nameOf(run.candidate), plain, act.actor);
  }
}

/** From when on that was counted which a look saw. */
function windowOf({ atMs, numbers }: CanaryLook): { readonly from: string; readonly to: string } {
  const time = (ms: number) => new Date(ms).toISOString();
  return { from: time(atMs - 1000 * numbers.elapsed_s), to: time(atMs) };
}
