/**
 * What an operator decides about versions, and what is decided in an operator's place: moved labels, a way back, pins,
 * quarantine and its end.
 *
 * A decision is one change of what answers. When that cannot be written down, it was never made.
 *
 * Must not know who decides, or what the sources offer besides.
 */
import { GatewayError } from '../core/errors.js';
import { nameOf, type VersionId } from '../core/model.js';
import type { Answers } from './answers.js';
import type { Loading } from './loading.js';
import type { Records } from './records.js';
import type { RegistryOptions } from './registry-options.js';
import type { Retirement } from './retirement.js';
import type { Turns } from './turns.js';
import {
  isServed,
  labelsOf,
  type ModelRecord,
  type OperatorChoice,
  type VersionRecord,
  withoutHold,
} from './versions.js';

export interface DecisionParts {
  readonly options: Pick<RegistryOptions, 'policy' | 'look' | 'breaches' | 'isBreakingAllowed' | 'withheld' | 'report'>;
  readonly records: Records;
  readonly turns: Turns;
  readonly loading: Loading;
  readonly answers: Answers;
  readonly retirement: Retirement;
  /** Has what the sources offer of a model taken up again. */
  readonly reconcile: (model: string) => Promise<void>;
}

export class Decisions {
  readonly #parts: DecisionParts;

  constructor(parts: DecisionParts) {
    this.#parts = parts;
  }

  /**
   * Moves a label, `champion` being the version that answers callers who name none.
   * @param how.prepare loads the version first when it is not ready
   * @param how.allowBreaking although its inputs or outputs differ from those that it replaces
   * @param how.requester who asks for it, and so may not be the one who agrees
   * @throws NOT_FOUND, FAILED_PRECONDITION
   */
  promote(
    { model: name, version }: VersionId,
    label: string,
    how: { readonly prepare: boolean; readonly allowBreaking: boolean; readonly requester?: string },
  ): Promise<void> {
    return this.#inTurn(name, async (model) => {
      const record = await this.#ready(model, version, how.prepare);
      if (label === 'champion') this.#checkObjections(model, record, how);
      const before = model.choice;
      const rest = label === 'champion' ? withoutHold(before) : before;
      model.choice = { ...rest, aliases: { ...before.aliases, [label]: version } };
      await this.#decided(model, before, `promote ${label}`, 'all');
    });
  }

  /** @throws FAILED_PRECONDITION with all that is to be said against it */
  #checkObjections(
    { champion, previous, versions }: ModelRecord,
    { id, spec }: VersionRecord,
    { allowBreaking, requester }: { readonly allowBreaking: boolean; readonly requester?: string },
  ): void {
    const { breaches, isBreakingAllowed, withheld } = this.#parts.options;
    const { version } = id;
    if (version === champion) return;
    const old = versions.get(champion ?? '')?.spec;
    const broken = old === undefined || spec === undefined ? [] : breaches(old, spec);
    const isAllowed = allowBreaking || isBreakingAllowed(id.model);
    const objections = isAllowed ? [] : [...broken];
    if (version !== previous) {
      objections.push(withheld(id, spec, requester, 'champion'));
      if (broken.length > 0 && isAllowed) objections.push(withheld(id, spec, requester, 'breaking'));
    }
    const said = objections.filter((objection) => objection !== '');
    if (said.length === 0) return;
    const place = old === undefined ? 'answer by default' : `take the place of ${old.id.version}`;
    throw new GatewayError('FAILED_PRECONDITION', `version ${version} must not ${place}: ${said.join('; ')}`);
  }

  /** What an operator decided is forgotten: the source and its newest versions decide again. */
  async release(name: string, label: string): Promise<void> {
    await this.#inTurn(name, async (model) => {
      const before = model.choice;
      const { [label]: _, ...aliases } = before.aliases;
      const choice = { ...before, aliases };
      model.choice = label === 'champion' ? withoutHold(choice) : choice;
      await this.#decided(model, before, `release ${label}`, label === 'champion' ? 'contract' : 'nothing');
    });
    await this.#parts.reconcile(name);
  }

  /**
   * The version that answered before answers again, and what is rolled back from is not published by itself.
   * @param from only when this one answers still
   * @returns the version that answers now
   * @throws FAILED_PRECONDITION when there is none before
   */
  rollback(name: string, reason: string, from?: string): Promise<string> {
    return this.#inTurn(name, async (model) => {
      const { champion, previous } = model;
      if (from !== undefined && from !== champion)
        throw new GatewayError('FAILED_PRECONDITION', `version ${from} of model '${name}' no longer answers`);
      if (champion === undefined || previous === undefined)
        throw new GatewayError(
          'FAILED_PRECONDITION',
          `model '${name}' has no version before ${champion ?? 'this one'}`,
        );
      await this.#ready(model, previous, true);
      const before = model.choice;
      const { champion: _, ...aliases } = before.aliases;
      const { revision, next } = model.versions.get(champion)!;
      // Content that waits is not what is rolled back from.
      const held = next === undefined ? revision : '';
      model.choice = { ...before, aliases, hold: { version: champion, revision: held, to: previous } };
      await this.#decided(model, before, reason);
      return previous;
    });
  }

  /** A pinned version stays open and in the store. */
  pin({ model: name, version }: VersionId, isPinned: boolean): Promise<void> {
    return this.#inTurn(name, async (model) => {
      if (isPinned) await this.#ready(model, version, true);
      const before = model.choice;
      const pins = before.pins.filter((pin) => pin !== version);
      model.choice = { ...before, pins: isPinned ? [...pins, version] : pins };
      await this.#decided(model, before, isPinned ? 'pin' : 'unpin', 'nothing');
    });
  }

  /** Takes a version out at once; the one before takes its place. */
  quarantine(id: VersionId, reason: string): Promise<void> {
    const { loading, answers, options } = this.#parts;
    return this.#inTurn(id.model, async (model) => {
      const record = model.versions.get(id.version);
      if (record === undefined || record.state === 'quarantined') return;
      loading.change(record, 'quarantined', reason);
      const { champion, previous } = model;
      if (champion === id.version && previous !== undefined)
        await this.#ready(model, previous, true).catch((error: unknown) =>
          options.report(`open ${nameOf({ model: id.model, version: previous })} in place of ${id.version}`, error),
        );
      answers.choose(model);
      await answers.publish(`quarantine: ${reason}`);
      await loading.close(record);
    });
  }

  /** A version that may be tried again. */
  async forgive({ model: name, version }: VersionId): Promise<void> {
    const { loading, options } = this.#parts;
    await this.#inTurn(name, async (model) => {
      const record = model.versions.get(version);
      if (record === undefined || isServed(record)) return;
      record.triedRevision = undefined;
      record.tries = 0;
      loading.change(record, options.policy === 'lazy' ? 'lazy' : 'known');
    });
    await this.#parts.reconcile(name);
  }

  /** @throws NOT_FOUND for an unknown model */
  #inTurn<Result>(name: string, decide: (model: ModelRecord) => Promise<Result>): Promise<Result> {
    const { turns, records } = this.#parts;
    return turns.take(name, async () => decide(records.modelOf(name)));
  }

  async #ready(model: ModelRecord, version: string, prepare: boolean): Promise<VersionRecord> {
    const { options, records, loading } = this.#parts;
    let record = model.versions.get(version);
    if (record === undefined && prepare) {
      const offered = (await options.look(model.name))?.known.find((one) => one.version === version);
      if (offered !== undefined) record = records.note(model, offered);
      // What answered before is in the store, whatever its source has done since.
      else if (version === model.previous) record = records.unlisted(model, version);
    }
    if (record === undefined)
      throw new GatewayError(
        'NOT_FOUND',
        `model '${model.name}' has no version ${version}, or nobody has asked for it`,
      );
    if (model.isUnloaded)
      throw new GatewayError('FAILED_PRECONDITION', `model '${model.name}' was unloaded: load it first`);
    if (record.state === 'quarantined')
      throw new GatewayError('FAILED_PRECONDITION', `version ${version} is quarantined: ${record.reason}`);
    if (isServed(record)) return record;
    if (!prepare)
      throw new GatewayError(
        'FAILED_PRECONDITION',
        `version ${version} of model '${model.name}' is ${record.state}, not ready: ask for it to be prepared`,
      );
    await loading.load(record);
    return record;
  }

  /** @param decided what needs not be looked at again: nothing, what differs in inputs and outputs, or all that could be objected */
  async #decided(
    model: ModelRecord,
    before: OperatorChoice,
    reason: string,
    decided: 'nothing' | 'contract' | 'all' = 'contract',
  ): Promise<void> {
    const { answers, retirement } = this.#parts;
    try {
      answers.choose(model, decided);
      await answers.publish(reason);
    } catch (error) {
      model.choice = before;
      model.labels = labelsOf(model);
      throw error;
    }
    await answers.remember();
    retirement.plan(model);
  }
}
