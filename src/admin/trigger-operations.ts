/**
 * What may be asked of triggers: a closed union, and the URL table that leads to it.
 *
 * Must not know what is done with an operation.
 */
import { z } from 'zod';
import { type TriggerType, triggerTypes } from '../core/trigger.js';
import { checked, modelOf } from './checked.js';
import type { Row } from './row.js';

export type Triggering =
  | { readonly ask: 'show' }
  /** Of one event, of one endpoint, or of all. */
  | { readonly ask: 'replay'; readonly id?: string | undefined; readonly endpoint?: string | undefined }
  | { readonly ask: 'close'; readonly model: string; readonly reason: string }
  /** A request for a training opens one; any other type is only said. */
  | { readonly ask: 'test'; readonly model: string; readonly type: TriggerType; readonly reason: string };

type Names = Readonly<Record<string, string>>;

interface TriggerRow extends Row {
  /** @throws INVALID_ARGUMENT, NOT_FOUND */
  readonly read: (names: Names, body: unknown) => Triggering;
}

const reason = z.string().max(1000).default('');
const replayBody = z.strictObject({ id: z.string().max(128).optional(), endpoint: z.string().max(32).optional() });
const closeBody = z.strictObject({ reason });
const testBody = z.strictObject({
  model: z.string().max(128),
  type: z.enum(triggerTypes).default('io.sluice.retrain.requested'),
  reason,
});

const act = { method: 'POST', role: 'operator' } as const;

/** The URL table of triggers. */
export const triggerRows: readonly TriggerRow[] = [
  {
    method: 'GET',
    path: '/admin/triggers',
    role: 'viewer',
    summary: 'Who is told of what, what waits to be delivered, and open requests for trainings',
    read: () => ({ ask: 'show' }),
  },
  {
    ...act,
    path: '/admin/triggers/replay',
    summary: 'Deliver dead letters again',
    body: replayBody,
    read: (_, body) => ({ ask: 'replay', ...checked(replayBody, body) }),
  },
  {
    ...act,
    path: '/admin/triggers/test',
    summary: 'Ask for a training of a model by hand, or send any event as a test',
    body: testBody,
    read: (_, body) => {
      const { model, ...rest } = checked(testBody, body);
      return { ask: 'test', model: modelOf(model), ...rest };
    },
  },
  {
    ...act,
    path: '/admin/triggers/{model}/close',
    summary: 'Close the open request for a training of a model',
    body: closeBody,
    read: ({ model }, body) => ({ ask: 'close', model: modelOf(model), ...checked(closeBody, body) }),
  },
];
