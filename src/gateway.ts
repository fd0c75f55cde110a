/**
 * ROOT of a gateway process: builds the data plane, obeys the control process, opens the doors, drains and ends.
 *
 *   HTTP ┐                      ┌ version ─ batcher ─ lanes
 *        ├─▶ plane ─▶ router ─▶ ┤
 *   gRPC ┘              │       └ version ─ batcher ─ lanes
 *                       └─ copy ─▶ shadows ─▶ version in the background
 *
 * It ends in one of three ways: drained, with exit code 0; by SIGKILL; or by a fault that its supervisor sees. It never
 * exits while a run is under way, for that aborts the process.
 *
 * Must not know control rooms, the registry or the admin API.
 */
import cluster from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from './config/schema.js';
import { GatewayError } from './core/errors.js';
import { fanOut } from './core/events.js';
import type { DataPlane, InferenceRequest } from './core/inference.js';
import { nameOf } from './core/model.js';
import { FamilyPacker } from './core/packed-families.js';
import { packStatistics } from './core/packed-statistics.js';
import { loadRuntime } from './engine/session.js';
import { quotasOf, tracingOf } from './gateway/chosen.js';
import { ControlLink } from './gateway/control-link.js';
import { Doors } from './gateway/doors.js';
import { Instances } from './gateway/instances.js';
import { planeOf } from './gateway/plane.js';
import { Predictions } from './gateway/predictions.js';
import { processFamilies } from './gateway/process-families.js';
import { repeated } from './gateway/repeat.js';
import { failureOf, type Snapshot, type ToGateway } from './ipc.js';
import { createLog, type Log, setManner } from './log.js';
import { createAccessLog } from './observe/access-log.js';
import { Arms } from './observe/arms.js';
import { Drains } from './observe/drains.js';
import { watchLoop } from './observe/loop-lag.js';
import { createMetrics } from './observe/metrics.js';
import type { Quotas } from './routing/quotas.js';
import { ResponseCache } from './routing/response-cache.js';
import { type Exposed, Router } from './routing/router.js';
import { Tokens } from './routing/tokens.js';
import { watchRecentLag } from './shadow/loop-lag.js';
import { Shadows } from './shadow/shadows.js';
import type { Tracing } from './trace/tracing.js';

const now = () => performance.now();
/** How long copies for shadows gather before they run. */
const gatherMs = 20;

class Gateway {
  readonly #config: Config;
  readonly #number: number;
  readonly #control: ControlLink;
  readonly #log: Log;
  readonly #metrics = createMetrics(Date.now);
  readonly #packer = new FamilyPacker();
  readonly #arms = new Arms();
  readonly #lag = watchLoop('main', 20, now);
  readonly #drains = new Drains(now);
  readonly #tokens = new Tokens({ epochMs: Date.now, now });
  readonly #router: Router;
  /** Undefined when tenants are not told apart. */
  readonly #quotas: Quotas | undefined;
  /** Undefined when nothing is answered from memory. */
  readonly #cache: ResponseCache | undefined;
  readonly #shadows: Shadows;
  /** Undefined when neither spans nor access lines are asked for: then no request is looked at for its trace. */
  readonly #tracing: Tracing | undefined;
  readonly #plane: DataPlane;
  readonly #instances: Instances;
  readonly #doors = new Doors();
  /** Undefined when nothing is logged. */
  #predictions: Predictions | undefined;
  #isDraining = false;

  constructor(
    config: Config,
    setup: { readonly number: number; readonly package: string; readonly marks: string },
    control: ControlLink,
  ) {
    const { number } = setup;
    this.#config = config;
    this.#number = number;
    this.#control = control;
    this.#log = createLog({ level: config.log.level, format: config.log.format, name: `gateway-${number}` });
    const { access } = config.log;
    const isTraced = config.tracing.endpoint !== '' || access > 0 || config.prediction_log.enabled;
    this.#tracing = isTraced ? this.#traced(setup.package) : undefined;
    const observe = fanOut([
      this.#metrics.observe,
      this.#arms.observe,
      ...(access === 0 ? [] : [createAccessLog(access, (line) => this.#log.record('access', line))]),
      ...(this.#tracing === undefined ? [] : [this.#tracing.observe]),
    ]);
    const { cache } = config;
    this.#cache = cache.enabled
      ? new ResponseCache({ bytesMax: cache.max_bytes, ttlMs: cache.ttl_ms, now })
      : undefined;
    this.#quotas = quotasOf(config, now, this.#tokens.claimOf);
    const run = this.#cache?.run ?? ((request: InferenceRequest) => request.version.infer(request));
    const limited = this.#quotas?.limited(run) ?? this.#cache?.run;
    this.#router = new Router({
      observe,
      now,
      want: async ({ model, version }) => void (await control.ask({ call: 'want', model, version })),
      ...(limited === undefined ? {} : { run: limited }),
      expose: (request) => this.#arms.expose(request, this.#exposed(request)),
      claimOf: this.#tokens.claimOf,
    });
    this.#shadows = new Shadows({
      now,
      loopLagMs: watchRecentLag(now),
      later: (work) => void setImmediate(work),
      inAMoment: (work) => void setTimeout(work, gatherMs).unref(),
      target: (id) => this.#instances.copyOf(id),
      onAnswer: (answer) => this.#predictions?.shadowed(answer),
    });
    this.#instances = new Instances({
      config,
      marks: setup.marks,
      router: this.#router,
      observe: this.#metrics.observe,
      drains: this.#drains,
      now,
      tell: (message) => control.send(message),
    });
    this.#plane = planeOf({
      router: this.#router,
      log: this.#log,
      name: config.server.name,
      version: setup.package,
      isDraining: () => this.#isDraining,
      now,
      tenant: this.#quotas?.tenantOf,
      trace: this.#tracing?.begin,
      relay: control.ask,
    });
  }

  /** Whoever wants to see a request before it runs, and how it ended. */
  #exposed(request: InferenceRequest): Exposed | undefined {
    const shadowed = this.#shadows.begin(request);
    const recorded = this.#predictions?.begin(request);
    if (shadowed === undefined || recorded === undefined) return shadowed ?? recorded;
    return {
      end: (result) => {
        recorded.end(result);
        shadowed.end(result);
      },
    };
  }

  #traced(version: string): Tracing {
    const onFault = (problem: string) => this.#log.warn('tracing.failed', { problem });
    return tracingOf(this.#config, { number: this.#number, version, now, onFault });
  }

  obey(message: ToGateway): void {
    switch (message.kind) {
      case 'open':
        return this.#instances.open(message.spec);
      case 'drain':
        return void this.#instances.drain(message);
      case 'route':
        this.#arms.publish(message.table);
        this.#router.publish(message.table);
        this.#shadows.publish(Object.values(message.table.routes).flatMap(({ shadows = [] }) => shadows));
        this.#doors.setServing(this.#plane.state().isReady);
        return this.#control.send({ kind: 'routed', generation: message.table.generation });
      case 'listen':
        return void this.#listen();
      case 'ping':
        return this.#control.send({
          kind: 'pong',
          seq: message.seq,
          snapshot: this.#snapshot(),
          used: this.#router.takeUsed(),
        });
      case 'report':
        return this.#control.send({ kind: 'reported', shadows: this.#shadows.reports('all') });
      case 'repeat':
        return void this.#repeat(message);
      case 'sketchesKept':
        return this.#predictions?.kept(message.kept);
      case 'settings':
        if (message.settings.trace !== undefined) this.#tracing?.follow(message.settings.trace);
        return setManner(this.#log, message.settings);
      case 'tokens':
        return this.#tokens.follow(message.rules);
      case 'stop':
        return void this.stop(message.drainDelayMs, message.drainTimeoutMs);
    }
  }

  async #repeat({ seq, repeat }: Extract<ToGateway, { kind: 'repeat' }>): Promise<void> {
    try {
      this.#control.send({ kind: 'repeated', seq, value: await repeated(repeat, this.#router, now) });
    } catch (error) {
      this.#control.send({ kind: 'repeated', seq, failure: failureOf(GatewayError.from(error)) });
    }
  }

  async #listen(): Promise<void> {
    const incarnation = Date.now();
    try {
      await this.#openPredictions(incarnation);
      await this.#doors.open(this.#plane, this.#config, { epochMs: Date.now, random: Math.random });
    } catch (error) {
      return this.#control.send({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
    }
    this.#doors.setServing(this.#plane.state().isReady);
    const listening = { ...this.#doors.ports, incarnation, onnxruntime: loadRuntime().version };
    this.#control.send({ kind: 'listening', listening });
  }

  async #openPredictions(incarnation: number): Promise<void> {
    const { prediction_log: config, drift, labels } = this.#config;
    if (!config.enabled) return;
    this.#predictions = await Predictions.open({
      config,
      drift,
      labels,
      gatewayId: `gateway_${this.#number}`,
      incarnation,
      now,
      epochMs: Date.now,
      onUnwritable: (id, error) =>
        this.#log.error('predictions.unwritable', { model: nameOf(id), error: error.message }),
      onLost: (error) => this.#log.error('predictions.lost', { error: error.message }),
      onSketches: (closed) => this.#control.send({ kind: 'sketches', closed }),
    });
  }

  #snapshot(): Snapshot {
    const { families, statistics } = this.#metrics.snapshot({
      ...this.#instances.gauges(),
      families: [
        this.#lag(),
        this.#drains.family(),
        ...this.#doors.families(),
        ...processFamilies(this.#number),
        ...this.#shadows.families(),
        ...(this.#cache?.families() ?? []),
        ...(this.#quotas?.families() ?? []),
        ...this.#tokens.families(),
        ...(this.#predictions?.families() ?? []),
        ...(this.#tracing?.families() ?? []),
      ],
    });
    const traced = this.#tracing?.sampled() ?? {};
    return {
      families: this.#packer.pack(families),
      statistics: packStatistics(statistics),
      arms: this.#arms.take(),
      traced,
    };
  }

  /**
   * Not ready at once, normal service for the delay, then no new connections, and the end when the last request is answered.
   * A run that never ends is left behind: only SIGKILL ends its process.
   */
  async stop(drainDelayMs: number, drainTimeoutMs: number): Promise<void> {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#doors.setServing(false);
    await sleep(drainDelayMs);
    const drained = this.#drains.begin('process');
    const forced = setTimeout(() => {
      this.#log.warn('drain.forced', { afterMs: drainTimeoutMs });
      this.#log.flush();
      process.kill(process.pid, 'SIGKILL');
    }, drainTimeoutMs);
    await this.#doors.close(drainTimeoutMs);
    this.#shadows.publish([]);
    await this.#instances.close();
    clearTimeout(forced);
    drained();
    await Promise.all([this.#tracing?.close(lastSpansMs), this.#predictions?.close()]);
    this.#control.send({ kind: 'pong', seq: 0, snapshot: this.#snapshot(), used: [] });
    this.#log.flush();
    if (process.connected) process.disconnect();
    // To exit during a run aborts the process.
    if (this.#instances.hasStuckRun) process.kill(process.pid, 'SIGKILL');
    else process.exit(0);
  }
}

/** A process that ends waits so long for the collector to take its last spans. */
const lastSpansMs = 500;

function main(): void {
  const control = new ControlLink();
  let gateway: Gateway | undefined;
  // The runtime is loaded here before any thread of this process does.
  loadRuntime();
  process.on('message', (message: ToGateway) => {
    if (message.kind === 'configure') {
      const { process: number, package: version, marks } = message;
      gateway = new Gateway(message.config as Config, { number, package: version, marks }, control);
    } else if (message.kind === 'answer') control.answer(message);
    else gateway?.obey(message);
  });
  // Control decides when to stop: a signal to the whole group must not end this process before its requests.
  process.on('SIGTERM', () => {});
  process.on('SIGINT', () => {});
  // A cluster worker that loses its primary exits at once, unless it says that it meant to.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
  process.on('disconnect', () => {
    control.lose();
    if (gateway === undefined) process.exit(0);
    setTimeout(() => void gateway?.stop(0, orphanTimeoutMs), orphanGraceMs);
  });
  control.send({ kind: 'started' });
}

/** Without control a process serves on for a while with the table it has, then makes room for its successor. */
const orphanGraceMs = 30_000;
const orphanTimeoutMs = 30_000;

main();
