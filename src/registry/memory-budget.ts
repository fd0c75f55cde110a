/**
 * Whether a version that is about to be opened fits into the memory that a gateway process has for models.
 *
 *   forecast of the new one + what those already there take ─▶ within the budget, or refused with the numbers
 *
 * The forecast is what the trial took at most, less what its process takes by itself, for every thread that will run the
 * version. Of a version that is open the processes say by how much they grew, which takes the place of its forecast. While
 * one version takes the place of another both are open, and both count.
 *
 * Must not know how a version is tried, or how processes tell what they measured.
 */
import { nameOf, type VersionId } from '../core/model.js';
import { AdmissionRefusal } from './admission-refusal.js';

const mebibyte = 2 ** 20;
/** What a process that tries a version takes by itself (measured: 82 MiB with a model of 30 KB). */
const trialOwnBytes = 80 * mebibyte;

export interface MemoryNeed {
  /** Highest resident memory of the process that tried it, during the trial. */
  readonly peakBytes: number;
  /** Threads that will run it in each gateway process. */
  readonly instances: number;
}

interface MemoryBudgetOptions {
  /** Of one gateway process; 0 = no limit. */
  readonly bytesMax: () => number;
  /** Resolves when every process has told what it holds now. */
  readonly refresh: () => Promise<void>;
}

/** Bytes by version, as a process tells them. */
type Held = ReadonlyMap<string, number>;

export function forecastBytes({ peakBytes, instances }: MemoryNeed): number {
  return Math.max(0, peakBytes - trialOwnBytes) * instances;
}

export class MemoryBudget {
  readonly #options: MemoryBudgetOptions;
  /** Forecasts of versions on their way, by name. */
  readonly #opening = new Map<string, number>();
  /** Forecasts of versions that are open, by name. */
  readonly #open = new Map<string, number>();
  /** What processes measured, by their lives. */
  readonly #held = new Map<string, Held>();

  constructor(options: MemoryBudgetOptions) {
    this.#options = options;
  }

  /** Keeps room for a version until it is open or has failed to be. @throws AdmissionRefusal `memory` with both numbers */
  async reserve(id: VersionId, need: MemoryNeed): Promise<void> {
    const bytes = forecastBytes(need);
    // What was opened since the processes last told counts by its forecast, which is more than it took.
    if (!this.#fits(bytes)) await this.#options.refresh();
    if (!this.#fits(bytes)) throw this.#tooLarge(need, bytes);
    this.#opening.set(nameOf(id), bytes);
  }

  opened(id: VersionId): void {
    const name = nameOf(id);
    this.#open.set(name, this.#opening.get(name) ?? 0);
    this.#opening.delete(name);
  }

  failed(id: VersionId): void {
    this.#opening.delete(nameOf(id));
  }

  closed(id: VersionId): void {
    this.#open.delete(nameOf(id));
  }

  /** @param life a name that no later process has */
  told(life: string, held: Held): void {
    this.#held.set(life, held);
  }

  ended(life: string): void {
    this.#held.delete(life);
  }

  /** What versions take in the process where they take most. */
  takenBytes(): number {
    const lives: Held[] = this.#held.size === 0 ? [new Map()] : [...this.#held.values()];
    let opening = 0;
    for (const bytes of this.#opening.values()) opening += bytes;
    const inLife = (held: Held) => {
      let sum = opening;
      for (const [name, forecast] of this.#open) sum += held.get(name) ?? forecast;
      return sum;
    };
    return Math.max(...lives.map(inLife));
  }

  #fits(bytes: number): boolean {
    const bytesMax = this.#options.bytesMax();
    return bytesMax === 0 || this.takenBytes() + bytes <= bytesMax;
  }

  #tooLarge({ peakBytes, instances }: MemoryNeed, bytes: number): AdmissionRefusal {
    const taken = this.takenBytes();
    const [needs, peak, others, all] = [bytes, peakBytes, taken, taken + bytes].map(mebibytes);
    const allowed = mebibytes(this.#options.bytesMax());
    return new AdmissionRefusal(
      'memory',
      `needs about ${needs} MiB in each gateway process (${peak} MiB at most while it was tried out, ${instances} ${instances === 1 ? 'thread' : 'threads'}), with ${others} MiB of what is open that is ${all} MiB, and memory.model_budget_bytes allows ${allowed} MiB`,
    );
  }
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / mebibyte);
}
