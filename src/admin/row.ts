/**
 * A line of a URL table: what may be asked, by whom, with which body. Dispatch, the check of roles and the OpenAPI document
 * are all made from such lines, so that they cannot differ.
 *
 * Must not know what is done with a request.
 */
import type { z } from 'zod';
import type { Role } from './auth.js';

export interface Row {
  readonly method: 'GET' | 'POST';
  /** `/admin/models/{model}/promote`. */
  readonly path: string;
  /** The least role that may ask; open = anybody. */
  readonly role: Role | 'open';
  readonly summary: string;
  readonly body?: z.ZodType;
  readonly query?: readonly QueryParameter[];
  /** Of the answer; JSON when left out. */
  readonly contentType?: string;
}

export interface QueryParameter {
  readonly name: string;
  readonly description: string;
  readonly schema: object;
}

/**
 * The rows whose path is the one asked for, whatever their method.
 * @param segments decoded, without the first slash
 */
export function rowsAt<Kind extends Row>(rows: readonly Kind[], segments: readonly string[]): Kind[] {
  const fitting = rows.filter(({ path }) => namesIn(path, segments) !== undefined);
  // `/v2/models/stats` also fits `/v2/models/{model}`: what is written out wins.
  const exact = fitting.filter(({ path }) => !path.includes('{'));
  return exact.length > 0 ? exact : fitting;
}

/** The values of the names in braces; undefined when the path does not fit. */
export function namesIn(path: string, segments: readonly string[]): Readonly<Record<string, string>> | undefined {
  const parts = path.slice(1).split('/');
  if (parts.length !== segments.length) return undefined;
  const names: Record<string, string> = {};
  for (const [index, part] of parts.entries()) {
    const segment = segments[index]!;
    if (part.startsWith('{')) names[part.slice(1, -1)] = segment;
    else if (part !== segment) return undefined;
  }
  return names;
}
