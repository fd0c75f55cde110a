/**
 * Which requests get a row, and which of those keep their inputs and outputs. One number made of the request id decides
 * both, so that the samples are nested and every process, restart and replay decides alike.
 *
 * Always kept: errors, overrides, and what is slower than the p99 of the minute before.
 *
 * Must not know how a row is written.
 */
import { requestShare } from '../core/request-share.js';
import type { PredictionEvent } from './event.js';
import type { FrameTerms } from './frame.js';

const minuteUs = 60_000_000;
/** Four buckets for each doubling: a p99 is known to a fifth. */
const perDoubling = 4;
const buckets = perDoubling * 32;
/** Fewer requests than this have no p99. */
const countMin = 100;

/** The p99 of the minute before, of one subject. */
class SlowLine {
  #counts = new Uint32Array(buckets);
  #count = 0;
  #minute = 0;
  /** Latency above which a request is slow. */
  lineUs = Infinity;

  add(latencyUs: number, tsUs: number): void {
    const minute = Math.floor(tsUs / minuteUs);
    if (minute !== this.#minute) this.#turn(minute);
    this.#counts[bucketOf(latencyUs)]!++;
    this.#count++;
  }

  #turn(minute: number): void {
    this.lineUs = minute === this.#minute + 1 && this.#count >= countMin ? this.#p99() : Infinity;
    this.#counts.fill(0);
    this.#count = 0;
    this.#minute = minute;
  }

  #p99(): number {
    let above = Math.floor(this.#count / 100);
    for (let bucket = buckets - 1; bucket > 0; bucket--) {
      above -= this.#counts[bucket]!;
      if (above < 0) return 2 ** ((bucket + 1) / perDoubling);
    }
    return 1;
  }
}

function bucketOf(latencyUs: number): number {
  if (latencyUs < 1) return 0;
  return Math.min(buckets - 1, Math.floor(Math.log2(latencyUs) * perDoubling));
}

const whole: FrameTerms = { sampleRate: 1, payloadRate: 1, withPayload: true, isTapOnly: false };
const rowOnly: FrameTerms = { sampleRate: 1, payloadRate: 0, withPayload: false, isTapOnly: false };
const rowAndTap: FrameTerms = { sampleRate: 1, payloadRate: 0, withPayload: true, isTapOnly: true };

/** Remembers what it needs of each subject. */
export class Sampling {
  readonly #lines: (SlowLine | undefined)[] = [];
  /** One object per outcome and subject, so that none is made per request. */
  readonly #terms: (FrameTerms[] | undefined)[] = [];

  /** What is written of the event; undefined = nothing, it is sampled out. */
  termsOf(event: PredictionEvent): FrameTerms | undefined {
    const { rows, sample, isTapped } = event.subject;
    // What is kept whatever the number says needs none.
    if (sample === 1) return whole;
    if (rows === 1 && sample === 0) return isTapped ? rowAndTap : rowOnly;
    const isKept = this.#isAlwaysKept(event);
    const share = isKept ? 0 : requestShare(event.requestId);
    if (!isKept && share >= rows) return undefined;
    const withPayload = sample > 0 && share < sample;
    return this.#termsFor(event)[(isKept ? 2 : 0) + (withPayload ? 1 : 0)]!;
  }

  #isAlwaysKept(event: PredictionEvent): boolean {
    const { id } = event.subject.record;
    this.#lines[id] ??= new SlowLine();
    const line = this.#lines[id];
    line.add(event.latencyUs, event.tsUs);
    if (event.errorCode !== undefined || event.status >= 400) return true;
    return event.assignment?.reason === 'override' || event.latencyUs > line.lineUs;
  }

  #termsFor({ subject }: PredictionEvent): FrameTerms[] {
    const { rows, sample, isTapped, record } = subject;
    this.#terms[record.id] ??= [
      { sampleRate: rows, payloadRate: sample, withPayload: isTapped, isTapOnly: isTapped },
      { sampleRate: rows, payloadRate: sample, withPayload: true, isTapOnly: false },
      { sampleRate: 1, payloadRate: sample > 0 ? 1 : 0, withPayload: isTapped, isTapOnly: isTapped },
      { sampleRate: 1, payloadRate: 1, withPayload: true, isTapOnly: false },
    ];
    return this.#terms[record.id]!;
  }
}
