/**
 * `traceparent` and `tracestate` of W3C trace context: what a caller says of the trace that its request belongs to.
 *
 * Malformed values are as if they had not been sent; a malformed `tracestate` does not harm the `traceparent` beside it.
 *
 * Must not know requests, or who is sampled.
 */

export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
}

/** Version ff and ids of nothing but 0 are not valid; what a later version appends is not ours to read. */
const form = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?$/;
const lengthMax = 512;

export function parentOf(text: string | undefined): TraceParent | undefined {
  if (text === undefined || text.length < 55 || text.length > lengthMax) return undefined;
  const match = form.exec(text);
  if (match === null || (match[1] === '00' && match[5] !== undefined)) return undefined;
  return { traceId: match[2]!, spanId: match[3]!, isSampled: (Number.parseInt(match[4]!, 16) & 1) === 1 };
}

const membersMax = 32;
const member =
  /^[ \t]*(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})=[ -+\--<>-~]{0,255}[!-+\--<>-~][ \t]*$/;

/** @returns '' when there is none that is valid */
export function stateOf(text: string | undefined): string {
  if (text === undefined || text.length > lengthMax) return '';
  const members = text.split(',').filter((one) => !/^[ \t]*$/.test(one));
  const isValid = members.length <= membersMax && members.every((one) => member.test(one));
  return isValid ? members.map((one) => one.trim()).join(',') : '';
}
