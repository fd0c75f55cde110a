/**
 * What may be asked of what is watched, beside drift itself: a closed union, and the URL table that leads to it.
 *
 * Must not know how it is measured, or how a request is run again.
 */
import { z } from 'zod';
import { checked, modelOf, requestIdOf } from './checked.js';
import {
  type DriftQuestion,
  driftQuery,
  driftQuestion,
  type SketchQuestion,
  sketchQuery,
  sketchQuestion,
} from './drift-operations.js';
import type { Row } from './row.js';

export type Monitoring =
  | ({ readonly ask: 'data-quality'; readonly model: string } & DriftQuestion)
  | ({ readonly ask: 'sketches'; readonly model: string } & SketchQuestion)
  | { readonly ask: 'shadow'; readonly model: string }
  /** @param reason why, for the audit log */
  | { readonly ask: 'replay'; readonly request: string; readonly reason: string };

type Names = Readonly<Record<string, string>>;

interface MonitoringRow extends Row {
  /** @throws INVALID_ARGUMENT, NOT_FOUND */
  readonly read: (names: Names, query: URLSearchParams, body: unknown) => Monitoring;
}

const replayBody = z.strictObject({ reason: z.string().max(1000).default('') });

/** The URL table of what is watched. */
export const monitoringRows: readonly MonitoringRow[] = [
  {
    method: 'GET',
    path: '/admin/models/{model}/data-quality',
    role: 'viewer',
    summary: 'Whether the values of each feature are sound: missing, invalid, out of range, unseen, vanished, constant',
    query: driftQuery,
    read: ({ model }, query) => ({ ask: 'data-quality', model: modelOf(model), ...driftQuestion(query) }),
  },
  {
    method: 'GET',
    path: '/admin/models/{model}/sketches',
    role: 'viewer',
    summary: 'What was counted of each feature: bins as they are kept, missing, invalid, moments; of every role',
    query: sketchQuery,
    read: ({ model }, query) => ({ ask: 'sketches', model: modelOf(model), ...sketchQuestion(query) }),
  },
  {
    method: 'GET',
    path: '/admin/models/{model}/shadow',
    role: 'viewer',
    summary: 'What the shadows of one model have found, with examples',
    read: ({ model }) => ({ ask: 'shadow', model: modelOf(model) }),
  },
  {
    method: 'POST',
    path: '/admin/requests/{request}/replay',
    // It shows what callers sent and were answered.
    role: 'operator',
    summary: 'Run a logged request on the same version again and compare the answers',
    body: replayBody,
    read: ({ request }, _, body) => ({
      ask: 'replay',
      request: requestIdOf(request),
      ...checked(replayBody, body),
    }),
  },
];
