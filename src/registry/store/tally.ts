/**
 * The bytes of one pull: how many may come, how many have, how fast.
 *
 * Must not know files.
 */
import { GatewayError } from '../../core/errors.js';

export interface PullProgress {
  readonly doneBytes: number;
  /** Undefined while a source has not said how large everything is. */
  readonly totalBytes: number | undefined;
  readonly bytesPerS: number;
}

/** Progress is told this often at most; chosen for people who watch. */
const tellEveryMs = 250;

export class Tally {
  readonly #bytesMax: number;
  readonly #subject: string;
  readonly #now: () => number;
  readonly #tell: ((progress: PullProgress) => void) | undefined;
  readonly #startedAt: number;
  #toldAt = 0;
  #doneBytes = 0;
  /** Came over the line in this try: what an earlier one left makes nothing faster. */
  #cameBytes = 0;
  totalBytes: number | undefined;

  constructor(options: {
    readonly bytesMax: number;
    readonly subject: string;
    readonly now: () => number;
    readonly tell: ((progress: PullProgress) => void) | undefined;
  }) {
    this.#bytesMax = options.bytesMax;
    this.#subject = options.subject;
    this.#now = options.now;
    this.#tell = options.tell;
    this.#startedAt = options.now();
  }

  get doneBytes(): number {
    return this.#doneBytes;
  }

  /** @throws FAILED_PRECONDITION when the version is larger than any may be */
  came(bytes: number): void {
    this.#cameBytes += bytes;
    this.kept(bytes);
    if (this.#tell !== undefined && this.#now() - this.#toldAt >= tellEveryMs) this.tell();
  }

  /** Bytes of an earlier try that count; negative when they are thrown away. */
  kept(bytes: number): void {
    this.#doneBytes += bytes;
    if (this.#doneBytes > this.#bytesMax) throw tooLarge(this.#subject, this.#doneBytes, this.#bytesMax);
  }

  tell(): void {
    this.#toldAt = this.#now();
    const elapsedMs = Math.max(1, this.#toldAt - this.#startedAt);
    this.#tell?.({
      doneBytes: this.#doneBytes,
      totalBytes: this.totalBytes,
      bytesPerS: Math.round((this.#cameBytes * 1000) / elapsedMs),
    });
  }
}

export function tooLarge(subject: string, bytes: number, bytesMax: number): GatewayError {
  return new GatewayError(
    'FAILED_PRECONDITION',
    `${subject} has ${bytes} bytes or more, at most ${bytesMax} are taken`,
  );
}
