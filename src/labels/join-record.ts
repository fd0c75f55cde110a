/**
 * What a label needs to know of the prediction that it belongs to, as records of a file.
 *
 *   origin      JSON of what many rows have in common; rows name it by where it begins in the same file
 *   prediction  one request: its id, when, whose key, and score and class of each of its items
 *
 * Must not know files.
 */
import type { Meaning } from './meaning.js';

/** Who answered, why, and what the answers stand for. */
export interface Origin {
  readonly model: string;
  readonly version: string;
  /** Empty without a route. */
  readonly experiment: string;
  readonly phase: number;
  readonly assigned: string;
  /** The variant that answered. */
  readonly variant: string;
  readonly reason: string;
  readonly meaning: Meaning;
}

export interface JoinItem {
  readonly predicted: string | undefined;
  readonly score: number | undefined;
}

export interface JoinRow {
  readonly requestId: string;
  /** Microseconds since the epoch. */
  readonly tsUs: number;
  /** What experiments tell the unit by, sealed (unit-seal.ts); undefined without a key. */
  readonly unit: number | undefined;
  readonly items: readonly JoinItem[];
}

const kinds = { origin: 1, prediction: 2 } as const;

/** Offsets in a prediction. */
const place = { kind: 0, hasUnit: 1, items: 2, origin: 4, ts: 8, unit: 16, idLength: 20, id: 22 } as const;

/** Items of one request; further ones have no labels. */
export const itemsMax = 10_000;
const textBytesMax = 255;
const noText = 0xffff;

export function originPayload(origin: Origin): Buffer {
  return Buffer.concat([Buffer.of(kinds.origin), Buffer.from(JSON.stringify(origin))]);
}

export function isOrigin(payload: Buffer): boolean {
  return payload[0] === kinds.origin;
}

export function originOf(payload: Buffer): Origin {
  return JSON.parse(payload.toString('utf8', 1)) as Origin;
}

/** Bytes that a row cannot exceed. */
export function rowBytesMax({ requestId, items }: JoinRow): number {
  // The last text may be longer before it is cut.
  return place.id + 3 * (requestId.length + textBytesMax) + Math.min(items.length, itemsMax) * (10 + textBytesMax);
}

/**
 * Writes the payload of a row, for which `rowBytesMax` bytes are free there: one for each request, so nothing is allocated.
 * @param originAt where its origin begins in the file @returns where it ends
 */
export function putRow(bytes: Buffer, start: number, row: JoinRow, originAt: number): number {
  const { requestId, tsUs, unit, items } = row;
  const count = Math.min(items.length, itemsMax);
  bytes[start + place.kind] = kinds.prediction;
  bytes[start + place.hasUnit] = unit === undefined ? 0 : 1;
  bytes.writeUInt16LE(count, start + place.items);
  bytes.writeUInt32LE(originAt, start + place.origin);
  bytes.writeDoubleLE(tsUs, start + place.ts);
  bytes.writeUInt32LE(unit ?? 0, start + place.unit);
  let at = putText(bytes, start + place.id, requestId);
  bytes.writeUInt16LE(at - start - place.id, start + place.idLength);
  for (let item = 0; item < count; item++) {
    const { predicted, score } = items[item]!;
    at = bytes.writeDoubleLE(score ?? NaN, at) + 2;
    const textAt = at;
    if (predicted !== undefined) at = Math.min(putText(bytes, at, cut(predicted)), textAt + textBytesMax);
    bytes.writeUInt16LE(predicted === undefined ? noText : at - textAt, textAt - 2);
  }
  return at;
}

/** A call into the runtime costs as much as so many characters here. */
const shortCharsMax = 64;
const asciiMax = 0x7f;

/** @returns where it ends */
function putText(bytes: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length > shortCharsMax) return at + bytes.write(text, at, 'utf8');
  let all = 0;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    all |= code;
    bytes[at + i] = code;
  }
  return all > asciiMax ? at + bytes.write(text, at, 'utf8') : at + length;
}

/** No longer than that its bytes are cut anyway. */
function cut(text: string): string {
  return text.length > textBytesMax ? text.slice(0, textBytesMax) : text;
}

export function requestIdOf(payload: Buffer): string {
  return payload.toString('utf8', place.id, place.id + payload.readUInt16LE(place.idLength));
}

export function originAtOf(payload: Buffer): number {
  return payload.readUInt32LE(place.origin);
}

export function tsUsOf(payload: Buffer): number {
  return payload.readDoubleLE(place.ts);
}

export function itemCountOf(payload: Buffer): number {
  return payload.readUInt16LE(place.items);
}

export function rowOf(payload: Buffer): JoinRow {
  const items: JoinItem[] = [];
  let at = place.id + payload.readUInt16LE(place.idLength);
  for (let item = itemCountOf(payload); item > 0; item--) {
    const score = payload.readDoubleLE(at);
    const length = payload.readUInt16LE(at + 8);
    at += 10;
    const predicted = length === noText ? undefined : payload.toString('utf8', at, at + length);
    if (length !== noText) at += length;
    items.push({ predicted, score: Number.isNaN(score) ? undefined : score });
  }
  return {
    requestId: requestIdOf(payload),
    tsUs: tsUsOf(payload),
    unit: payload[place.hasUnit] === 1 ? payload.readUInt32LE(place.unit) : undefined,
    items,
  };
}
