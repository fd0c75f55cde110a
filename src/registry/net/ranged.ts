/**
 * The bytes of a file from where they were left: what a server may answer to a range, and what that means.
 *
 *   206 from there ─▶ go on      200 ─▶ it starts over      416, another part ─▶ ask for the whole      412 ─▶ it has changed
 *
 * Must not know sources.
 */
import { GatewayError } from '../../core/errors.js';
import type { FileStream } from '../source.js';
import type { Answer } from './http.js';

export interface RangeStart {
  readonly offset: number;
  readonly etag: string | undefined;
}

/** A weak tag says "much the same", which is not enough to go on in the middle of a file. */
export function strongTagOf(headers: Readonly<Record<string, string>>): string | undefined {
  const tag = headers.etag;
  return tag !== undefined && /^"[\x21\x23-\x7e]*"$/.test(tag) ? tag : undefined;
}

type Refuse = (answer: Answer, what: string) => GatewayError | Promise<GatewayError>;

/**
 * @param ask sends the request with the header `range` given to it, or without one
 * @param what begins the text of what is thrown: model, version and file
 * @param refuse what a status other than 200 and 206 means
 * @throws what it gives; FAILED_PRECONDITION for a part that was not asked for
 */
export async function openRange(
  from: RangeStart,
  ask: (range: string | undefined) => Promise<Answer>,
  what: string,
  refuse: Refuse = refusalOf,
): Promise<FileStream> {
  if (from.offset > 0 && from.etag !== undefined) {
    const answer = await ask(`bytes=${from.offset}-`);
    const whole = answer.status === 206 ? wholeBytesOf(answer, from) : undefined;
    if (whole !== undefined) {
      return { chunks: answer.body, offset: from.offset, bytes: whole, etag: from.etag };
    }
    if (answer.status !== 206 && answer.status !== 416) return fromTheStart(answer, what, refuse);
    answer.dispose();
  }
  return fromTheStart(await ask(undefined), what, refuse);
}

/** Of the file that this is the wanted part of; undefined when it is another part, or of another file. */
function wholeBytesOf(answer: Answer, from: RangeStart): number | undefined {
  const part = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(answer.headers['content-range'] ?? '');
  if (part === null || strongTagOf(answer.headers) !== from.etag) return undefined;
  const [start, last, whole] = part.slice(1).map(Number) as [number, number, number];
  return start === from.offset && last === whole - 1 ? whole : undefined;
}

async function fromTheStart(answer: Answer, what: string, refuse: Refuse): Promise<FileStream> {
  if (answer.status === 206) {
    answer.dispose();
    throw new GatewayError('FAILED_PRECONDITION', `${what}: the server sends a part where the whole was asked for`);
  }
  if (answer.status !== 200) throw await refuse(answer, what);
  return { chunks: answer.body, offset: 0, bytes: lengthOf(answer), etag: strongTagOf(answer.headers) };
}

/** The error that a status is; its answer is disposed of. */
export function refusalOf(answer: Answer, what: string): GatewayError {
  answer.dispose();
  const { status } = answer;
  if (status === 401) return new GatewayError('UNAUTHENTICATED', `${what}: the server wants other credentials (401)`);
  if (status === 403) return new GatewayError('PERMISSION_DENIED', `${what}: the credentials do not suffice (403)`);
  if (status === 404 || status === 410) return new GatewayError('NOT_FOUND', `${what}: is not there (${status})`);
  if (status === 412) return new GatewayError('FAILED_PRECONDITION', `${what}: has changed since it was listed (412)`);
  return new GatewayError('FAILED_PRECONDITION', `${what}: the server answers ${status}`);
}

function lengthOf(answer: Answer): number | undefined {
  const text = answer.headers['content-length'];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
