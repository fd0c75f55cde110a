/**
 * The body of an answer as bytes, its common headers and the text of a status.
 *
 * Must not know engines.
 */
import { STATUS_CODES } from 'node:http';
import { cleanValue } from './framing.js';
import type { Header, HttpResponse } from './transport.js';

/** Headers that many answers have in common, put together once. */
export class CommonHeaders {
  readonly headers: readonly Header[];
  /** As they stand in an answer, after another header's value: each begins with the end of the line before. */
  readonly text: string;

  constructor(headers: readonly Header[]) {
    this.headers = headers;
    this.text = headers.map(([name, value]) => `\r\n${name}: ${cleanValue(value)}`).join('');
  }
}

/** The whole body in one piece. */
export function wholeBody(body: HttpResponse['body']): Uint8Array {
  if (typeof body === 'string') return Buffer.from(body);
  if (body instanceof Uint8Array) return body;
  return Buffer.concat(body.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
}

/** The body as it is, each part as bytes. */
export function piecesOf(body: HttpResponse['body']): readonly Uint8Array[] {
  if (typeof body === 'string') return [Buffer.from(body)];
  if (body instanceof Uint8Array) return [body];
  return body.map((part) => (typeof part === 'string' ? Buffer.from(part) : part));
}

export function sizeOf(body: HttpResponse['body']): number {
  if (typeof body === 'string') return Buffer.byteLength(body);
  if (body instanceof Uint8Array) return body.length;
  let bytes = 0;
  for (const part of body) bytes += typeof part === 'string' ? Buffer.byteLength(part) : part.length;
  return bytes;
}

/** `404 Not Found`. */
export function statusLine(status: number): string {
  return `${status} ${STATUS_CODES[status] ?? 'Unknown'}`;
}
