/**
 * What every HTTP engine must refuse alike, whatever its parser lets through: doubtful framing, too many headers, bytes that
 * are read differently here and there. And what none may ever write: a header value with a line end.
 *
 * Must not know which engine asks.
 */
import { GatewayError } from '../core/errors.js';
import type { HttpResponse } from './transport.js';

export const headerBytesMax = 16 * 1024;
export const headersMax = 100;

/** An answer of the transport itself, in the form that V2 gives to errors. */
export function refusal(status: number, error: string): HttpResponse {
  return { status, headers: [['Content-Type', 'application/json']], body: JSON.stringify({ error }), isLast: true };
}

const unsafePath = /[^!-~]/;

/**
 * Looks at the head of a request.
 * @param headers names in lower case and values by turns
 * @returns the refusal, or undefined when all is well
 */
export function checkHead(path: string, headers: readonly string[]): HttpResponse | undefined {
  if (headers.length > 2 * headersMax) return tooManyHeaders();
  if (path.charCodeAt(0) !== 0x2f || unsafePath.test(path))
    return refusal(400, 'the request path must be ASCII and begin with /');
  let lengths = 0;
  let encodings = 0;
  let hosts = 0;
  let bytes = path.length;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!;
    bytes += name.length + headers[i + 1]!.length + 4;
    // By length first: most names differ there, and a comparison of numbers is the cheapest.
    if (name.length === 4) {
      if (name === 'host') hosts++;
    } else if (name.length === 14) {
      if (name !== 'content-length') continue;
      lengths++;
      if (!isDigits(headers[i + 1]!)) return refusal(400, 'Content-Length must be a run of digits');
    } else if (name.length === 17) {
      if (name !== 'transfer-encoding') continue;
      encodings++;
      if (headers[i + 1]!.trim().toLowerCase() !== 'chunked') return refusal(400, 'Transfer-Encoding must be chunked');
    }
  }
  if (bytes > headerBytesMax) return tooManyHeaders();
  if (hosts !== 1) return refusal(400, 'exactly one Host header is required');
  if (lengths + encodings > 1) {
    return refusal(400, 'at most one Content-Length or Transfer-Encoding header is accepted');
  }
  return undefined;
}

function tooManyHeaders(): HttpResponse {
  return refusal(431, 'Request Header Fields Too Large');
}

function isDigits(text: string): boolean {
  if (text.length === 0 || text.length > 15) return false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x30 || code > 0x39) return false;
  }
  return true;
}

/** The value of a header in the flat list of them. */
export function headerOf(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return headers[i + 1];
  return undefined;
}

const lineEnds = /[\r\n\0]/;

/** A header value without CR, LF and NUL: nobody's text may end a header. */
export function cleanValue(value: string): string {
  return lineEnds.test(value) ? value.replace(/[\r\n\0]/g, '') : value;
}

/** The refusals that a body itself can cause, with their status. */
export const bodyRefusals = {
  tooLarge: (bytes: number, bytesMax: number) =>
    new GatewayError(
      'RESOURCE_EXHAUSTED',
      `request JSON size of ${bytes} bytes exceeds the maximum allowed input size of ${bytesMax} bytes. Use --http-max-input-size to increase the limit.`,
      { reason: 'too_large' },
    ),
  tooSlow: () =>
    new GatewayError('DEADLINE_EXCEEDED', 'the request body was not received in time', { reason: 'deadline' }),
  tooManyChunks: (chunksMax: number) =>
    new GatewayError('INVALID_ARGUMENT', `the request body has more than ${chunksMax} chunks`, { reason: 'too_large' }),
  noMemory: () =>
    new GatewayError('UNAVAILABLE', 'the server holds too many request bytes, try again', {
      reason: 'memory',
      retryAfterMs: 1000,
    }),
  gone: () => new GatewayError('CANCELLED', 'the client closed its connection', { reason: 'cancelled' }),
};

/** What a request gets that arrives after the port was closed. */
export function shuttingDown(): HttpResponse {
  const { status, headers, body } = refusal(503, 'Server is shutting down and has stopped accepting new requests.');
  return { status, headers: [...headers, ['Retry-After', '1']], body, isLast: true };
}
