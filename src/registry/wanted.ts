/**
 * What is wanted and not there, or there in another revision: brought, and tried again when it may come later.
 *
 * Must not know what becomes of a version that was brought.
 */
import type { GatewayError } from '../core/errors.js';
import { nameOf } from '../core/model.js';
import type { Loading } from './loading.js';
import type { NewerContent } from './newer-content.js';
import type { Records } from './records.js';
import type { RegistryOptions } from './registry-options.js';
import { isNeeded, type ModelRecord, sorted, type VersionRecord } from './versions.js';

type WantedOptions = Pick<RegistryOptions, 'policy' | 'look' | 'report' | 'retriesMax' | 'retryMs'>;

interface WantedParts {
  readonly records: Records;
  readonly loading: Loading;
  readonly newer: NewerContent;
  /** Has the model looked at again, later. */
  readonly again: (what: string, model: string, delayMs: number) => void;
}

/** The longest pause between two tries of a load that fails for a reason that may pass. */
const retryMsMax = 60_000;
/** An alias that moves faster than versions can be brought is not followed for ever before something answers. */
const aliasRoundsMax = 5;

export class Wanted {
  readonly #options: WantedOptions;
  readonly #parts: WantedParts;

  constructor(options: WantedOptions, parts: WantedParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** An alias may have moved while a version was brought: it is asked again before what it named answers. */
  async bringNamed(model: ModelRecord): Promise<void> {
    for (let round = 1; (await this.bring(model)) && round < aliasRoundsMax; round++) {
      const { champion } = model.aliases;
      const offered = champion === undefined ? undefined : await this.#options.look(model.name);
      if (offered === undefined || offered.aliases.champion === champion) return;
      this.#parts.records.take(offered);
    }
  }

  /** Loads what is wanted and not there, or there in another revision. @returns whether there was any */
  async bring(model: ModelRecord): Promise<boolean> {
    let isAny = false;
    for (const record of sorted(model.versions.values())) {
      if (!this.#isToBring(model, record)) continue;
      isAny = true;
      const isReload = record.isOpen;
      await this.#parts.loading.reload(record).catch((error: GatewayError) => {
        // A load that fails is a change of state, which is told; a version that goes on as it was changes none.
        if (isReload) this.#options.report(`take up newer content of ${nameOf(record.id)}`, error);
        if (error.code !== 'FAILED_PRECONDITION') this.#retryLater(record);
      });
    }
    return isAny;
  }

  #isToBring(model: ModelRecord, record: VersionRecord): boolean {
    if (!record.isOpen && this.#options.policy === 'lazy') return false;
    if (!isNeeded(model, record) || record.waiting !== undefined) return false;
    if (!record.isListed && record.triedRevision !== undefined) return false;
    if (record.triedRevision !== record.revision) return true;
    if (record.next !== undefined && this.#parts.newer.objection(record, record.next) === '') return true;
    return !record.isOpen && record.state !== 'refused' && record.state !== 'quarantined';
  }

  /** What failed for a reason that may pass is tried again by itself: a few times soon, then now and again. */
  #retryLater(record: VersionRecord): void {
    const { retriesMax, retryMs } = this.#options;
    if (retriesMax === 0) return;
    const delayMs = record.tries > retriesMax ? retryMsMax : Math.min(retryMsMax, retryMs * 2 ** (record.tries - 1));
    this.#parts.again(`retry ${nameOf(record.id)}`, record.id.model, delayMs);
  }
}
