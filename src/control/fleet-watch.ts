/**
 * PART OF THE ROOT: what follows when something happens to the gateway processes.
 *
 *   snapshot, sketches ─▶ whoever counts        ready, gone ─▶ whoever keeps something by process        overdue, exit ─▶ blame
 *
 * Must not know why a process ends.
 */
import type { Config } from '../config/schema.js';
import { nameOf } from '../core/model.js';
import { FamilyUnpacker } from '../core/packed-families.js';
import { unpackStatistics } from '../core/packed-statistics.js';
import type { Family } from '../core/series.js';
import type { Log } from '../log.js';
import { BlameBook } from '../supervisor/blame.js';
import type { FleetEvent } from '../supervisor/fleet-event.js';
import type { ControlCounts } from './counts.js';
import type { MetricsDesk } from './metrics-desk.js';
import type { Incarnations } from './prediction-room.js';
import type { Rooms } from './rooms.js';
import type { SettingsDesk } from './settings-desk.js';
import type { ShadowInstances } from './shadows.js';

export interface FleetWatchOptions {
  readonly config: Pick<Config, 'http' | 'grpc'>;
  readonly rooms: Rooms;
  readonly metrics: MetricsDesk;
  readonly settings: SettingsDesk;
  readonly incarnations: Incarnations;
  readonly shadows: ShadowInstances;
  readonly counts: ControlCounts;
  readonly log: Log;
  readonly now: () => number;
  readonly onCannotListen: (message: string) => void;
}

type Of<Kind extends FleetEvent['kind']> = Extract<FleetEvent, { kind: Kind }>;

const blameWindowMs = 600_000;

/** A process that tells what it counts. */
interface Teller {
  readonly unpacker: FamilyUnpacker;
  /** Those that run models, as it told last. */
  threads: number;
}

export class FleetWatch {
  readonly #options: FleetWatchOptions;
  readonly #blames: BlameBook;
  /** By life. */
  readonly #tellers = new Map<string, Teller>();

  constructor(options: FleetWatchOptions) {
    this.#options = options;
    this.#blames = new BlameBook({
      windowMs: blameWindowMs,
      blamesMax: 2,
      now: options.now,
      publishedAt: (id) => options.rooms.registry?.publishedAt(id) ?? 0,
    });
  }

  happened(event: FleetEvent): void {
    switch (event.kind) {
      case 'snapshot':
        return this.#counted(event);
      case 'sketches':
        return this.#options.rooms.drift?.take(event.life, event.closed);
      case 'gone':
        return this.#gone(event);
      case 'ready':
        return this.#ready(event);
      case 'overdue':
        return this.#overdue(event);
      case 'cannotListen':
        return this.#options.onCannotListen(event.message);
      case 'exit':
        return this.#exited(event);
    }
  }

  #counted({ life, snapshot, used }: Of<'snapshot'>): void {
    const { rooms, metrics, settings } = this.#options;
    const { registry, guard, routes } = rooms.opened;
    const teller = this.#tellers.get(life) ?? { unpacker: new FamilyUnpacker(), threads: 0 };
    this.#tellers.set(life, teller);
    const families = teller.unpacker.unpack(snapshot.families);
    teller.threads = threadsIn(families);
    metrics.put(life, families, unpackStatistics(snapshot.statistics));
    guard.put(life, families);
    settings.told(life, snapshot.traced);
    routes.take(life, snapshot.arms);
    registry.touch(used);
  }

  #gone({ life }: Of<'gone'>): void {
    const { rooms, metrics, settings, incarnations } = this.#options;
    settings.ended(life);
    rooms.drift?.ended(life);
    rooms.registry?.routes.ended(life);
    rooms.registry?.guard.end(life);
    metrics.end(life);
    incarnations.ended(life);
  }

  #ready({ process: number, life, pid, tookMs, listening }: Of<'ready'>): void {
    const { config, metrics, incarnations, log } = this.#options;
    const { http, grpc } = config;
    const { httpPort, httpEngine: engine, grpcPort, incarnation } = listening;
    incarnations.ready(life, `gateway_${number}`, incarnation);
    metrics.listens(listening);
    log.info('gateway.ready', {
      process: number,
      gatewayPid: pid,
      ...(httpPort === undefined ? {} : { http: `http://${http.host}:${httpPort}`, engine }),
      ...(grpcPort === undefined ? {} : { grpc: `${grpc.host}:${grpcPort}` }),
      tookMs: Math.round(tookMs),
    });
  }

  #overdue({ process: number, version, isShadow }: Of<'overdue'>): void {
    const { rooms, shadows, log } = this.#options;
    const model = nameOf(version);
    log.error('run.overdue', { process: number, model });
    if (!isShadow) rooms.opened.blame(this.#blames.hung(version));
    else if (shadows.drop(version)) log.error('shadow.dropped', { model });
  }

  #exited({ life, process: number, pid, reason, restartMs, suspects }: Of<'exit'>): void {
    const { rooms, counts, log } = this.#options;
    const threads = this.#tellers.get(life)?.threads ?? 0;
    this.#tellers.delete(life);
    if (suspects !== undefined) rooms.registry?.blame(this.#blames.crashed(suspects));
    if (restartMs === undefined) return;
    counts.restarts.add([reason]);
    counts.threadRestarts.add([reason], threads);
    log.error('gateway.exit', { process: number, gatewayPid: pid, reason, restartMs: Math.round(restartMs) });
  }
}

function threadsIn(families: readonly Family[]): number {
  const workers = families.find(({ name }) => name === 'sluice_workers');
  return (
    workers?.series.reduce((sum, { labels, value }) => sum + (labels.state === 'starting' ? 0 : Number(value)), 0) ?? 0
  );
}
