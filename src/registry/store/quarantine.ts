/**
 * Bytes that are not served again until an operator says so, by the digest of their version: offering the same bytes under
 * another number does not help them.
 *
 * Must not know who judged, or what is served.
 */
import { z } from 'zod';
import { GatewayError } from '../../core/errors.js';
import { StateDocument, type StateFolder } from './state.js';

const schema = z.array(
  z.object({
    model: z.string(),
    version: z.string(),
    artifact_sha256: z.string().regex(/^[0-9a-f]{64}$/),
    reason: z.enum(['crashed', 'hung', 'digest_mismatch', 'signature', 'operator']),
    /** Milliseconds since the epoch. */
    since: z.number(),
    evidence: z.string(),
  }),
);

export type Quarantined = Readonly<z.infer<typeof schema>[number]>;

const entriesMax = 10_000;

export class Quarantine {
  readonly #document: StateDocument<Quarantined[]>;

  private constructor(document: StateDocument<Quarantined[]>) {
    this.#document = document;
  }

  static async open(state: StateFolder): Promise<Quarantine> {
    return new Quarantine(await StateDocument.open<Quarantined[]>(state, 'quarantine', schema, []));
  }

  list(): readonly Quarantined[] {
    return this.#document.value;
  }

  /** Why these bytes are not served. */
  find(artifactSha256: string): Quarantined | undefined {
    return this.#document.value.find((entry) => entry.artifact_sha256 === artifactSha256);
  }

  /** The first reason stays: it is the one that was looked into. */
  add(entry: Quarantined): Promise<void> {
    return this.#document.change((entries) => {
      if (entries.some(({ artifact_sha256 }) => artifact_sha256 === entry.artifact_sha256)) return entries;
      if (entries.length >= entriesMax) {
        throw new GatewayError('RESOURCE_EXHAUSTED', `${entriesMax} versions are quarantined: lift some first`);
      }
      return [...entries, entry];
    });
  }

  /** @returns what it was, undefined when these bytes were not quarantined */
  async lift(artifactSha256: string): Promise<Quarantined | undefined> {
    let lifted: Quarantined | undefined;
    await this.#document.change((entries) => {
      lifted = entries.find((entry) => entry.artifact_sha256 === artifactSha256);
      return lifted === undefined ? entries : entries.filter((entry) => entry !== lifted);
    });
    return lifted;
  }
}
