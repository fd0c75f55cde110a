/**
 * Versions that nobody needs any more: each is closed when nobody has needed it for as long as versions are kept.
 *
 * Must not know why nobody needs one.
 */
import { nameOf } from '../core/model.js';
import type { Answers } from './answers.js';
import type { Loading } from './loading.js';
import type { RegistryOptions } from './registry-options.js';
import type { Turns } from './turns.js';
import { isNeeded, type ModelRecord, type VersionRecord } from './versions.js';

export class Retirement {
  readonly #options: Pick<RegistryOptions, 'policy' | 'keepPreviousMs'>;
  readonly #turns: Turns;
  readonly #loading: Loading;
  readonly #answers: Answers;

  constructor(
    options: Pick<RegistryOptions, 'policy' | 'keepPreviousMs'>,
    { turns, loading, answers }: { readonly turns: Turns; readonly loading: Loading; readonly answers: Answers },
  ) {
    this.#options = options;
    this.#turns = turns;
    this.#loading = loading;
    this.#answers = answers;
  }

  /** Plans the closing of what is not needed, and forgets the plan for what is needed again. */
  plan(model: ModelRecord): void {
    for (const record of model.versions.values()) {
      const what = `retire ${nameOf(record.id)}`;
      if (!this.#isDue(model, record)) this.#turns.forget(what);
      else if (!this.#turns.isDue(what))
        this.#turns.later(what, model.name, this.#options.keepPreviousMs(), () => this.retire(model, record));
    }
  }

  /** Closes a version unless it is needed. */
  async retire(model: ModelRecord, record: VersionRecord): Promise<void> {
    if (!this.#isDue(model, record)) return;
    this.#loading.change(record, 'draining');
    await this.#answers.publish('retire');
    await this.#loading.close(record);
    this.#loading.change(record, 'unloaded', 'unloaded');
  }

  #isDue(model: ModelRecord, record: VersionRecord): boolean {
    return record.isOpen && this.#options.policy !== 'lazy' && !isNeeded(model, record);
  }
}
