/**
 * ROOT of the control process: builds its rooms and hands each the functions it needs.
 *
 *   folder ─▶ registry ─▶ fleet of gateway processes          admin port ─▶ registry, metrics, settings
 *                └ admission (probe child)
 *
 * It decides and observes; it never runs a model and carries no inference. Telemetry of the runtime is off for everything
 * that it starts.
 *
 * Must not know any rule: rules live in the rooms.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { settled } from './config/derived.js';
import type { Config } from './config/schema.js';
import { openAdminDoor } from './control/admin-door.js';
import { admissionOf } from './control/admission-child.js';
import { ControlCounts } from './control/counts.js';
import { FleetWatch } from './control/fleet-watch.js';
import { Hooks } from './control/hooks.js';
import { MetricsDesk } from './control/metrics-desk.js';
import { mismatchEvent } from './control/mismatch-event.js';
import { openRooms } from './control/open-rooms.js';
import { operate, servedListing } from './control/operations.js';
import { Incarnations } from './control/prediction-room.js';
import { openRegistryRoom, type RegistryRoom } from './control/registry-room.js';
import { degradation } from './control/registry-supply.js';
import { relayed } from './control/relay-desk.js';
import { type ConfigFile, type LiveConfig, Reload } from './control/reload.js';
import { Rooms } from './control/rooms.js';
import { SettingsDesk } from './control/settings-desk.js';
import { ShadowInstances } from './control/shadows.js';
import { checkCores, checkRoutes, checkServed, withPorts } from './control/start-checks.js';
import { TokenDesk } from './control/token-desk.js';
import { VersionWatch } from './control/version-watch.js';
import { WatchedFiles } from './control/watched-files.js';
import { GatewayError } from './core/errors.js';
import { nameOf, type VersionId } from './core/model.js';
import type { RelayCall } from './core/relay.js';
import type { Tensor } from './core/tensor.js';
import { createLog, type Log } from './log.js';
import type { Admission } from './registry/admission.js';
import type { Trial, TrialVerdict } from './registry/repository.js';
import { Fleet } from './supervisor/fleet.js';

const now = () => performance.now();
/** Time, chance and credentials, as rooms are given them. */
const given = { now, epochNow: Date.now, random: Math.random, environment: process.env };
const packageVersion: string = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;

/** Where the configuration came from, to be looked at again. */
export interface Rereading {
  readonly read: (file?: ConfigFile) => Config;
  /** Undefined when there is no file. */
  readonly file: string | undefined;
}

/**
 * Serves until a signal says stop; SIGHUP and a changed file have the configuration read again.
 * @returns the exit code of the process
 */
export async function runControl(config: Config, again: Rereading): Promise<number> {
  try {
    return await new Control(await withPorts(settled(config, availableParallelism())), again).run();
  } catch (error) {
    process.stderr.write(`sluice: ${(error as Error).message}\n`);
    return 1;
  }
}

class Control {
  readonly #config: Config;
  readonly #again: Rereading;
  readonly #live: LiveConfig;
  readonly #log: Log;
  readonly #admission: Admission<Trial, TrialVerdict>;
  readonly #rooms = new Rooms();
  readonly #incarnations = new Incarnations(Date.now());
  readonly #counts = new ControlCounts();
  readonly #fleet: Fleet;
  readonly #shadows: ShadowInstances;
  readonly #metrics: MetricsDesk;
  readonly #settings: SettingsDesk;
  readonly #versions: VersionWatch;
  readonly #tokens: TokenDesk;
  #watched: WatchedFiles | undefined;
  #stopped: ((code: number) => void) | undefined;
  #isStopping = false;

  constructor(config: Config, again: Rereading) {
    const rooms = this.#rooms;
    const counts = this.#counts;
    this.#config = config;
    this.#again = again;
    this.#live = { current: config };
    const log = createLog({ level: config.log.level, format: config.log.format, name: 'control' });
    this.#log = log;
    this.#admission = admissionOf(config);
    this.#fleet = new Fleet({
      entry: new URL('./gateway.js', import.meta.url),
      processes: config.gateway.processes,
      marksFile: (life) => join(tmpdir(), `sluice-${process.pid}-${life}.marks`),
      semiSpaceMib: config.gateway.semi_space_mib,
      config,
      package: packageVersion,
      now,
      random: Math.random,
      beatMs: config.gateway.beat_ms,
      beatTimeoutMs: config.gateway.beat_timeout_ms,
      answer: (call) => this.#relay(call, 'operator:v2'),
      onEvent: (event) => events.happened(event),
    });
    const fleet = this.#fleet;
    this.#shadows = new ShadowInstances({
      open: (spec) => fleet.open(spec),
      drain: (id) => fleet.drain({ id, role: 'shadow' }),
      report: (id, error) => log.error('shadow.failed', { model: nameOf(id), error: error.message }),
    });
    this.#metrics = new MetricsDesk({ config: config.metrics, fleet, rooms, counts, version: packageVersion, now });
    this.#settings = new SettingsDesk({
      config,
      log,
      hasModel: (model) => rooms.opened.registry.has(model),
      send: (settings) => fleet.settings(settings),
    });
    this.#tokens = new TokenDesk((rules) => fleet.tokens(rules));
    this.#versions = new VersionWatch({ rooms, metrics: this.#metrics, counts, log, now });
    const events = new FleetWatch({
      config,
      rooms,
      metrics: this.#metrics,
      settings: this.#settings,
      incarnations: this.#incarnations,
      shadows: this.#shadows,
      counts,
      log,
      now,
      onCannotListen: (message) => this.#fail(message),
    });
  }

  async run(): Promise<number> {
    const finished = new Promise<number>((resolve) => {
      this.#stopped = resolve;
    });
    this.#obeySignals();
    try {
      await this.#start();
    } catch (error) {
      this.#fail((error as Error).message);
    }
    return finished;
  }

  async #start(): Promise<void> {
    const startedAt = now();
    const rooms = this.#rooms;
    this.#tokens.follow(this.#config);
    checkCores(this.#config, availableParallelism(), this.#log);
    const room = await this.#openRegistry();
    rooms.registry = room;
    const reload = this.#reloadOf(room);
    await openRooms(rooms, room, {
      config: this.#config,
      log: this.#log,
      counts: this.#counts,
      incarnations: this.#incarnations,
      newId: randomUUID,
      ...given,
    });
    this.#fleet.start();
    await this.#fleet.started();
    await room.supply.start();
    await room.registry.start();
    await room.registry.degrade(degradation(room.supply));
    checkServed(this.#config, room);
    checkRoutes(this.#live.current, room, this.#log);
    await this.#openAdmin(room, reload);
    await this.#shadows.settled();
    this.#fleet.listen();
    this.#watchConfig(reload);
    this.#log.info('started', {
      models: Object.keys(rooms.table.routes).length,
      tookMs: Math.round(now() - startedAt),
    });
  }

  #openRegistry(): Promise<RegistryRoom> {
    const rooms = this.#rooms;
    return openRegistryRoom({
      live: this.#live,
      log: this.#log,
      counts: this.#counts,
      admission: this.#admission,
      open: async (spec) => {
        await this.#fleet.open(spec);
        this.#shadows.opened(spec);
      },
      drain: (id) => {
        this.#shadows.closed(id);
        return this.#fleet.drain({ id });
      },
      publish: async (table) => {
        rooms.table = table;
        await this.#fleet.route(table);
        this.#shadows.publish(table);
      },
      refresh: () => this.#fleet.refresh(),
      observe: (change) => this.#versions.changed(change),
      audited: (record) => {
        this.#counts.changes.add([record.entry.action]);
        rooms.triggers?.audited(record);
      },
      admitted: (id, lineage) => rooms.triggers?.admitted(id, lineage),
      estimateOf: (id, sinceMs) => rooms.drift?.estimateOf(id, sinceMs),
      mismatched: (answer) => void rooms.triggers?.raise(...mismatchEvent(answer)),
      cpuMs: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1000;
      },
      ...given,
    });
  }

  #reloadOf(room: RegistryRoom): Reload {
    return new Reload({
      live: this.#live,
      read: (file) => settled(this.#again.read(file), availableParallelism()),
      audit: room.audit,
      log: this.#log,
      foresee: (next) => room.plan(next),
      contents: (current, next) => this.#tokens.changes(current, next),
      takeUp: async (before) => {
        this.#settings.follow(this.#live.current.log.level);
        this.#followKeys();
        await room.takeUp(before);
      },
    });
  }

  #openAdmin(room: RegistryRoom, reload: Reload): Promise<void> {
    const hooks = new Hooks(this.#config, this.#counts, Date.now);
    return openAdminDoor({
      config: this.#config,
      counts: this.#counts,
      log: this.#log,
      environment: process.env,
      version: packageVersion,
      now,
      metrics: (accept) => this.#metrics.text(accept),
      activity: () => this.#metrics.activity(),
      state: () => this.#rooms.table,
      served: () => servedListing(room),
      relay: (call, actor) => this.#relay(call, actor),
      operate: (operation, actor, role) => {
        const { predictions, triggers, drift, labels } = this.#rooms;
        const shadows = () => this.#fleet.reports();
        const timeoutMs = this.#config.request_timeout_ms;
        const repeat = (id: VersionId, inputs: readonly Tensor[]) => this.#fleet.repeat({ id, inputs, timeoutMs });
        const tools = { room, reload, counts: this.#counts, log: this.#log, shadows, repeat };
        return operate(operation, { ...tools, predictions, triggers, drift, labels, actor, role });
      },
      hook: async (segments, header, body) => {
        const { source } = hooks.hear(segments, header, body);
        if (!room.supply.hint(source)) throw new GatewayError('NOT_FOUND', `there is no source '${source}'`);
        return { source };
      },
    });
  }

  #relay(call: RelayCall, actor: string): Promise<unknown> {
    const [rooms, metrics, settings] = [this.#rooms, this.#metrics, this.#settings];
    return relayed(call, actor, { config: this.#config, rooms, metrics, settings });
  }

  /** SIGHUP and a changed file mean: read it again. What is wrong is said in the log and in the audit log. */
  #watchConfig(reload: Reload): void {
    const apply = (actor: string) => void reload.apply(actor).catch(() => {});
    process.on('SIGHUP', () => apply('system:sighup'));
    this.#watched = new WatchedFiles(() => apply('system:file'));
    this.#watchFiles();
  }

  #watchFiles(): void {
    this.#watched?.follow([this.#again.file, this.#live.current.auth.jwt.keys]);
  }

  /** Routes that come next may need the keys. A file that has become wrong since the plan leaves those before in force. */
  #followKeys(): void {
    try {
      this.#tokens.follow(this.#live.current);
    } catch (error) {
      this.#log.error('config.refused', { reason: (error as Error).message });
    }
    this.#watchFiles();
  }

  #obeySignals(): void {
    let signals = 0;
    const obey = (signal: NodeJS.Signals) => {
      signals++;
      if (signals > 1) {
        this.#log.warn('stop.now', { signal });
        return this.#fleet.killAll();
      }
      this.#log.info('stopping', { signal, delayMs: this.#config.drain_delay_ms });
      void this.#end(0);
    };
    process.on('SIGTERM', obey);
    process.on('SIGINT', obey);
  }

  #fail(message: string): void {
    process.stderr.write(`sluice: ${message}\n`);
    void this.#end(1);
  }

  async #end(code: number): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const { drain_delay_ms, drain_timeout_ms } = this.#config;
    await this.#fleet.stop(code === 0 ? drain_delay_ms : 0, drain_timeout_ms);
    this.#admission.close();
    await this.#rooms.close();
    this.#log.info('stopped', { code });
    this.#log.flush();
    this.#stopped?.(code);
  }
}
