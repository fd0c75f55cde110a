/**
 * A version on its way into the processes and out of them, with the state that it has meanwhile.
 *
 *   known ─▶ pulling ─▶ admitting ─▶ opening ─▶ ready          refused = its content was wrong     failed = it may pass
 *
 * Newer content that must be agreed to is admitted and then waits, while the content before is open or is opened.
 *
 * Must not know which version answers, or when one is loaded.
 */
import { GatewayError } from '../core/errors.js';
import type { VersionSpec } from '../core/model.js';
import { AdmissionRefusal } from './admission-refusal.js';
import type { NewerContent } from './newer-content.js';
import type { Bringing, RegistryOptions } from './registry-options.js';
import type { RegistryState, VersionRecord } from './versions.js';

type LoadingOptions = Pick<RegistryOptions, 'admit' | 'open' | 'forgo' | 'drain' | 'observe' | 'now'>;

/** What may be opened of a version. */
interface Allowed {
  /** Undefined = nothing: what is open stays so. */
  readonly spec: VersionSpec | undefined;
  /** Why it is not the newest; empty = it is. */
  readonly waits: string;
}

export class Loading {
  readonly #options: LoadingOptions;
  readonly #newer: NewerContent;

  constructor(options: LoadingOptions, newer: NewerContent) {
    this.#options = options;
    this.#newer = newer;
  }

  change(record: VersionRecord, to: RegistryState, reason = ''): void {
    const { id, state: from, changedAt } = record;
    const at = this.#options.now();
    record.state = to;
    record.reason = reason;
    record.changedAt = at;
    this.#options.observe({ id, from, to, reason, tookMs: at - changedAt });
  }

  /** Admits and opens a version. What it replaces is not touched. @throws the reason, which is also kept */
  async load(record: VersionRecord, config?: string): Promise<void> {
    this.change(record, 'pulling');
    const onStored = () => this.change(record, 'admitting');
    const waits = await this.#bring(record, { config, onStored }, () => this.change(record, 'opening'));
    this.change(record, 'ready', waits);
  }

  /** The same without a change of state: a table published meanwhile for another model must not turn its callers away. */
  async loadUnseen(record: VersionRecord): Promise<void> {
    const didWait = record.next !== undefined;
    const waits = await this.#bring(record, { config: undefined, onStored: () => {} }, () => {});
    if (didWait || waits !== '') record.reason = waits;
  }

  /** @returns why it is not the newest content; empty = it is */
  async #bring(record: VersionRecord, how: Bringing, onAdmitted: () => void): Promise<string> {
    const { id } = record;
    record.triedRevision = record.revision;
    record.tries++;
    record.refusal = undefined;
    try {
      const { spec, waits } = await this.#allowed(record, how, true);
      if (spec === undefined) throw new GatewayError('FAILED_PRECONDITION', waits);
      onAdmitted();
      await this.#open(record, { spec, waits });
      return waits;
    } catch (thrown) {
      const error = GatewayError.from(thrown);
      if (error instanceof AdmissionRefusal) record.refusal = error.kind;
      this.change(record, error.code === 'FAILED_PRECONDITION' ? 'refused' : 'failed', error.message);
      const text = `load failed for model '${id.model}': version ${id.version}: ${error.message}`;
      throw new GatewayError(error.code, text, { cause: error });
    }
  }

  /** What came, or while that waits for people, what they agreed to before. */
  async #allowed(record: VersionRecord, how: Bringing, isToBeOpened: boolean): Promise<Allowed> {
    const { admit, forgo } = this.#options;
    const next = await admit(record.id, how).catch((error: unknown) => {
      if (GatewayError.from(error).code === 'FAILED_PRECONDITION') record.next = undefined;
      throw error;
    });
    const objection = this.#newer.objection(record, next);
    if (objection === '') return { spec: next, waits: '' };
    record.next = next;
    forgo(record.id);
    const content = next.artifact?.sha256.slice(0, 12) ?? 'of no digest';
    const waits = `newer content (${content}) is not opened: ${objection}`;
    const sha256 = isToBeOpened ? this.#newer.agreedOf(record) : undefined;
    const before = { ...how, sha256, onStored: () => {} };
    const spec = sha256 === undefined ? undefined : await admit(record.id, before).catch(gone);
    return { spec, waits: spec === undefined && !record.isOpen ? waits : `goes on as it is, ${waits}` };
  }

  async #open(record: VersionRecord, { spec, waits }: Allowed): Promise<void> {
    if (spec !== undefined) {
      await this.#options.open(spec);
      record.spec = spec;
      record.isOpen = true;
    }
    if (waits === '') record.next = undefined;
    record.tries = 0;
  }

  /** A version that serves goes on serving until the new opening has succeeded; the processes replace one by the other. */
  reload(record: VersionRecord, config?: string): Promise<void> {
    return record.isOpen ? this.#again(record, config, false) : this.load(record, config);
  }

  /** The same of one that is open under other options, which are for the content before when the newest waits. */
  reopen(record: VersionRecord): Promise<void> {
    return this.#again(record, undefined, true);
  }

  async #again(record: VersionRecord, config: string | undefined, isToBeOpened: boolean): Promise<void> {
    const before = record.triedRevision;
    const isExact = record.isListed && (record.revision !== before || record.next !== undefined);
    record.triedRevision = record.revision;
    record.tries++;
    try {
      const allowed = await this.#allowed(record, { config, isExact, onStored: () => {} }, isToBeOpened);
      await this.#open(record, allowed);
      record.reason = allowed.waits;
    } catch (thrown) {
      const error = GatewayError.from(thrown);
      const isFinal = error.code === 'FAILED_PRECONDITION';
      if (!isFinal) record.triedRevision = before;
      record.reason = `goes on as it is, the newer content ${isFinal ? 'was refused' : 'could not be had'}: ${error.message}`;
      throw error;
    }
  }

  async close(record: VersionRecord): Promise<void> {
    if (!record.isOpen) return;
    record.isOpen = false;
    await this.#options.drain(record.id);
  }
}

/** What must not or cannot be opened again leaves nothing to go on with. @throws what may pass */
function gone(thrown: unknown): undefined {
  const { code } = GatewayError.from(thrown);
  if (thrown instanceof AdmissionRefusal || (code !== 'NOT_FOUND' && code !== 'FAILED_PRECONDITION')) throw thrown;
}
