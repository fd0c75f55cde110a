/**
 * The prediction log as a gateway process has it: `append` for every finished request, never waiting, never failing.
 *
 *   append ─▶ Sampling ─▶ Frames ─▶ ObserverLink ═▶ observer thread ─▶ segments
 *
 * offered = logged + dropped + sampled out, exactly, once `close` has resolved; before, `inFlight` is the rest.
 *
 * Must not know models, protocols or what becomes of a segment.
 */
import { invalid } from '../core/errors.js';
import type { Series } from '../core/series.js';
import { type DropCounts, noDrops, type PredictionEvent } from './event.js';
import { Frames } from './frames.js';
import { ObserverLink } from './observer-link.js';
import type { HashKey } from './redaction.js';
import type { RoomLimits } from './room.js';
import { Sampling } from './sampling.js';
import { isGatewayId } from './segment.js';
import { type Subject, type SubjectTerms, subjectOf } from './subject.js';

export interface PredictionLogOptions {
  /** Folder of the segments. */
  readonly directory: string;
  /** 1 to 64 letters, digits, `_` or `.`. */
  readonly gatewayId: string;
  /** Never used before under this id. */
  readonly incarnation: number;
  readonly flushMs: number;
  readonly chunksMax: number;
  /** Chunks in use from which on shadows are refused. */
  readonly shadowChunksMax: number;
  /** Kept of one tensor. */
  readonly tensorBytesMax: number;
  readonly segmentBytesMax: number;
  readonly segmentRowsMax: number;
  readonly segmentAgeMsMax: number;
  readonly room: RoomLimits;
  readonly hashKey: HashKey;
  /** Module that exports `openTap`; its reports go to `onTap`. */
  readonly tapUrl?: string;
  readonly onTap?: (report: unknown) => void;
  readonly onLost: (error: Error) => void;
}

export interface PredictionLogStats {
  readonly offered: number;
  readonly logged: number;
  readonly sampledOut: number;
  readonly dropped: DropCounts;
  /** Accepted, and not confirmed by the observer yet. */
  readonly inFlight: number;
  readonly bytes: number;
  readonly chunksInUse: number;
  readonly isLost: boolean;
}

/** Different versions in the life of one process. */
const subjectsMax = 100_000;

export class PredictionLog {
  readonly #options: PredictionLogOptions;
  readonly #sampling = new Sampling();
  readonly #frames: Frames;
  readonly #link: ObserverLink;
  readonly #timer: NodeJS.Timeout;
  #subjects = 0;
  #sampledOut = 0;
  #closing: Promise<PredictionLogStats> | undefined;
  #isSettled = false;

  private constructor(options: PredictionLogOptions) {
    this.#options = options;
    const { directory, gatewayId, incarnation, segmentBytesMax, segmentRowsMax, segmentAgeMsMax } = options;
    const setup = { directory, gatewayId, incarnation, segmentBytesMax, segmentRowsMax, segmentAgeMsMax };
    const { room, hashKey, tapUrl } = options;
    this.#link = new ObserverLink(
      { ...setup, room, hashKey, tapUrl },
      {
        onDone: (chunk) => this.#frames.recycle(chunk),
        onTap: (report) => options.onTap?.(report),
        onLost: (error) => options.onLost(error),
      },
    );
    this.#frames = new Frames({ ...options, send: (chunk, bytes) => this.#link.send(chunk, bytes) });
    this.#timer = setInterval(() => this.#frames.flush(), options.flushMs);
    this.#timer.unref();
  }

  /** @throws INVALID_ARGUMENT for an id that cannot name a file */
  static async open(options: PredictionLogOptions): Promise<PredictionLog> {
    if (!isGatewayId(options.gatewayId)) throw invalid(`prediction log: bad gateway id '${options.gatewayId}'`);
    const log = new PredictionLog(options);
    await log.#link.ready;
    return log;
  }

  /**
   * What events of one version have in common; to be made once per version.
   * @throws INVALID_ARGUMENT for shares or rules that make no sense, or too many versions
   */
  subject(terms: SubjectTerms): Subject {
    if (this.#subjects >= subjectsMax)
      throw invalid(`prediction log: more than ${subjectsMax} versions in one process`);
    const subject = subjectOf(++this.#subjects, this.#options.gatewayId, terms);
    this.#link.learn(subject);
    return subject;
  }

  append(event: PredictionEvent): void {
    const terms = this.#sampling.termsOf(event);
    if (terms === undefined) this.#sampledOut++;
    else this.#frames.append(event, terms);
  }

  /** Says something to the module behind `tapUrl`. */
  tellTap(message: unknown): void {
    this.#link.tellTap(message);
  }

  stats(): PredictionLogStats {
    const { counts, isLost } = this.#link;
    const dropped = noDrops();
    for (const reason of Object.keys(dropped) as (keyof DropCounts)[]) {
      dropped[reason] = this.#frames.dropped[reason] + counts.dropped[reason];
    }
    const total = Object.values(dropped).reduce((sum, count) => sum + count, 0);
    const unconfirmed = this.#frames.seq - counts.logged - total;
    // What a lost or overdue observer had is not known to be written.
    if (this.#isSettled) dropped[isLost ? 'write_error' : 'shutdown'] += unconfirmed;
    return {
      offered: this.#frames.seq + this.#sampledOut,
      logged: counts.logged,
      sampledOut: this.#sampledOut,
      dropped,
      inFlight: this.#isSettled ? 0 : unconfirmed,
      bytes: counts.bytes,
      chunksInUse: this.#frames.inUse,
      isLost,
    };
  }

  /** How late the observer thread's loop was; undefined as long as it has not told. */
  get loopLag(): Series | undefined {
    return this.#link.lag;
  }

  /** Writes what is there and ends the thread; later events are counted as dropped. */
  close(withinMs = 5000): Promise<PredictionLogStats> {
    this.#closing ??= this.#close(withinMs);
    return this.#closing;
  }

  async #close(withinMs: number): Promise<PredictionLogStats> {
    clearInterval(this.#timer);
    const gaps = this.#frames.close();
    const { seq } = this.#frames;
    await this.#link.close({ seq, offered: seq + this.#sampledOut, sampledOut: this.#sampledOut, gaps }, withinMs);
    this.#isSettled = true;
    return this.stats();
  }
}
