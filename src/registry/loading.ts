/**
 * A version on its way into the processes and out of them, with the state that it has meanwhile.
 *
 *   known ─▶ pulling ─▶ admitting ─▶ opening ─▶ ready          refused = its content was wrong     failed = it may pass
 *
 * Must not know which version answers, or when one is loaded.
 */
import { GatewayError } from '../core/errors.js';
import { AdmissionRefusal } from './admission-refusal.js';
import type { Bringing, RegistryOptions } from './registry-options.js';
import type { RegistryState, VersionRecord } from './versions.js';

export class Loading {
  readonly #options: Pick<RegistryOptions, 'admit' | 'open' | 'drain' | 'observe' | 'now'>;

  constructor(options: Pick<RegistryOptions, 'admit' | 'open' | 'drain' | 'observe' | 'now'>) {
    this.#options = options;
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
    await this.#bring(record, { config, onStored }, () => this.change(record, 'opening'));
    this.change(record, 'ready');
  }

  /** The same without a change of state: a table published meanwhile for another model must not turn its callers away. */
  async loadUnseen(record: VersionRecord): Promise<void> {
    await this.#bring(record, { config: undefined, onStored: () => {} }, () => {});
  }

  async #bring(record: VersionRecord, how: Bringing, onAdmitted: () => void): Promise<void> {
    const { id } = record;
    record.triedRevision = record.revision;
    record.tries++;
    record.refusal = undefined;
    try {
      const spec = await this.#options.admit(id, how);
      onAdmitted();
      await this.#options.open(spec);
      record.spec = spec;
      record.isOpen = true;
      record.tries = 0;
    } catch (thrown) {
      const error = GatewayError.from(thrown);
      if (error instanceof AdmissionRefusal) record.refusal = error.kind;
      this.change(record, error.code === 'FAILED_PRECONDITION' ? 'refused' : 'failed', error.message);
      const text = `load failed for model '${id.model}': version ${id.version}: ${error.message}`;
      throw new GatewayError(error.code, text, { cause: error });
    }
  }

  /** A version that serves goes on serving until the new opening has succeeded; the processes replace one by the other. */
  async reload(record: VersionRecord, config?: string): Promise<void> {
    if (!record.isOpen) return this.load(record, config);
    const before = record.triedRevision;
    const isExact = record.isListed && record.revision !== before;
    record.triedRevision = record.revision;
    record.tries++;
    try {
      const spec = await this.#options.admit(record.id, { config, isExact, onStored: () => {} });
      await this.#options.open(spec);
      record.spec = spec;
      record.reason = '';
      record.tries = 0;
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
