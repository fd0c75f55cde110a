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
import { readFileSync, watchFile } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { activityOf } from './admin/activity.js';
import { Admin } from './admin/api.js';
import { Keyring, type Role } from './admin/auth.js';
import { exactJson } from './admin/json.js';
import { createMetricsRoom, type MetricsRoom } from './admin/metrics.js';
import { contentTypeOf, formOf } from './admin/metrics-text.js';
import type { Operation } from './admin/operations.js';
import { watchProcess } from './admin/process-metrics.js';
import { LogRoom, type LogSettings, TraceRoom } from './admin/settings.js';
import { StatisticsRoom } from './admin/statistics.js';
import { settled } from './config/derived.js';
import type { Config } from './config/schema.js';
import { modelProblems, noModels, type Problem } from './control/check.js';
import { ControlCounts, gauge } from './control/counts.js';
import { DriftRoom } from './control/drift-room.js';
import { Hooks } from './control/hooks.js';
import type { JudgedSignals } from './control/judged-signals.js';
import { observationOf } from './control/label-observation.js';
import { LabelRoom, labelsOf } from './control/label-room.js';
import { mismatchEvent } from './control/mismatch-event.js';
import { operate, servedListing, sourceStates } from './control/operations.js';
import { Incarnations, PredictionRoom } from './control/prediction-room.js';
import { registryFamilies } from './control/registry-families.js';
import { openRegistryRoom, type RegistryRoom } from './control/registry-room.js';
import { degradation } from './control/registry-supply.js';
import { type ConfigFile, type LiveConfig, Reload } from './control/reload.js';
import { ShadowInstances } from './control/shadows.js';
import { TriggerRoom } from './control/trigger-room.js';
import { GatewayError } from './core/errors.js';
import type { ServedListing } from './core/listing.js';
import { nameOf, type VersionId } from './core/model.js';
import { unpackFamilies } from './core/packed-families.js';
import type { RelayCall } from './core/relay.js';
import { emptyTable, type RouteTable } from './core/route.js';
import type { Family } from './core/series.js';
import { listenNode } from './http/node.js';
import { statusOf } from './http/status.js';
import type { Listening, LiveSettings } from './ipc.js';
import { createLog, type Log } from './log.js';
import { Admission } from './registry/admission.js';
import type { Registry } from './registry/registry.js';
import type { StateChange } from './registry/registry-options.js';
import type { Trial, TrialVerdict } from './registry/repository.js';
import { BlameBook } from './supervisor/blame.js';
import { Fleet } from './supervisor/fleet.js';
import type { FleetEvent } from './supervisor/fleet-event.js';
import { probePort } from './supervisor/ports.js';

const now = () => performance.now();
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

/** Ports that are free, with 0 replaced: all processes must bind the same one. */
async function withPorts(config: Config): Promise<Config> {
  const [http, grpc] = await Promise.all(
    (['http', 'grpc'] as const).map(async (name) => {
      const { enabled, host, port } = config[name];
      return { port: enabled ? await probePort(`--${name}-port`, host, port) : port };
    }),
  );
  const { admin } = config;
  if (admin.enabled && admin.port !== 0) await probePort('--admin-port', admin.host, admin.port);
  return { ...config, http: { ...config.http, ...http }, grpc: { ...config.grpc, ...grpc } };
}

/** Tries every model that `config` would serve. @returns one problem for each that would not be */
export async function checkModels(config: Config): Promise<Problem[]> {
  const admission = admissionOf(config);
  try {
    const cores = availableParallelism();
    return await modelProblems({ config, cores, admission, now, epochNow: Date.now, random: Math.random });
  } finally {
    admission.close();
  }
}

const progressMs = 1000;
const configLookMs = 1000;
const blameWindowMs = 600_000;
function admissionOf(config: Config): Admission<Trial, TrialVerdict> {
  process.env.ORT_DISABLE_TELEMETRY = '1';
  return new Admission({
    entry: new URL('./engine/probe.js', import.meta.url),
    timeoutMs: config.admission.timeout_ms,
    idleMs: 1000,
  });
}

class Control {
  readonly #config: Config;
  readonly #log: Log;
  readonly #admission: Admission<Trial, TrialVerdict>;
  #room: RegistryRoom | undefined;
  /** Undefined when nothing is logged. */
  #predictions: PredictionRoom | undefined;
  #triggers: TriggerRoom | undefined;
  /** Undefined when nothing is watched. */
  #drift: DriftRoom | undefined;
  /** Undefined when no labels are taken. */
  #labels: LabelRoom | undefined;
  readonly #incarnations = new Incarnations(Date.now());
  readonly #fleet: Fleet;
  readonly #shadows: ShadowInstances;
  readonly #metrics: MetricsRoom;
  readonly #statistics = new StatisticsRoom();
  readonly #logging: LogRoom;
  readonly #tracing: TraceRoom;
  #settings: LiveSettings;
  readonly #counts = new ControlCounts();
  readonly #hooks: Hooks;
  readonly #process = watchProcess();
  readonly #blames = new BlameBook({
    windowMs: blameWindowMs,
    blamesMax: 2,
    now,
    publishedAt: (id) => this.#room?.publishedAt(id) ?? 0,
  });
  /** Versions on their way, each with what says so. */
  readonly #loading = new Map<string, NodeJS.Timeout>();
  #table: RouteTable = emptyTable;
  #listening: Listening | undefined;
  #stopped: ((code: number) => void) | undefined;
  #isStopping = false;

  readonly #live: LiveConfig;
  readonly #again: Rereading;
  #reload: Reload | undefined;

  constructor(config: Config, again: Rereading) {
    this.#config = config;
    this.#live = { current: config };
    this.#again = again;
    this.#hooks = new Hooks(config, this.#counts, Date.now);
    this.#log = createLog({ level: config.log.level, format: config.log.format, name: 'control' });
    this.#metrics = createMetricsRoom({ seriesMax: config.metrics.series_max, now });
    this.#settings = { logLevel: config.log.level };
    const { endpoint, sample } = config.tracing;
    this.#tracing = new TraceRoom(() => this.#set({ trace: this.#tracing.plan() }), {
      isOn: endpoint !== '',
      share: sample,
      processes: config.gateway.processes,
    });
    this.#logging = new LogRoom(config.log.level === 'debug' ? 1 : 0, (settings) => this.#onLogging(settings));
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
      answer: (call) => this.#relay(call),
      onEvent: (event) => this.#onFleet(event),
    });
    this.#shadows = new ShadowInstances({
      open: (spec) => this.#fleet.open(spec),
      drain: (id) => this.#fleet.drain({ id, role: 'shadow' }),
      report: (id, error) => this.#log.error('shadow.failed', { model: nameOf(id), error: error.message }),
    });
  }

  get #registry(): Registry {
    return this.#opened.registry;
  }

  async run(): Promise<number> {
    const finished = new Promise<number>((resolve) => {
      this.#stopped = resolve;
    });
    this.#obeySignals();
    try {
      await this.#start();
    } catch (error) {
      process.stderr.write(`sluice: ${(error as Error).message}\n`);
      await this.#end(1);
    }
    return finished;
  }

  async #start(): Promise<void> {
    const startedAt = now();
    this.#checkCores();
    this.#room = await this.#openRegistry();
    this.#reload = this.#reloadOf(this.#room);
    this.#triggers = await this.#openTriggers(this.#room);
    this.#predictions = PredictionRoom.open({
      config: this.#config.prediction_log,
      log: this.#log,
      isLive: (gatewayId, incarnation) => this.#incarnations.isLive(gatewayId, incarnation),
      instance: this.#config.server.name,
      environment: process.env,
      now,
      epochMs: Date.now,
      random: Math.random,
      onRefused: ({ kind }) => this.#counts.outboundRefused.add([kind]),
    });
    this.#drift = DriftRoom.open({
      config: this.#config,
      log: this.#log,
      epochMs: Date.now,
      now,
      onChange: ({ type, subject, data }) => void this.#triggers?.raise(type, subject, data),
      onJudged: (judged) => this.#judged(judged),
    });
    this.#labels = this.#openLabels(this.#room);
    this.#fleet.start();
    await this.#fleet.started();
    await this.#room.supply.start();
    await this.#registry.start();
    await this.#registry.degrade(degradation(this.#room.supply));
    this.#checkServed();
    this.#checkRoutes(this.#room);
    await this.#openAdmin();
    await this.#shadows.settled();
    this.#fleet.listen();
    this.#watchConfig();
    this.#log.info('started', {
      models: Object.keys(this.#table.routes).length,
      tookMs: Math.round(now() - startedAt),
    });
  }

  /** Routes that no change could bring are served as far as they can be, and told of: a start must not fail for them. */
  #checkRoutes(room: RegistryRoom): void {
    try {
      room.foresee(this.#live.current);
    } catch (error) {
      for (const problem of (error as Error).message.split('\n')) this.#log.warn('routes.problem', { problem });
    }
  }

  #reloadOf(room: RegistryRoom): Reload {
    return new Reload({
      live: this.#live,
      read: (file) => settled(this.#again.read(file), availableParallelism()),
      audit: room.audit,
      log: this.#log,
      foresee: (next) => room.foresee(next),
      takeUp: async (before) => {
        this.#onLogging({
          ...this.#logging.settings(),
          log_verbose_level: this.#live.current.log.level === 'debug' ? 1 : 0,
        });
        await room.takeUp(before);
      },
    });
  }

  /** SIGHUP and a changed file mean: read it again. What is wrong is said in the log and in the audit log. */
  #watchConfig(): void {
    const apply = (actor: string) => void this.#reload!.apply(actor).catch(() => {});
    process.on('SIGHUP', () => apply('system:sighup'));
    const { file } = this.#again;
    if (file !== undefined) watchFile(file, { interval: configLookMs, persistent: false }, () => apply('system:file'));
  }

  #openTriggers(room: RegistryRoom): Promise<TriggerRoom | undefined> {
    return TriggerRoom.open({
      config: this.#config,
      room,
      sources: () => sourceStates(room),
      log: this.#log,
      environment: process.env,
      now,
      epochNow: Date.now,
      random: Math.random,
      newId: randomUUID,
      onRefused: ({ kind }) => this.#counts.outboundRefused.add([kind]),
    });
  }

  #openLabels(room: RegistryRoom): LabelRoom | undefined {
    return LabelRoom.open({
      config: this.#config,
      environment: process.env,
      log: this.#log,
      epochMs: Date.now,
      now,
      onRefused: (kind) => {
        this.#counts.securityEvents.add([kind]);
        this.#counts.authFailures.add([kind]);
      },
      hasModel: (model) => room.registry.has(model),
      championOf: (model) => this.#table.routes[model]?.champion,
      onLabel: ({ prediction, told, replaces }) => {
        const { experiment, phase, assigned, unit, reason } = prediction;
        if (unit === undefined || reason !== 'weight') return;
        room.routes.addLabel({ experiment, phase, assigned, key: unit }, (metric) => [
          observationOf(metric, prediction, told.label),
          replaces && observationOf(metric, prediction, replaces.label),
        ]);
      },
      onChange: ({ type, subject, data }) => void this.#triggers?.raise(type, subject, data),
      onJudged: (judged) => this.#judged(judged),
    });
  }

  /** Policies hear of the version that answers by default: one on trial would speak against it with its own numbers. */
  #judged({ model, version, signals, facts }: JudgedSignals): void {
    const champion = this.#table.routes[model]?.champion;
    if (champion === undefined || champion === version) void this.#triggers?.look(model, signals, facts);
  }

  #openRegistry(): Promise<RegistryRoom> {
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
        this.#table = table;
        await this.#fleet.route(table);
        this.#shadows.publish(table);
      },
      refresh: () => this.#fleet.refresh(),
      observe: (change) => this.#onState(change),
      audited: (record) => {
        this.#counts.changes.add([record.entry.action]);
        this.#triggers?.audited(record);
      },
      admitted: (id, lineage) => this.#triggers?.admitted(id, lineage),
      estimateOf: (id, sinceMs) => this.#drift?.estimateOf(id, sinceMs),
      mismatched: (answer) => void this.#triggers?.raise(...mismatchEvent(answer)),
      now,
      epochNow: Date.now,
      cpuMs: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1000;
      },
      random: Math.random,
      environment: process.env,
    });
  }

  /** More threads than cores make every one of them slower. */
  #checkCores(): void {
    const { gateway, engine } = this.#config;
    const threads = gateway.processes * engine.instances * engine.intra_op_threads;
    const cores = availableParallelism();
    if (threads <= cores) return;
    const { processes } = gateway;
    const { instances, intra_op_threads } = engine;
    this.#log.warn('cores.oversubscribed', { cores, threads, processes, instances, intra_op_threads });
  }

  /** A server without a single model is a mistake, unless models are to be loaded by calls. */
  #checkServed(): void {
    const { load, path } = this.#config.models;
    const records = [...this.#registry.records()];
    // A source that is down may come back; until then the server is there and not ready.
    const isWaiting = this.#config.registry.sources.length > 0 && degradation(this.#opened.supply) !== '';
    if (load === 'explicit' || isWaiting) return;
    if (records.length === 0) throw new GatewayError('NOT_FOUND', `${path}: ${noModels}`);
    if (records.every(({ state }) => state === 'refused' || state === 'failed')) {
      const lines = records.map(({ id, reason }) => `${nameOf(id)}: ${reason}`);
      throw new GatewayError('FAILED_PRECONDITION', `no model could be loaded: ${lines.join('; ')}`);
    }
  }

  async #openAdmin(): Promise<void> {
    const { admin: options, http } = this.#config;
    if (!options.enabled) return;
    const admin = new Admin({
      version: packageVersion,
      keyring: new Keyring(options, process.env),
      isMetricsOpen: options.metrics_open,
      now,
      onRefused: ({ isOneOfMany, ...refused }) => {
        this.#counts.securityEvents.add([refused.kind]);
        this.#counts.authFailures.add([refused.kind.replace(/^admin_/, '')]);
        if (!isOneOfMany) this.#log.warn('admin.refused', { ...refused });
      },
      metrics: (accept) => this.#metricsText(accept),
      activity: async () => {
        await this.#fleet.refresh();
        return activityOf(this.#metrics.families(this.#ownFamilies()), now());
      },
      state: () => this.#table,
      served: () => this.#served(),
      relay: (call, actor) => this.#relay(call, actor),
      operate: (operation, actor, role) => this.#operate(operation, actor, role),
      hook: async (segments, header, body) => this.#hook(segments, header, body),
      jsonText: exactJson,
      statusOf,
    });
    const door = await listenNode(
      (request) => {
        const { method, path, query, peer } = request;
        const header = (name: string) => request.header(name);
        const admitted = admin.admit({ method, path, query, peer, header });
        if (!('answer' in admitted)) return responseOf(admitted);
        return {
          consume: async (body) => responseOf(await admitted.answer(body)),
          refuse: (status, error) =>
            responseOf({ status, contentType: 'application/json', body: JSON.stringify({ error: error.message }) }),
        };
      },
      {
        host: options.host,
        port: options.port,
        engine: 'node',
        now,
        bodyBytesMax: http.max_input_size,
        bufferedBytesMax: http.max_buffered_bytes,
        bodyTimeoutMs: http.body_timeout_ms,
        writeTimeoutMs: http.write_timeout_ms,
      },
    );
    this.#log.info('listening', { admin: `http://${options.host}:${door.port}` });
  }

  #operate(operation: Operation, actor: string, role: Role): Promise<unknown> {
    return operate(operation, {
      room: this.#opened,
      counts: this.#counts,
      reload: this.#reload!,
      shadows: () => this.#fleet.reports(),
      predictions: this.#predictions,
      triggers: this.#triggers,
      drift: this.#drift,
      labels: this.#labels,
      actor,
      role,
    });
  }

  get #opened(): RegistryRoom {
    if (this.#room === undefined) throw new GatewayError('UNAVAILABLE', 'the server is starting');
    return this.#room;
  }

  #hook(segments: readonly string[], header: (name: string) => string | undefined, body: Uint8Array): unknown {
    const { source } = this.#hooks.hear(segments, header, body);
    if (!this.#opened.supply.hint(source)) throw new GatewayError('NOT_FOUND', `there is no source '${source}'`);
    return { source };
  }

  #served(): ServedListing {
    return servedListing(this.#opened);
  }

  async #relay(call: RelayCall, actor = 'operator:v2'): Promise<unknown> {
    switch (call.call) {
      case 'index':
        return this.#registry.index(call.ready);
      case 'statistics': {
        const versions = this.#registry.readyVersions(call.model, call.version);
        await this.#fleet.refresh();
        return this.#statistics.answer(versions);
      }
      case 'load': {
        this.#checkExplicit();
        const config = configOf(call.parameters);
        await this.#opened.audit.append('load', call.model, config === undefined ? {} : { config }, actor);
        return this.#registry.load(call.model, config);
      }
      case 'unload':
        this.#checkExplicit();
        await this.#opened.audit.append('unload', call.model, {}, actor);
        return this.#registry.unload(call.model);
      case 'feedback':
        return labelsOf(this.#labels).take(call.model, call);
      case 'want':
        return this.#registry.want({ model: call.model, version: call.version });
      case 'trace':
        return this.#trace(call.model, call.settings);
      case 'logging':
        return call.settings === undefined ? this.#logging.settings() : this.#logging.update(call.settings);
    }
  }

  #trace(model: string, settings: Readonly<Record<string, unknown>> | undefined): unknown {
    if (model !== '' && !this.#registry.has(model)) {
      throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' is not found`);
    }
    return settings === undefined ? this.#tracing.settings(model) : this.#tracing.update(model, settings);
  }

  #onLogging(settings: LogSettings): void {
    const logLevel = settings.log_verbose_level > 0 ? 'debug' : 'info';
    this.#log.setLevel(logLevel);
    this.#set({ logLevel });
  }

  #set(changed: Partial<LiveSettings>): void {
    this.#settings = { ...this.#settings, ...changed };
    this.#fleet.settings(this.#settings);
  }

  #checkExplicit(): void {
    if (this.#config.models.load === 'explicit') return;
    throw new GatewayError('UNAVAILABLE', 'explicit model load / unload is not allowed');
  }

  async #metricsText(accept: string | undefined): Promise<{ contentType: string; body: string }> {
    await this.#fleet.refresh();
    const form = formOf(accept);
    const more = await this.#process();
    const aliased = this.#config.metrics.triton_aliases
      ? this.#statistics.of(this.#registry.readyVersions('', ''))
      : undefined;
    return { contentType: contentTypeOf[form], body: this.#metrics.text(this.#ownFamilies(), { form, aliased, more }) };
  }

  #ownFamilies(): Family[] {
    const states = this.#fleet.states();
    const info = {
      version: packageVersion,
      http_engine: this.#listening?.httpEngine ?? '',
      onnxruntime: this.#listening?.onnxruntime ?? '',
    };
    return [
      { name: 'sluice_build_info', help: 'What runs here.', type: 'gauge', series: [{ labels: info, value: 1 }] },
      {
        name: 'sluice_processes',
        help: 'Gateway processes by state.',
        type: 'gauge',
        series: Object.entries(states).map(([state, value]) => ({ labels: { state }, value })),
      },
      gauge('sluice_ready', '1 while every model that must be ready is.', [
        { labels: {}, value: this.#table.isReady ? 1 : 0 },
      ]),
      ...registryFamilies(this.#opened),
      ...this.#opened.routes.families(),
      ...(this.#predictions?.families() ?? []),
      ...(this.#triggers?.families() ?? []),
      ...(this.#drift?.families() ?? []),
      ...(this.#labels?.families() ?? []),
      ...this.#counts.families(),
    ];
  }

  #onState({ id, from, to, reason, tookMs }: StateChange): void {
    this.#watchLoad(nameOf(id), to);
    if (to === 'unloaded') this.#metrics.retire(id);
    else this.#metrics.restore(id);
    this.#watch(id, to);
    const fields = { model: nameOf(id), ...(reason === '' ? {} : { reason }), tookMs: Math.round(tookMs) };
    if (to === 'refused' || to === 'failed') {
      this.#counts.loadFailures.add([to]);
      this.#log.error(`model.${to}`, fields);
    } else if (to === 'ready') {
      this.#counts.loads.add([id.model]);
      this.#log.info('model.ready', fields);
    } else this.#log.debug('model.state', { ...fields, from, to });
  }

  /** What is not watched is served all the same. */
  #watch(id: VersionId, state: StateChange['to']): void {
    try {
      if (state === 'unloaded') this.#drift?.forget(id);
      const spec = state === 'ready' ? this.#room?.registry.specOf(id) : undefined;
      if (spec !== undefined) this.#drift?.learn(spec);
      if (spec !== undefined) this.#labels?.quality.learn(spec);
    } catch (error) {
      this.#log.warn('drift.unwatched', { model: nameOf(id), error: (error as Error).message });
    }
  }

  /** A load that takes long says so while it takes. */
  #watchLoad(model: string, state: StateChange['to']): void {
    clearInterval(this.#loading.get(model));
    this.#loading.delete(model);
    if (state !== 'admitting' && state !== 'opening') return;
    const since = now();
    const say = () => this.#log.info('model.loading', { model, state, forMs: Math.round(now() - since) });
    this.#loading.set(model, setInterval(say, progressMs).unref());
  }

  #onFleet(event: FleetEvent): void {
    switch (event.kind) {
      case 'snapshot': {
        const families = unpackFamilies(event.snapshot.families);
        this.#metrics.put(event.life, families);
        this.#room?.guard.put(event.life, families);
        this.#statistics.put(event.life, event.snapshot.statistics);
        this.#tracing.told(placeOf(event.life), event.snapshot.traced);
        this.#room?.routes.take(event.life, event.snapshot.arms);
        return this.#registry.touch(event.used);
      }
      case 'sketches':
        return this.#drift?.take(event.life, event.closed);
      case 'gone':
        this.#tracing.ended(placeOf(event.life));
        this.#drift?.ended(event.life);
        this.#room?.routes.ended(event.life);
        this.#metrics.end(event.life);
        this.#incarnations.ended(event.life);
        this.#room?.guard.end(event.life);
        return this.#statistics.end(event.life);
      case 'ready':
        this.#incarnations.ready(event.life, `gateway_${event.process}`, event.listening.incarnation);
        return this.#onReady(event);
      case 'overdue':
        this.#log.error('run.overdue', { process: event.process, model: nameOf(event.version) });
        if (!event.isShadow) return this.#opened.blame(this.#blames.hung(event.version));
        if (this.#shadows.drop(event.version)) this.#log.error('shadow.dropped', { model: nameOf(event.version) });
        return;
      case 'cannotListen':
        process.stderr.write(`sluice: ${event.message}\n`);
        return void this.#end(1);
      case 'exit': {
        if (event.suspects !== undefined) this.#room?.blame(this.#blames.crashed(event.suspects));
        if (event.restartMs === undefined) return;
        this.#counts.restarts.add([event.reason]);
        this.#counts.threadRestarts.add([event.reason], this.#threads());
        const { process: number, pid, reason, restartMs } = event;
        return this.#log.error('gateway.exit', {
          process: number,
          gatewayPid: pid,
          reason,
          restartMs: Math.round(restartMs),
        });
      }
    }
  }

  /** That a process runs models on. */
  #threads(): number {
    const open = [...(this.#room?.registry.records() ?? [])].filter(({ isOpen }) => isOpen);
    return open.reduce((sum, { spec }) => sum + (spec?.instances ?? 0), 0);
  }

  #onReady({ process: number, pid, tookMs, listening }: Extract<FleetEvent, { kind: 'ready' }>): void {
    this.#listening = listening;
    const { http, grpc } = this.#config;
    this.#log.info('gateway.ready', {
      process: number,
      gatewayPid: pid,
      ...(listening.httpPort === undefined
        ? {}
        : { http: `http://${http.host}:${listening.httpPort}`, engine: listening.httpEngine }),
      ...(listening.grpcPort === undefined ? {} : { grpc: `${grpc.host}:${listening.grpcPort}` }),
      tookMs: Math.round(tookMs),
    });
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

  async #end(code: number): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const { drain_delay_ms, drain_timeout_ms } = this.#config;
    await this.#fleet.stop(code === 0 ? drain_delay_ms : 0, drain_timeout_ms);
    this.#admission.close();
    await this.#predictions?.close();
    await this.#triggers?.close();
    this.#drift?.close();
    await this.#labels?.close();
    await this.#room?.close();
    this.#log.info('stopped', { code });
    this.#log.flush();
    this.#stopped?.(code);
  }
}

/** Of a process among all, from 0 on: a life is named by it, and by how many there were before. */
function placeOf(life: string): number {
  return Number.parseInt(life, 10) - 1;
}

/** The only load parameter there is so far. @throws INVALID_ARGUMENT, PERMISSION_DENIED */
function configOf(parameters: Readonly<Record<string, unknown>>): string | undefined {
  for (const [key, value] of Object.entries(parameters)) {
    if (key.startsWith('file:')) throw new GatewayError('PERMISSION_DENIED', 'file override is not allowed');
    if (key !== 'config') throw new GatewayError('INVALID_ARGUMENT', `Unrecognized load parameter '${key}'`);
    if (typeof value !== 'string')
      throw new GatewayError('INVALID_ARGUMENT', `load parameter 'config' must be a string`);
  }
  return parameters.config as string | undefined;
}

function responseOf({
  status,
  contentType,
  body,
  headers = [],
}: {
  status: number;
  contentType: string;
  body: string;
  headers?: readonly (readonly [string, string])[];
}) {
  return { status, headers: [['Content-Type', contentType], ...headers] as [string, string][], body };
}
