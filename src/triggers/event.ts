/**
 * An event as CloudEvents 1.0 in structured JSON, the form in which webhooks carry it unless another was asked for.
 *
 * Must not know who raises it or where it is sent.
 */
import { invalid } from '../core/errors.js';
import { type TriggerType, triggerTypes } from '../core/trigger.js';

export interface TriggerEvent {
  /** Stays the same however often it is sent. */
  readonly id: string;
  /** `/sluice/<instance>`. */
  readonly source: string;
  readonly type: TriggerType;
  /** `fraud@7`, or `fraud` when no version is meant. Events of one subject are delivered in order. */
  readonly subject: string;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export const cloudEventContentType = 'application/cloudevents+json; charset=utf-8';

const subjectCharactersMax = 300;
const idCharactersMax = 128;

/** @throws INVALID_ARGUMENT for what no receiver could take */
export function checkEvent({ id, type, subject }: TriggerEvent): void {
  if (!triggerTypes.includes(type)) throw invalid(`event: expected a type of the closed list, got '${type}'`);
  if (!/^[A-Za-z0-9._-]+$/.test(id) || id.length > idCharactersMax)
    throw invalid(`event ${type}: expected an id of at most ${idCharactersMax} letters, digits, '.', '_' or '-'`);
  if (subject.length === 0 || subject.length > subjectCharactersMax || /\p{Cc}/u.test(subject))
    throw invalid(`event ${type}: expected a subject of 1 to ${subjectCharactersMax} printable characters`);
}

export function cloudEventText({ id, source, type, subject, time, data }: TriggerEvent): string {
  const context = { specversion: '1.0', id, source, type, subject, time, datacontenttype: 'application/json' };
  return JSON.stringify({ ...context, data });
}
