/**
 * What a caller of the control port sends, checked: bodies by their schema, names by the rule of names.
 *
 * Must not know operations.
 */
import type { z } from 'zod';
import { GatewayError, invalid } from '../core/errors.js';
import { isModelName, isVersionText } from '../core/model.js';

const textMax = 1000;
const requestIdMax = 1024;

/** @throws NOT_FOUND for a name that no model can have */
export function modelOf(name = ''): string {
  if (isModelName(name)) return name;
  throw new GatewayError('NOT_FOUND', `Request for unknown model: '${name.slice(0, 128)}' is not found`);
}

/** @throws NOT_FOUND for what no version can be called */
export function versionOf(text = ''): string {
  if (isVersionText(text)) return text;
  throw new GatewayError('NOT_FOUND', `expected a version number, got '${text.slice(0, 20)}'`);
}

/** @throws INVALID_ARGUMENT for what no request can be called */
export function requestIdOf(id = ''): string {
  if (id.length >= 1 && id.length <= requestIdMax) return id;
  throw invalid(`expected a request id of 1 to ${requestIdMax} characters`);
}

/** @throws INVALID_ARGUMENT with the path of the first thing that is wrong */
export function checked<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body ?? {});
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  // It names keys as they were sent.
  throw invalid(`${issue.path.length === 0 ? 'body' : issue.path.join('.')}: ${issue.message}`.slice(0, textMax));
}
