/**
 * Reads an answer whole when it is known to be small: an index, a listing, a manifest, an error.
 *
 * Must not know what the text means.
 */
import { GatewayError } from '../../core/errors.js';
import type { Answer } from './http.js';

/** Of documents from outside, unless a format says otherwise (reliability.md: response, manifest, index). */
export const documentBytesMax = 4 * 1024 * 1024;
const depthMax = 32;

const quote = 0x22;
const backslash = 0x5c;
/** The closing ones come two places later. */
const openBracket = 0x5b;
const openBrace = 0x7b;

/** @throws FAILED_PRECONDITION when there is more, or it was compressed on the way; what reading throws */
export async function bytesOf(answer: Answer, bytesMax: number): Promise<Buffer> {
  const coding = answer.headers['content-encoding'] ?? 'identity';
  if (coding !== 'identity') throw given(answer, 'the answer is compressed, although that was not asked for');
  if (Number(answer.headers['content-length'] ?? 0) > bytesMax) throw given(answer, tooLong(bytesMax));
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw given(answer, tooLong(bytesMax));
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

/** @throws FAILED_PRECONDITION also when it is not UTF-8 */
export async function textOf(answer: Answer, bytesMax: number): Promise<string> {
  return decoded(await bytesOf(answer, bytesMax), answer.url.host);
}

/** @throws FAILED_PRECONDITION also when it is a page instead of JSON, or nested too deep */
export async function jsonOf(answer: Answer, bytesMax: number): Promise<unknown> {
  const type = answer.headers['content-type'] ?? '';
  // Stores call everything octet-stream or plain text, but markup is what a login page or a proxy answers.
  if (/\b(html|xml)\b/i.test(type)) throw given(answer, `expected JSON, got ${mediaTypeOf(type)}`);
  return parseJson(await bytesOf(answer, bytesMax), answer.url.host);
}

/** @param where begins the text of what is thrown */
export function parseJson(bytes: Uint8Array, where: string): unknown {
  const text = decoded(bytes, where);
  if (nestingOf(text) > depthMax)
    throw new GatewayError('FAILED_PRECONDITION', `${where}: JSON nested over ${depthMax}`);
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message would quote what came, which may be anything.
    throw new GatewayError('FAILED_PRECONDITION', `${where}: expected JSON`);
  }
}

function decoded(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new GatewayError('FAILED_PRECONDITION', `${where}: expected UTF-8 text`);
  }
}

/** Counted before parsing: the parser itself recurses. Brackets in strings do not count. */
function nestingOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let isString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (isString && code === backslash) at++;
    else if (code === quote) isString = !isString;
    else if (isString) continue;
    else if (code === openBracket || code === openBrace) deepest = Math.max(deepest, ++depth);
    else if (code === openBracket + 2 || code === openBrace + 2) depth--;
  }
  return deepest;
}

function mediaTypeOf(type: string): string {
  return /^[\w.+-]+\/[\w.+-]+/.exec(type)?.[0] ?? 'something else';
}

function tooLong(bytesMax: number): string {
  return `the answer has more than ${bytesMax} bytes`;
}

function given(answer: Answer, reason: string): GatewayError {
  answer.dispose();
  return new GatewayError('FAILED_PRECONDITION', `${answer.url.host}: ${reason}`);
}
