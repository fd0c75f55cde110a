/**
 * What a caller says was true, as it is sent and as it is kept.
 *
 *   {request_id, item_index?, label, label_key?, ts?, source?, weight?}
 *   {groundTruthData: {data, encoding}, eventMetadata: {eventId}, eventVersion}
 *
 * Must not know predictions.
 */
import { invalid } from '../core/errors.js';

export interface Label {
  readonly requestId: string;
  readonly item: number;
  readonly key: string;
  readonly label: string;
  /** When it became true for its sender; undefined = when it came. In milliseconds since the epoch. */
  readonly tsMs: number | undefined;
  readonly source: string;
  readonly weight: number;
}

export type LabelStatus = 'accepted' | 'duplicate' | 'pending' | 'unknown_model' | 'invalid';

/** What became of one label; as JSON. */
export interface LabelAnswer {
  readonly request_id: string;
  readonly item_index: number;
  readonly status: LabelStatus;
  /** Why it is invalid. */
  readonly reason?: string;
}

/** One that is not as it should be. */
export interface Refused {
  readonly requestId: string;
  readonly item: number;
  readonly reason: string;
}

export const labelsMax = 1000;
const idLengthMax = 1024;
const textLengthMax = 256;
const itemMax = 1_000_000;
const weightMax = 1e6;
/** 1970 to 9999. */
const epochMsMax = 253_402_300_799_999;

type Members = Readonly<Record<string, unknown>>;

/** @throws INVALID_ARGUMENT for what is no list of labels, or too long a one */
export function labelsIn(body: unknown): (Label | Refused)[] {
  const list = Array.isArray(body) ? (body as readonly unknown[]) : [body];
  if (list.length === 0 || list.length > labelsMax)
    throw invalid(`feedback: expected 1 to ${labelsMax} labels, got ${list.length}`);
  return list.map(labelIn);
}

export function isRefused(label: Label | Refused): label is Refused {
  return 'reason' in label;
}

class Wrong extends Error {}

function labelIn(value: unknown): Label | Refused {
  const members = objectIn(value) ?? {};
  try {
    if (objectIn(value) === undefined) throw new Wrong('expected an object');
    return members.groundTruthData === undefined ? plainLabel(members) : groundTruth(members);
  } catch (thrown) {
    if (!(thrown instanceof Wrong)) throw thrown;
    const { request_id: id, item_index: item } = members;
    const requestId = typeof id === 'string' ? id.slice(0, idLengthMax) : '';
    return { requestId, item: Number.isInteger(item) ? (item as number) : 0, reason: thrown.message };
  }
}

const known = ['request_id', 'item_index', 'label', 'label_key', 'ts', 'source', 'weight'];

function plainLabel(members: Members): Label {
  const strange = Object.keys(members).find((name) => !known.includes(name));
  if (strange !== undefined) throw new Wrong(`unknown member '${strange.slice(0, 64)}'`);
  return {
    requestId: idIn(members.request_id, 'request_id'),
    item: members.item_index === undefined ? 0 : itemIn(members.item_index),
    key: members.label_key === undefined ? 'label' : textIn(members.label_key, 'label_key'),
    label: valueIn(members.label, 'label'),
    tsMs: members.ts === undefined ? undefined : timeIn(members.ts),
    source: members.source === undefined ? '' : textIn(members.source, 'source'),
    weight: members.weight === undefined ? 1 : weightIn(members.weight),
  };
}

function groundTruth({ groundTruthData, eventMetadata, eventVersion }: Members): Label {
  if (eventVersion !== undefined && eventVersion !== '0') throw new Wrong(`eventVersion: expected "0"`);
  const { data } = objectIn(groundTruthData) ?? {};
  return {
    requestId: idIn(objectIn(eventMetadata)?.eventId, 'eventMetadata.eventId'),
    item: 0,
    key: 'label',
    label: valueIn(typeof data === 'string' ? data.trim() : data, 'groundTruthData.data'),
    tsMs: undefined,
    source: 'groundTruthData',
    weight: 1,
  };
}

function objectIn(value: unknown): Members | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Members) : undefined;
}

function idIn(value: unknown, name: string): string {
  if (typeof value === 'string' && value !== '' && value.length <= idLengthMax && !value.includes('\0')) return value;
  throw new Wrong(`${name}: expected 1 to ${idLengthMax} characters`);
}

function textIn(value: unknown, name: string): string {
  if (typeof value === 'string' && value !== '' && value.length <= textLengthMax && !value.includes('\0')) return value;
  throw new Wrong(`${name}: expected 1 to ${textLengthMax} characters`);
}

function valueIn(value: unknown, name: string): string {
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  if (typeof value === 'string') return textIn(value, name);
  throw new Wrong(`${name}: expected a text, a finite number or a boolean`);
}

function itemIn(value: unknown): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) < itemMax) return value as number;
  throw new Wrong(`item_index: expected an integer from 0 to ${itemMax - 1}`);
}

function weightIn(value: unknown): number {
  if (typeof value === 'number' && value > 0 && value <= weightMax) return value;
  throw new Wrong(`weight: expected a number above 0 and at most ${weightMax}`);
}

/** Milliseconds since the epoch, or RFC 3339. */
function timeIn(value: unknown): number {
  const isText = typeof value === 'string' && /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/.test(value);
  const ms = isText ? Date.parse(value as string) : typeof value === 'number' ? value : NaN;
  if (ms >= 0 && ms <= epochMsMax) return ms;
  throw new Wrong('ts: expected RFC 3339 or milliseconds since 1970');
}
