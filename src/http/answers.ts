/**
 * Answers in the form that V2 clients expect: JSON with exactly `application/json`, errors as `{"error"}`.
 *
 * Must not know endpoints.
 */
import type { GatewayError } from '../core/errors.js';
import { httpStatus } from './codec.js';
import { jsonText } from './json-writer.js';
import type { Header, HttpResponse } from './transport.js';

/** Clients show an error's text only under exactly this value: no charset. */
export const jsonType: Header = ['Content-Type', 'application/json'];

export function jsonAnswer(status: number, value: unknown): HttpResponse {
  return { status, headers: [jsonType], body: jsonText(value) };
}

/** @param headers further ones */
export function errorAnswer(
  error: GatewayError,
  status = httpStatus(error),
  headers: readonly Header[] = [],
): HttpResponse {
  if (status !== 429 && status !== 503) {
    return { status, headers: [jsonType, ...headers], body: JSON.stringify({ error: error.message }) };
  }
  const retryAfterMs = Math.max(1, Math.ceil(error.retryAfterMs ?? 1000));
  return {
    status,
    headers: [jsonType, ['Retry-After', String(Math.ceil(retryAfterMs / 1000))], ...headers],
    body: JSON.stringify({ error: error.message, retry_after_ms: retryAfterMs }),
  };
}
