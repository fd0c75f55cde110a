/**
 * Has candidate versions tried in a child process, so that a model that crashes, hangs or eats memory is refused and nobody
 * notices.
 *
 *   admit(candidate) ─▶ probe child ─▶ verdict        exit, silence or too much memory ─▶ refused with the reason
 *
 * One child tries one candidate at a time and is kept for the next while there is one and it is small: the runtime does not
 * give memory back, and what one candidate took must not be held against the next. After a quiet moment it ends.
 *
 * Must not know ONNX: the probe is reached by its URL, and its messages are its own.
 */
import { ProbeChild } from './probe-child.js';

const mebibyte = 2 ** 20;
/** A child that has tried a small model holds 80 MB (measured). */
const keptBytesMax = 192 * mebibyte;

export interface AdmissionOptions {
  readonly entry: URL;
  readonly timeoutMs: number;
  /** The child ends after so long without a candidate. */
  readonly idleMs: number;
  /** False = only watch the memory, as where prlimit is not installed. */
  readonly usesPrlimit?: boolean;
}

/** What a model of so many bytes, external data included, may take while it is tried: 4 GiB, or room for its weights four times. */
export function trialBytesMax(modelBytes: number): number {
  return Math.max(4096 * mebibyte, 4 * modelBytes + 512 * mebibyte);
}

export class Admission<Candidate, Verdict> {
  readonly #options: AdmissionOptions;
  #child: ProbeChild | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /**
   * Tries one candidate, after those asked for earlier.
   * @throws AdmissionRefusal `crashed`, `timeout` or `memory`; UNAVAILABLE when it was never tried
   */
  admit(candidate: Candidate, memoryBytesMax: number = trialBytesMax(0)): Promise<Verdict> {
    const result = this.#last.then(() => this.#try(candidate, memoryBytesMax));
    this.#last = result.catch(() => {});
    return result;
  }

  close(): void {
    clearTimeout(this.#idleTimer);
    this.#child?.end();
    this.#child = undefined;
  }

  async #try(candidate: Candidate, memoryBytesMax: number): Promise<Verdict> {
    clearTimeout(this.#idleTimer);
    const child = this.#childUnder(memoryBytesMax);
    const verdict = await child.ask(candidate as object, this.#options.timeoutMs);
    if ((child.peakBytes ?? 0) > keptBytesMax) this.close();
    else this.#idleTimer = setTimeout(() => this.close(), this.#options.idleMs);
    return verdict as Verdict;
  }

  /** A limit cannot be raised once a child runs under it. */
  #childUnder(memoryBytesMax: number): ProbeChild {
    if (this.#child?.isAlive && this.#child.memoryBytesMax === memoryBytesMax) return this.#child;
    this.close();
    const { entry, usesPrlimit = true } = this.#options;
    this.#child = new ProbeChild({ entry, memoryBytesMax, usesPrlimit });
    return this.#child;
  }
}
