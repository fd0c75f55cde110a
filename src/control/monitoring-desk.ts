/**
 * PART OF THE ROOT: what is asked of what is watched, answered by those who watch.
 *
 * Must not know how anything is measured.
 */
import type { Monitoring } from '../admin/monitoring-operations.js';
import { GatewayError } from '../core/errors.js';
import type { ShadowReport } from '../core/shadow-report.js';
import { dataQualityOf } from './data-quality-document.js';
import type { DriftRoom } from './drift-room.js';
import { type ReplayTools, replayed } from './request-replay.js';
import { documentOf, type ShadowDocument } from './shadow-document.js';

export interface MonitoringTools extends ReplayTools {
  /** Undefined when nothing is watched. */
  readonly drift: DriftRoom | undefined;
  readonly shadows: () => Promise<readonly ShadowReport[]>;
}

/** @throws NOT_FOUND, FAILED_PRECONDITION, UNAVAILABLE; UNIMPLEMENTED when nothing is watched */
export async function monitored(asked: Monitoring, tools: MonitoringTools): Promise<unknown> {
  switch (asked.ask) {
    case 'data-quality':
      return dataQualityOf(driftOf(tools.drift).document(asked.model, asked.version, asked.stretch));
    case 'sketches':
      return driftOf(tools.drift).sketches(asked.model, asked.version, asked.stretch);
    case 'shadow':
      return { model: asked.model, shadows: await shadowsOf(asked.model, tools) };
    case 'replay':
      return replayed(asked, tools);
  }
}

/** Those that see copies of requests for this model. @throws NOT_FOUND */
async function shadowsOf(model: string, { shadows, room }: MonitoringTools): Promise<ShadowDocument[]> {
  const own = (await shadows()).filter(({ route }) => route === model);
  if (own.length === 0 && !room.registry.has(model))
    throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' is not found`);
  return own.map(documentOf);
}

/** @throws UNIMPLEMENTED when nothing is watched: to who asks, this server has no such thing */
export function driftOf(room: DriftRoom | undefined): DriftRoom {
  if (room !== undefined) return room;
  throw new GatewayError(
    'UNIMPLEMENTED',
    'nothing is watched: set prediction_log.enabled to true, and leave drift.enabled so',
  );
}
