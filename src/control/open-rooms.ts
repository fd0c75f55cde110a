/**
 * PART OF THE ROOT: opens the rooms that only watch: what is logged, what is told to others, drift, labels.
 *
 *   registry room ─▶ triggers ─▶ predictions ─▶ drift ─▶ labels        drift, labels ─ events, judged windows ─▶ triggers
 *
 * Must not know how models are served.
 */
import { experimentNameOf } from '../config/route-agreement.js';
import type { Config } from '../config/schema.js';
import type { Log } from '../log.js';
import type { ControlCounts } from './counts.js';
import { DriftRoom } from './drift-room.js';
import { observationOf } from './label-observation.js';
import { LabelRoom } from './label-room.js';
import { sourceStates } from './operations.js';
import { type Incarnations, PredictionRoom } from './prediction-room.js';
import type { RegistryRoom } from './registry-room.js';
import type { Rooms } from './rooms.js';
import { TriggerRoom } from './trigger-room.js';

export interface OpenRoomsOptions {
  readonly config: Config;
  readonly log: Log;
  readonly counts: ControlCounts;
  readonly incarnations: Incarnations;
  /** Only ever forward. */
  readonly now: () => number;
  /** Of the wall. */
  readonly epochNow: () => number;
  readonly random: () => number;
  readonly newId: () => string;
  /** Where credentials are. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export async function openRooms(rooms: Rooms, room: RegistryRoom, options: OpenRoomsOptions): Promise<void> {
  const { config, counts, incarnations, ...given } = options;
  const tools = {
    ...given,
    epochMs: given.epochNow,
    onRefused: ({ kind }: { readonly kind: string }) => counts.outboundRefused.add([kind]),
  };
  const told = {
    onChange: (event: Parameters<Rooms['raise']>[0]) => rooms.raise(event),
    onJudged: (judged: Parameters<Rooms['judged']>[0]) => rooms.judged(judged),
  };
  rooms.triggers = await TriggerRoom.open({ ...tools, config, room, sources: () => sourceStates(room) });
  rooms.predictions = PredictionRoom.open({
    ...tools,
    config: config.prediction_log,
    instance: config.server.name,
    isLive: (gatewayId, incarnation) => incarnations.isLive(gatewayId, incarnation),
  });
  rooms.drift = DriftRoom.open({ ...tools, ...told, config });
  rooms.labels = LabelRoom.open({
    ...tools,
    ...told,
    config,
    onRefused: (kind) => {
      counts.securityEvents.add([kind]);
      counts.authFailures.add([kind]);
    },
    hasModel: (model) => room.registry.has(model),
    championOf: (model) => rooms.championOf(model),
    routeOf: (experiment) => routeWith(room.routes.inForce(), experiment),
    onLabel: ({ prediction, told: { label }, replaces }) => {
      const { experiment, phase, assigned, unit, reason } = prediction;
      if (unit === undefined || reason !== 'weight') return;
      room.routes.addLabel({ experiment, phase, assigned, key: unit }, (metric) => [
        observationOf(metric, prediction, label),
        replaces && observationOf(metric, prediction, replaces.label),
      ]);
    },
  });
}

function routeWith(routes: Config['routes'], experiment: string): string | undefined {
  return Object.keys(routes).find((model) => experimentNameOf(model, routes[model]!) === experiment);
}
