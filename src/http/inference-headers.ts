/**
 * What the headers of an inference ask for, and those of its answer.
 *
 * Must not know bodies.
 */
import { GatewayError, invalid } from '../core/errors.js';
import type { VersionId } from '../core/model.js';
import { isRequestId } from '../core/request-id.js';
import type { Assignment } from '../core/route.js';
import { jsonType } from './answers.js';
import { type Coding, contentCoding } from './compress.js';
import { CommonHeaders } from './response-bytes.js';
import type { Header } from './transport.js';

const binaryType: Header = ['Content-Type', 'application/octet-stream'];

/** A body in a coding that we do not read: 415, which no code stands for. */
export class UnsupportedCoding extends GatewayError {
  constructor() {
    super('INVALID_ARGUMENT', 'Unsupported compression type');
  }
}

/** @returns empty when the caller brings none. @throws INVALID_ARGUMENT */
export function requestIdOf(header: string | undefined): string {
  if (header === undefined) return '';
  if (!isRequestId(header)) throw invalid('X-Request-Id must be 1 to 128 characters from ! to ~');
  return header;
}

/** @throws INVALID_ARGUMENT */
export function timeoutOf(header: string | undefined, requestTimeoutMs: number): number {
  if (header === undefined) return requestTimeoutMs;
  if (!/^[1-9][0-9]{0,14}$/.test(header))
    throw invalid(`x-sluice-timeout-ms must be an integer of at least 1, got: ${header}`);
  return Math.min(Number(header), requestTimeoutMs);
}

/** @throws UnsupportedCoding */
export function codingOf(header: string | undefined): Coding | undefined {
  const coding = contentCoding(header);
  if (coding === 'unknown') throw new UnsupportedCoding();
  return coding;
}

/** Those of one answer. @param headerLength of the JSON before binary tensors; undefined when there are none */
export function replyHeaders(id: string, headerLength: number | undefined): Header[] {
  const headers: Header[] = [['x-request-id', id]];
  if (headerLength !== undefined) headers.push(['Inference-Header-Content-Length', String(headerLength)]);
  return headers;
}

type Decided = Pick<Assignment, 'experiment' | 'variant' | 'reason'>;

interface Common {
  readonly decided: Decided | undefined;
  readonly json: CommonHeaders;
  readonly binary: CommonHeaders;
}

/** By who answers: one object for the life of a version. In each, what its routes have decided so far. */
const known = new WeakMap<VersionId, Common[]>();
/** Variants and rules of a route come to fewer. */
const knownMax = 64;

/** Those of all answers of a version that the same decision led to. */
export function commonHeaders(id: VersionId, isBinary: boolean, decided: Decided | undefined): CommonHeaders {
  let some = known.get(id);
  if (some === undefined) {
    some = [];
    known.set(id, some);
  }
  let common = some.find((one) => isSame(one.decided, decided));
  if (common === undefined) {
    common = commonOf(id, decided);
    if (some.length < knownMax) some.push(common);
  }
  return isBinary ? common.binary : common.json;
}

function isSame(one: Decided | undefined, other: Decided | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.variant === other.variant && one.reason === other.reason && one.experiment === other.experiment;
}

function commonOf(id: VersionId, decided: Decided | undefined): Common {
  const named: Header[] = [
    ['x-sluice-model', id.model],
    ['x-sluice-version', id.version],
  ];
  if (decided !== undefined) addAssignment(named, decided);
  return {
    // Not the object of one request, which holds more.
    decided: decided && { experiment: decided.experiment, variant: decided.variant, reason: decided.reason },
    json: new CommonHeaders([jsonType, ...named]),
    binary: new CommonHeaders([binaryType, ...named]),
  };
}

export function errorHeaders(id: string, error: GatewayError): Header[] {
  const headers: Header[] = [['x-request-id', id]];
  if (error instanceof UnsupportedCoding) headers.push(['Accept-Encoding', 'gzip, deflate']);
  return headers;
}

/** Names from the configuration, which no caller has a say in. */
export function addAssignment(headers: Header[], { experiment, variant, reason }: Decided): void {
  headers.push(['x-sluice-experiment', experiment], ['x-sluice-reason', reason]);
  if (variant !== '') headers.push(['x-sluice-variant', variant]);
}
