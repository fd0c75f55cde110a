/**
 * An event's record read where it lies: nothing is made of it until somebody asks. One reader is moved from record to record,
 * so a row costs the observer no object.
 *
 *   over(bytes, start, end) ─▶ a LoggedEvent, good until it is moved on
 *
 * Must not know files or rows.
 */
import type { Bytes } from './chunk.js';
import { KnownBytes } from './known-bytes.js';
import { flags, marks, noText, place, roles, seqAt } from './layout.js';
import type { LoggedEvent, LoggedRoute } from './record.js';
import { unitKeyHashOf, unitOf } from './unit-key.js';

/** Places of the texts in their order; those of the route follow. */
const [clientRequestId, traceId, parentRequestId, errorCode, prediction, contentType, routeTexts] = [
  1, 2, 3, 4, 5, 6, 7,
];
/** Longer texts are seldom told again. */
const classBytesMax = 64;

const classes = new KnownBytes<string>(256);
const routes = new KnownBytes<LoggedRoute>(64);

export class EventReader implements LoggedEvent {
  /** One for all look-ups. */
  readonly #stretch = { from: 0, to: 0, mark: 0 };
  #bytes!: Bytes;
  #start = 0;
  #bits = 0;
  /** What was asked for already; undefined where it was not. */
  #requestId: string | undefined;
  #prediction: string | undefined;

  over(bytes: Bytes, start: number): this {
    this.#bytes = bytes;
    this.#start = start;
    this.#bits = bytes.bytes[start + place.flags]!;
    this.#requestId = undefined;
    this.#prediction = undefined;
    return this;
  }

  get seq(): number {
    return seqAt(this.#bytes.view, this.#start + 8);
  }

  get subjectId(): number {
    return this.#uint32(place.subject);
  }

  get role(): LoggedEvent['role'] {
    return roles[this.#bytes.bytes[this.#start + place.role]!] ?? 'primary';
  }

  get attempt(): number {
    return this.#bytes.bytes[this.#start + place.attempt]!;
  }

  get isCacheHit(): boolean {
    return this.#has(flags.cacheHit);
  }

  get isTruncated(): boolean {
    return this.#has(flags.truncated);
  }

  get isRedacted(): boolean {
    return this.#has(flags.redacted);
  }

  get tsUs(): number {
    return this.#double(place.ts);
  }

  get latencyUs(): number {
    return this.#uint32(place.latency);
  }

  get queueUs(): number {
    return this.#uint32(place.queue);
  }

  get upstreamUs(): number {
    return this.#uint32(place.upstream);
  }

  get batchSize(): number {
    return this.#uint16(place.batchSize);
  }

  get status(): number {
    return this.#uint16(place.status);
  }

  get items(): number {
    return this.#uint32(place.items);
  }

  get inputBytes(): number {
    return this.#uint32(place.inputBytes);
  }

  get outputBytes(): number {
    return this.#uint32(place.outputBytes);
  }

  get sampleRate(): number {
    return this.#double(place.sampleRate);
  }

  get payloadRate(): number {
    return this.#double(place.payloadRate);
  }

  get score(): number | undefined {
    return this.#has(flags.score) ? this.#double(place.score) : undefined;
  }

  get unitKeyHash(): string | undefined {
    return unitKeyHashOf(this.#bytes, this.#start);
  }

  get unit(): number | undefined {
    return unitOf(this.#bytes, this.#start);
  }

  get requestId(): string {
    this.#requestId ??= this.#textAt(this.#start + place.texts) ?? '';
    return this.#requestId;
  }

  get clientRequestId(): string | undefined {
    return this.#text(clientRequestId!);
  }

  get traceId(): string | undefined {
    return this.#text(traceId!);
  }

  get parentRequestId(): string | undefined {
    return this.#text(parentRequestId!);
  }

  get errorCode(): string | undefined {
    return this.#text(errorCode!);
  }

  get isScorePrediction(): boolean {
    return (this.#bytes.bytes[this.#start + place.marks]! & marks.scoreIsPrediction) !== 0;
  }

  get prediction(): string | undefined {
    this.#prediction ??= this.isScorePrediction ? String(this.score) : this.#className();
    return this.#prediction;
  }

  get contentType(): string | undefined {
    return this.#text(contentType!);
  }

  get route(): LoggedRoute | undefined {
    if (!this.#has(flags.assignment)) return undefined;
    const stretch = this.#stretch;
    stretch.from = this.#placeOf(routeTexts!);
    stretch.to = this.#start + place.texts + this.#uint32(place.textBytes);
    stretch.mark = 2 * this.#uint32(place.phase) + Number(this.#has(flags.sticky));
    return routes.get(this.#bytes, stretch) ?? routes.put(this.#bytes, stretch, this.#readRoute());
  }

  #readRoute(): LoggedRoute {
    const text = (n: number) => this.#text(routeTexts! + n) ?? '';
    return {
      experiment: text(0),
      phase: this.#uint32(place.phase),
      assigned: text(1),
      served: text(2),
      reason: text(3),
      isSticky: this.#has(flags.sticky),
    };
  }

  #has(bit: number): boolean {
    return (this.#bits & bit) !== 0;
  }

  #uint16(at: number): number {
    return this.#bytes.view.getUint16(this.#start + at, true);
  }

  #uint32(at: number): number {
    return this.#bytes.view.getUint32(this.#start + at, true);
  }

  #double(at: number): number {
    return this.#bytes.view.getFloat64(this.#start + at, true);
  }

  #placeOf(nth: number): number {
    const { view } = this.#bytes;
    let at = this.#start + place.texts;
    for (let n = 0; n < nth; n++) {
      const length = view.getUint16(at, true);
      at += length === noText ? 2 : 2 + length;
    }
    return at;
  }

  #text(nth: number): string | undefined {
    return this.#textAt(this.#placeOf(nth));
  }

  #textAt(at: number): string | undefined {
    const length = this.#bytes.view.getUint16(at, true);
    return length === noText ? undefined : this.#bytes.bytes.toString('utf8', at + 2, at + 2 + length);
  }

  #className(): string | undefined {
    const at = this.#placeOf(prediction!);
    const length = this.#bytes.view.getUint16(at, true);
    if (length === noText) return undefined;
    if (length > classBytesMax) return this.#textAt(at);
    const stretch = this.#stretch;
    stretch.from = at + 2;
    stretch.to = at + 2 + length;
    stretch.mark = 0;
    return classes.get(this.#bytes, stretch) ?? classes.put(this.#bytes, stretch, this.#textAt(at)!);
  }
}
