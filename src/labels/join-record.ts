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

/** @param originAt where its origin begins in the file */
export function rowPayload({ requestId, tsUs, unit, items }: JoinRow, originAt: number): Buffer {
  const id = Buffer.from(requestId);
  const count = Math.min(items.length, itemsMax);
  const texts = items.slice(0, count).map(({ predicted }) => (predicted === undefined ? undefined : cut(predicted)));
  const textBytes = texts.reduce((sum, text) => sum + 2 + (text?.length ?? 0), 0);
  const bytes = Buffer.alloc(place.id + id.length + 8 * count + textBytes);
  bytes[place.kind] = kinds.prediction;
  bytes[place.hasUnit] = unit === undefined ? 0 : 1;
  bytes.writeUInt16LE(count, place.items);
  bytes.writeUInt32LE(originAt, place.origin);
  bytes.writeDoubleLE(tsUs, place.ts);
  bytes.writeUInt32LE(unit ?? 0, place.unit);
  bytes.writeUInt16LE(id.length, place.idLength);
  let at = place.id + id.copy(bytes, place.id);
  for (let item = 0; item < count; item++) {
    at = bytes.writeDoubleLE(items[item]!.score ?? NaN, at);
    const text = texts[item];
    at = bytes.writeUInt16LE(text === undefined ? noText : text.length, at);
    if (text !== undefined) at += text.copy(bytes, at);
  }
  return bytes;
}

function cut(text: string): Buffer {
  const bytes = Buffer.from(text);
  return bytes.length > textBytesMax ? bytes.subarray(0, textBytesMax) : bytes;
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
