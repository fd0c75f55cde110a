/**
 * PART OF THE ROOT: the rooms of the control process, each from the moment it is open.
 *
 * Whoever answers calls or hears of processes is there before the rooms are, and finds here what there is so far.
 *
 * Must not know how a room is opened.
 */
import { GatewayError } from '../core/errors.js';
import { emptyTable, type RouteTable } from '../core/route.js';
import type { Family } from '../core/series.js';
import type { DriftEvent } from './drift-events.js';
import type { DriftRoom } from './drift-room.js';
import type { JudgedSignals } from './judged-signals.js';
import type { LabelRoom } from './label-room.js';
import type { PredictionRoom } from './prediction-room.js';
import type { QualityEvent } from './quality-room.js';
import { registryFamilies } from './registry-families.js';
import type { RegistryRoom } from './registry-room.js';
import type { TriggerRoom } from './trigger-room.js';

export class Rooms {
  registry: RegistryRoom | undefined;
  /** Undefined when nothing is logged. */
  predictions: PredictionRoom | undefined;
  /** Undefined when nobody is told of anything. */
  triggers: TriggerRoom | undefined;
  /** Undefined when nothing is watched. */
  drift: DriftRoom | undefined;
  /** Undefined when no labels are taken. */
  labels: LabelRoom | undefined;
  /** By which every process answers. */
  table: RouteTable = emptyTable;

  /** The registry and what it stands on. @throws UNAVAILABLE while the server starts */
  get opened(): RegistryRoom {
    if (this.registry === undefined) throw new GatewayError('UNAVAILABLE', 'the server is starting');
    return this.registry;
  }

  championOf(model: string): string | undefined {
    return this.table.routes[model]?.champion;
  }

  raise({ type, subject, data }: DriftEvent | QualityEvent): void {
    void this.triggers?.raise(type, subject, data);
  }

  /** Policies hear of the version that answers by default: one on trial would speak against it with its own numbers. */
  judged({ model, version, signals, facts }: JudgedSignals): void {
    const champion = this.championOf(model);
    if (champion === undefined || champion === version) void this.triggers?.look(model, signals, facts);
  }

  families(): Family[] {
    const { opened, predictions, triggers, drift, labels } = this;
    const others = [predictions, triggers, drift, labels].flatMap((room) => room?.families() ?? []);
    return [...registryFamilies(opened), ...opened.routes.families(), ...others];
  }

  async close(): Promise<void> {
    await this.predictions?.close();
    await this.triggers?.close();
    this.drift?.close();
    await this.labels?.close();
    await this.registry?.close();
  }
}
