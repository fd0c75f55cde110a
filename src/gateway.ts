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
import { availableParallelism } from 'node:os';
import { apiOptionsOf, grpcOptionsOf, httpOptionsOf } from './config/derived.js';
import type { Config } from './config/schema.js';
import { GatewayError } from './core/errors.js';
import { fanOut } from './core/events.js';
import type { DataPlane, InferenceRequest, ServerMetadata } from './core/inference.js';
import { type InstanceId, instanceNameOf, nameOf, type VersionSpec } from './core/model.js';
import { packFamilies } from './core/packed-families.js';
import { createRequestIds } from './core/request-id.js';
import { Cores } from './engine/cores.js';
import { Marks } from './engine/marks.js';
import { loadRuntime } from './engine/session.js';
import { openVersion } from './engine/version.js';
import { quotasOf, tracingOf } from './gateway/chosen.js';
import { ControlLink } from './gateway/control-link.js';
import { Predictions } from './gateway/predictions.js';
import { processFamilies } from './gateway/process-families.js';
import { VersionMemory } from './gateway/version-memory.js';
import { type GrpcDoor, listenGrpc } from './grpc/server.js';
import { createApi } from './http/api.js';
import { type Door, listenHttp, type Route } from './http/transport.js';
import { failureOf, type Snapshot, type ToGateway } from './ipc.js';
import { createLog, type Log } from './log.js';
import { createAccessLog } from './observe/access-log.js';
import { Arms } from './observe/arms.js';
import { watchLoop } from './observe/loop-lag.js';
import { createMetrics } from './observe/metrics.js';
import type { Quotas } from './routing/quotas.js';
import { ResponseCache } from './routing/response-cache.js';
import { type DrainableVersion, type Exposed, Router } from './routing/router.js';
import { watchRecentLag } from './shadow/loop-lag.js';
import { Shadows } from './shadow/shadows.js';
import type { Tracing } from './trace/tracing.js';

const now = () => performance.now();

/** The V2 extensions that work. */
const extensions = [
  'binary_tensor_data',
  'classification',
  'logging',
  'model_configuration',
  'model_repository',
  'parameters',
  'schedule_policy',
  'statistics',
  'trace',
] as const;

class Gateway {
  readonly #config: Config;
  readonly #number: number;
  readonly #control: ControlLink;
  readonly #log: Log;
  readonly #metrics = createMetrics(Date.now);
  readonly #arms = new Arms();
  readonly #lag = watchLoop('main', 20, now);
  readonly #cores: Cores;
  readonly #marks: Marks;
  readonly #router: Router;
  /** Undefined when tenants are not told apart. */
  readonly #quotas: Quotas | undefined;
  /** Undefined when nothing is answered from memory. */
  readonly #cache: ResponseCache | undefined;
  readonly #shadows: Shadows;
  /** Undefined when neither spans nor access lines are asked for: then no request is looked at for its trace. */
  readonly #tracing: Tracing | undefined;
  readonly #plane: DataPlane;
  /** Instances that only see copies of requests, by the name of their version. */
  readonly #copies = new Map<string, DrainableVersion>();
  /** Versions that are opening, by name: a drain waits for them. */
  readonly #opening = new Map<string, Promise<void>>();
  /** Undefined when nothing is logged. */
  #predictions: Predictions | undefined;
  #http: Door | undefined;
  #grpc: GrpcDoor | undefined;
  #isDraining = false;
  /** Threads whose run, of a shadow, never ended: they run on, whatever becomes of their version. */
  #stuckThreads = 0;
  readonly #memory = new VersionMemory(() => process.memoryUsage.rss());
  /** Threads of versions that are opening. */
  #startingThreads = 0;

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
    this.#marks = new Marks(setup.marks);
    this.#cores = new Cores(Math.max(1, Math.floor(availableParallelism() / config.gateway.processes)));
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
    this.#quotas = quotasOf(config, now);
    const run = this.#cache?.run ?? ((request: InferenceRequest) => request.version.infer(request));
    const limited = this.#quotas?.limited(run) ?? this.#cache?.run;
    this.#router = new Router({
      observe,
      now,
      want: async ({ model, version }) => void (await control.ask({ call: 'want', model, version })),
      ...(limited === undefined ? {} : { run: limited }),
      expose: (request) => this.#arms.expose(request, this.#exposed(request)),
    });
    this.#shadows = new Shadows({
      now,
      loopLagMs: watchRecentLag(now),
      later: (work) => void setImmediate(work),
      target: (id) => this.#copies.get(nameOf(id)),
      onAnswer: (answer) => this.#predictions?.shadowed(answer),
    });
    this.#plane = this.#planeOf({ name: config.server.name, version: setup.package, extensions });
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

  #planeOf(server: ServerMetadata): DataPlane {
    const router = this.#router;
    return {
      now,
      server,
      state: () => {
        const { isReady, reason, isDegraded } = router.table;
        if (this.#isDraining) return { isReady: false, reason: 'draining', isDegraded, isDraining: true };
        return { isReady, reason, isDegraded, isDraining: false };
      },
      models: () => router.models(),
      find: (model, selector) => router.find(model, selector),
      assign: (model, selector, terms) => router.assign(model, selector, terms),
      readiness: (model, selector) => router.readiness(model, selector),
      metadata: (model, selector) => router.metadata(model, selector),
      infer: router.infer,
      refuse: (refusal) => {
        const { error } = refusal;
        if (error.code === 'INTERNAL')
          this.#log.error('request.failed', { error: error.message, cause: String(error.cause) });
        router.refuse(refusal);
      },
      tenant: this.#quotas?.tenantOf,
      trace: this.#tracing?.begin,
      relay: this.#control.ask,
    };
  }

  obey(message: ToGateway): void {
    switch (message.kind) {
      case 'open':
        return this.#open(message.spec);
      case 'drain':
        return void this.#drain(message);
      case 'route':
        this.#arms.publish(message.table);
        this.#router.publish(message.table);
        this.#shadows.publish(Object.values(message.table.routes).flatMap(({ shadows = [] }) => shadows));
        this.#grpc?.setServing(this.#plane.state().isReady);
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
      case 'sketchesKept':
        return this.#predictions?.kept(message.kept);
      case 'settings':
        if (message.settings.trace !== undefined) this.#tracing?.follow(message.settings.trace);
        return this.#log.setLevel(message.settings.logLevel);
      case 'stop':
        return void this.stop(message.drainDelayMs, message.drainTimeoutMs);
    }
  }

  #open(spec: VersionSpec): void {
    const startedAt = now();
    const { engine, batching } = this.#config;
    const instance: InstanceId = spec.role === undefined ? { id: spec.id } : { id: spec.id, role: spec.role };
    this.#startingThreads += spec.instances;
    const isOpen = this.#memory.begin(instanceNameOf(instance));
    const opened = openVersion(spec, {
      cores: this.#cores,
      observe: this.#metrics.observe,
      now,
      inlineRunUsMax: engine.inline_run_us,
      hardRunTimeoutMs: engine.hard_run_timeout_ms,
      priorityAgingMs: batching.priority_aging_ms,
      marks: this.#marks,
      weightOf: this.#quotas && ((tenant) => this.#config.quotas.tenants[tenant]?.weight ?? 1),
      onOverdue: () => {
        if (spec.role === 'shadow') this.#stuckThreads++;
        this.#control.send({ kind: 'overdue', ...instance });
      },
    }).then(
      (version) => {
        if (spec.role === 'shadow') {
          void this.#copies.get(nameOf(spec.id))?.drain();
          this.#copies.set(nameOf(spec.id), version);
        } else void this.#router.add(version)?.drain();
        this.#control.send({ kind: 'opened', ...instance, openMs: now() - startedAt });
      },
      (error) => this.#control.send({ kind: 'openFailed', ...instance, failure: failureOf(GatewayError.from(error)) }),
    );
    this.#opening.set(instanceNameOf(instance), opened);
    void opened.then(() => {
      this.#startingThreads -= spec.instances;
      isOpen();
    });
  }

  async #drain({ id, role }: InstanceId): Promise<void> {
    const instance: InstanceId = role === undefined ? { id } : { id, role };
    const name = instanceNameOf(instance);
    await this.#opening.get(name);
    this.#opening.delete(name);
    this.#memory.forget(name);
    if (role === 'shadow') {
      const copy = this.#copies.get(nameOf(id));
      this.#copies.delete(nameOf(id));
      await copy?.drain();
    } else await this.#router.drain(id);
    this.#control.send({ kind: 'drained', ...instance });
  }

  async #listen(): Promise<void> {
    const { http, grpc } = this.#config;
    const incarnation = Date.now();
    try {
      await this.#openPredictions(incarnation);
      if (http.enabled) this.#http = await listenHttp(this.#api(), { ...httpOptionsOf(this.#config), now });
      if (grpc.enabled)
        this.#grpc = await listenGrpc(this.#plane, {
          ...grpcOptionsOf(this.#config),
          epochNow: Date.now,
          random: Math.random,
        });
    } catch (error) {
      return this.#control.send({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
    }
    this.#grpc?.setServing(this.#plane.state().isReady);
    this.#control.send({
      kind: 'listening',
      listening: {
        httpPort: this.#http?.port,
        httpEngine: this.#http?.engine ?? 'off',
        grpcPort: this.#grpc?.port,
        incarnation,
        onnxruntime: loadRuntime().version,
      },
    });
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

  #api(): Route {
    const newId = createRequestIds({ epochMs: Date.now, random: Math.random });
    return createApi(this.#plane, { ...apiOptionsOf(this.#config), newId });
  }

  #snapshot(): Snapshot {
    const versions = Array.from(this.#router.versions, ({ id, depth, inFlight, threads, busy }) => ({
      id,
      depth,
      inFlight,
      ...(threads === undefined ? {} : { threads }),
      ...(busy === undefined ? {} : { busy }),
      memoryBytes: this.#memory.of(instanceNameOf({ id })),
    }));
    const { families, statistics } = this.#metrics.snapshot({
      versions,
      startingThreads: this.#startingThreads,
      deadThreads: this.#stuckThreads,
      families: [
        this.#lag(),
        ...processFamilies(this.#number),
        ...this.#shadows.families(),
        ...(this.#cache?.families() ?? []),
        ...(this.#quotas?.families() ?? []),
        ...(this.#predictions?.families() ?? []),
        ...(this.#tracing?.families() ?? []),
      ],
    });
    const traced = this.#tracing?.sampled() ?? {};
    return { families: packFamilies(families), statistics, arms: this.#arms.take(), traced };
  }

  async #closeHttp(forMs: number): Promise<void> {
    const door = this.#http;
    if (door === undefined) return;
    door.stopListening();
    await sleep(forMs);
    door.stopAccepting();
    while (door.inFlight > 0) await sleep(lookMs);
    await door.close();
  }

  /**
   * Not ready at once, normal service for the delay, then no new connections, and the end when the last request is answered.
   * A run that never ends is left behind: only SIGKILL ends its process.
   */
  async stop(drainDelayMs: number, drainTimeoutMs: number): Promise<void> {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#grpc?.setServing(false);
    await sleep(drainDelayMs);
    const forced = setTimeout(() => {
      this.#log.warn('drain.forced', { afterMs: drainTimeoutMs });
      this.#log.flush();
      process.kill(process.pid, 'SIGKILL');
    }, drainTimeoutMs);
    // The poll before this has taken what waited at the doors: a connection that waits while its door closes is reset.
    await new Promise(setImmediate);
    await Promise.all([this.#closeHttp(Math.min(lingerMs, drainTimeoutMs / 4)), this.#grpc?.stop(drainTimeoutMs)]);
    await Promise.all(this.#opening.values());
    this.#shadows.publish([]);
    await Promise.all(Array.from(this.#router.versions, ({ id }) => this.#router.drain(id)));
    await Promise.all(Array.from(this.#copies.values(), (copy) => copy.drain()));
    clearTimeout(forced);
    await Promise.all([this.#tracing?.close(lastSpansMs), this.#predictions?.close()]);
    this.#control.send({ kind: 'pong', seq: 0, snapshot: this.#snapshot(), used: [] });
    this.#log.flush();
    if (process.connected) process.disconnect();
    // To exit during a run aborts the process.
    if (this.#stuckThreads > 0) process.kill(process.pid, 'SIGKILL');
    else process.exit(0);
  }
}

/**
 * After the listener has closed, connections that it had just accepted may still bring their request for so long: a client
 * that reconnected a moment ago must not find its connection closed without an answer.
 */
const lingerMs = 500;
/** A process that ends waits so long for the collector to take its last spans. */
const lastSpansMs = 500;
/** How often a door is asked whether its last request is answered. */
const lookMs = 10;

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

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
