/**
 * Whether other content may come under the number of a version that has a place already: it answers by default, did so before,
 * or has a share of a route. What was agreed to was its content, so another one has to be agreed to before it is opened.
 *
 *   same content, or no place ─▶ opened          other content ─ agreed to? ─ yes ─▶ opened
 *                                                                           └ no ──▶ waits, the content before goes on
 *
 * Must not know who agrees, or how content is brought.
 */
import type { VersionId, VersionSpec } from '../core/model.js';
import type { Records } from './records.js';
import type { RegistryOptions } from './registry-options.js';
import { hasAnswered, type VersionRecord } from './versions.js';

export class NewerContent {
  readonly #records: Records;
  readonly #options: Pick<RegistryOptions, 'withheld' | 'breaches' | 'sharedAs'>;

  constructor(records: Records, options: Pick<RegistryOptions, 'withheld' | 'breaches' | 'sharedAs'>) {
    this.#records = records;
    this.#options = options;
  }

  /** By which content a version has its place; undefined = it has none, or that was never known. */
  agreedOf({ id, spec }: VersionRecord): string | undefined {
    const shared = this.#options.sharedAs(id);
    if (shared === undefined && !this.#isDefault(id)) return undefined;
    return spec?.artifact?.sha256 ?? this.#records.find(id.model)?.answered[id.version] ?? shared;
  }

  /** Why this content must not be opened in place of what was agreed to; empty = it may. */
  objection(record: VersionRecord, next: VersionSpec): string {
    const { id, spec } = record;
    const agreed = this.agreedOf(record);
    if (agreed === undefined || agreed === next.artifact?.sha256) return '';
    const { withheld, breaches, sharedAs } = this.#options;
    const objections: string[] = [];
    if (this.#isDefault(id)) {
      objections.push(withheld(id, next, undefined, 'champion'));
      // What was not opened since the start cannot be compared.
      const isBroken = spec === undefined || breaches(spec, next).length > 0;
      if (isBroken) objections.push(withheld(id, next, undefined, 'breaking'));
    }
    if (sharedAs(id) !== undefined) objections.push(withheld(id, next, undefined, 'canary'));
    return objections.filter((objection) => objection !== '').join('; ');
  }

  #isDefault({ model: name, version }: VersionId): boolean {
    const model = this.#records.find(name);
    return model !== undefined && hasAnswered(model, version);
  }
}
