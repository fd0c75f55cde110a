/**
 * How long versions take: to be admitted, to be loaded, and to take the place of another.
 *
 * A load is from the wish to the last process that has the version open; an admission begins when the bytes are there; a swap
 * is from writing it down to the last process that answers by it.
 *
 * Must not know what is done with a version meanwhile.
 */
import { nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import { AdmissionRefusal } from '../registry/admission-refusal.js';
import type { Bringing } from '../registry/registry-options.js';
import type { ControlCounts } from './counts.js';

export class LoadTimes {
  readonly #counts: ControlCounts;
  readonly #now: () => number;
  readonly #wishedAt = new Map<string, number>();
  #swapsAt: number[] = [];

  constructor(counts: ControlCounts, now: () => number) {
    this.#counts = counts;
    this.#now = now;
  }

  async admit(id: VersionId, how: Bringing, admit: (how: Bringing) => Promise<VersionSpec>): Promise<VersionSpec> {
    this.#wishedAt.set(nameOf(id), this.#now());
    let storedAt: number | undefined;
    const onStored = () => {
      storedAt = this.#now();
      how.onStored();
    };
    const ended = (verdict: string) => {
      if (storedAt === undefined) return;
      this.#counts.admissions.add([verdict]);
      this.#counts.admissionSeconds.add([], (this.#now() - storedAt) / 1000);
    };
    try {
      const spec = await admit({ ...how, onStored });
      ended('ok');
      return spec;
    } catch (error) {
      this.#wishedAt.delete(nameOf(id));
      ended(error instanceof AdmissionRefusal ? error.kind : 'failed');
      throw error;
    }
  }

  async open(spec: VersionSpec, open: (spec: VersionSpec) => Promise<void>): Promise<void> {
    const name = nameOf(spec.id);
    const wishedAt = this.#wishedAt.get(name) ?? this.#now();
    this.#wishedAt.delete(name);
    await open(spec);
    this.#counts.loadSeconds.add([spec.id.model], (this.#now() - wishedAt) / 1000);
  }

  swapBegins(): void {
    this.#swapsAt.push(this.#now());
  }

  async publish(work: () => Promise<void>): Promise<void> {
    const begun = this.#swapsAt;
    this.#swapsAt = [];
    await work();
    for (const at of begun) this.#counts.swapSeconds.add([], (this.#now() - at) / 1000);
  }
}
