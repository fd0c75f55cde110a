/**
 * Whom to blame for the death of a process, and when a version has been blamed too often.
 *
 * A crash with one suspect blames it. With several, those count that were suspects of the crash before as well, and of these
 * the one published last. What killed the process from outside (SIGKILL, SIGTERM) blames nobody.
 *
 * Must not know processes or what follows from blame.
 */
import { nameOf, type VersionId } from '../core/model.js';

export interface BlameOptions {
  readonly windowMs: number;
  /** Blames within the window that are too many. */
  readonly blamesMax: number;
  readonly now: () => number;
  /** When a version became the one that answers; the higher, the later. */
  readonly publishedAt: (id: VersionId) => number;
}

export interface Blame {
  readonly id: VersionId;
  readonly reason: 'crashed' | 'hung';
  /** How often within the window, this time included. */
  readonly times: number;
  readonly isTooOften: boolean;
}

const nativeSignals = ['SIGSEGV', 'SIGFPE', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGTRAP', 'SIGSYS'];
/** How a process ends that abort() ended below a shell or an init: 128 + the signal. */
const nativeCodes = [132, 134, 135, 136, 139];

/** Whether native code ended a process. */
export function isNativeCrash(end: { readonly signal: string | null; readonly code: number | null }): boolean {
  return nativeSignals.includes(end.signal ?? '') || nativeCodes.includes(end.code ?? 0);
}

export class BlameBook {
  readonly #options: BlameOptions;
  readonly #blames = new Map<string, number[]>();
  #lastSuspects: { readonly at: number; readonly names: ReadonlySet<string> } | undefined;

  constructor(options: BlameOptions) {
    this.#options = options;
  }

  /** A process crashed while it ran these. @returns undefined when nobody can be blamed */
  crashed(suspects: readonly VersionId[]): Blame | undefined {
    const { now, windowMs, publishedAt } = this.#options;
    const at = now();
    const earlier = this.#lastSuspects;
    this.#lastSuspects = { at, names: new Set(suspects.map(nameOf)) };
    if (suspects.length === 0) return undefined;
    if (suspects.length === 1) return this.#blame(suspects[0]!, 'crashed');
    if (earlier === undefined || at - earlier.at > windowMs) return undefined;
    const both = suspects.filter((id) => earlier.names.has(nameOf(id)));
    const [latest] = both.sort((a, b) => publishedAt(b) - publishedAt(a));
    return latest === undefined ? undefined : this.#blame(latest, 'crashed');
  }

  /** A run of this version never ended. */
  hung(id: VersionId): Blame {
    return this.#blame(id, 'hung');
  }

  #blame(id: VersionId, reason: Blame['reason']): Blame {
    const { now, windowMs, blamesMax } = this.#options;
    const at = now();
    const recent = [...(this.#blames.get(nameOf(id)) ?? []).filter((time) => at - time <= windowMs), at];
    this.#blames.set(nameOf(id), recent);
    return { id, reason, times: recent.length, isTooOften: recent.length >= blamesMax };
  }
}
