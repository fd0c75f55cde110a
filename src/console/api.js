/**
 * Questions to the control port that this page came from, and their failures as errors with a status.
 *
 * Must not know what is shown.
 */
import { tokenOfTab } from './session.js';

const timeoutMs = 10_000;

export class ApiError extends Error {
  /** @param {number} status 0 = nobody answered */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @param {string} path as in the OpenAPI document, its names encoded */
export function get(path) {
  return ask('GET', path);
}

/** @param {object} body */
export function post(path, body) {
  return ask('POST', path, JSON.stringify(body));
}

/** What is there, or undefined where this server has nothing of the kind. */
export async function getIfAny(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error.status === 404 || error.status === 501) return undefined;
    throw error;
  }
}

async function ask(method, path, body) {
  const token = tokenOfTab();
  const headers = { accept: 'application/json' };
  if (token !== '') headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response;
  try {
    response = await fetch(path, { method, headers, body, cache: 'no-store', signal: AbortSignal.timeout(timeoutMs) });
  } catch {
    throw new ApiError(0, 'The control process does not answer.');
  }
  const answer = await response.json().catch(() => undefined);
  if (response.ok && answer !== undefined) return answer;
  throw new ApiError(response.status, String(answer?.error ?? `answered ${response.status}`));
}
