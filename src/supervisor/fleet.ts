/**
 * K gateway processes as one: what is wanted of them, and that they are there.
 *
 *   wanted = { versions, table } ──replayed to──▶ every new process ──▶ it listens only when all of it is open
 *
 * A process that ends is started again. An open that fails in one process is closed again in the others; a process that dies
 * meanwhile is not counted.
 *
 * Must not know the store, or what a version is.
 */
import type { Worker } from 'node:cluster';
import cluster from 'node:cluster';
import { keptOf } from '../core/closed-sketch.js';
import { GatewayError } from '../core/errors.js';
import { type InstanceId, instanceNameOf, type VersionSpec } from '../core/model.js';
import type { RelayCall } from '../core/relay.js';
import type { RouteTable } from '../core/route.js';
import { mergeReports, type ShadowReport } from '../core/shadow-report.js';
import type { TokenRules } from '../core/token-rules.js';
import {
  errorOf,
  type FromGateway,
  failureOf,
  type Listening,
  type LiveSettings,
  post,
  type Repeat,
  type Repeated,
} from '../ipc.js';
import { Child, type Exit } from './child.js';
import type { FleetEvent } from './fleet-event.js';
import { Repeats } from './repeats.js';
import { Restarts } from './restarts.js';
import { RollCall } from './roll-call.js';
import { takeSuspects } from './suspects.js';
import { Wanted } from './wanted.js';

export interface FleetOptions {
  readonly entry: URL;
  readonly processes: number;
  /** Each half of the young generation of a process: what is collected in one pause. */
  readonly semiSpaceMib: number;
  readonly config: unknown;
  /** Where a process says what it runs, for when it crashes. */
  readonly marksFile: (life: string) => string;
  readonly package: string;
  readonly now: () => number;
  readonly random: () => number;
  readonly beatMs: number;
  readonly beatTimeoutMs: number;
  readonly answer: (call: RelayCall) => Promise<unknown>;
  readonly onEvent: (event: FleetEvent) => void;
}

/** How long a process with a run that never ends may still answer its other requests. */
const overdueDrainMs = 2000;

export class Fleet {
  readonly #options: FleetOptions;
  readonly #children = new Map<number, Child>();
  /** Processes whose place was taken: they answer what they have and are killed. */
  readonly #leaving = new Set<Child>();
  readonly #wanted = new Wanted();
  readonly #rollCall = new RollCall<Child>();
  readonly #repeats = new Repeats();
  readonly #restarts: Restarts;
  /** Versions that a process has still to open before it may listen. */
  readonly #toOpen = new Map<Child, Set<string>>();
  readonly #reports = new Map<Child, readonly ShadowReport[]>();
  #isListening = false;
  #isStopping = false;
  #lives = 0;
  #onGone: (() => void) | undefined;
  #onStarted: (() => void) | undefined;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#restarts = new Restarts(options.random);
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    cluster.setupPrimary({
      exec: options.entry.pathname,
      args: [],
      serialization: 'advanced',
      execArgv: [`--max-semi-space-size=${options.semiSpaceMib}`, ...process.execArgv],
    });
  }

  /** Starts the processes and lets them listen when what was opened so far is open in them. */
  start(): void {
    for (let number = 1; number <= this.#options.processes; number++) this.#startChild(number);
  }

  /** Resolves when every process has loaded its libraries, or has failed to. */
  started(): Promise<void> {
    if (this.#toOpen.size >= this.#options.processes) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onStarted = resolve;
    });
  }

  /** From here on a process that has opened everything listens. */
  listen(): void {
    this.#isListening = true;
    for (const child of this.#children.values()) this.#mayListen(child);
  }

  /**
   * Opens a version in every process, while callers are served in half of them at a time: to open one holds up its loop.
   * @throws FAILED_PRECONDITION with the first reason when one of them cannot
   */
  async open(spec: VersionSpec): Promise<void> {
    const name = instanceNameOf(spec);
    const { specs } = this.#wanted;
    const previous = specs.get(name);
    specs.set(name, spec);
    try {
      await this.#open(spec);
    } catch (error) {
      if (previous === undefined) await this.drain(spec);
      else {
        specs.set(name, previous);
        await this.#goBack(previous, GatewayError.from(error));
      }
      throw error;
    }
  }

  /** Some may have opened what the others could not. @throws both reasons, when that which was open before cannot be any more */
  async #goBack(previous: VersionSpec, why: GatewayError): Promise<void> {
    try {
      await this.#open(previous);
    } catch (error) {
      const also = `and what was open before cannot be opened again everywhere: ${GatewayError.from(error).message}`;
      throw new GatewayError(why.code, `${why.message}; ${also}`);
    }
  }

  async #open(spec: VersionSpec): Promise<void> {
    const name = instanceNameOf(spec);
    const all = this.#started();
    const atOnce = this.#isListening ? Math.ceil(all.length / 2) : all.length;
    for (let from = 0; from < all.length; from += atOnce) {
      await this.#ask(`open ${name}`, all.slice(from, from + atOnce), (child) => {
        this.#toOpen.get(child)?.add(name);
        child.send({ kind: 'open', spec });
      });
    }
  }

  async drain({ id, role }: InstanceId): Promise<void> {
    const instance: InstanceId = role === undefined ? { id } : { id, role };
    const name = instanceNameOf(instance);
    this.#wanted.specs.delete(name);
    await this.#all(`drain ${name}`, (child) => child.send({ kind: 'drain', ...instance }));
  }

  /** Makes `table` the one by which every process answers; resolves when all do. */
  async route(table: RouteTable): Promise<void> {
    this.#wanted.table = table;
    await this.#all(`route ${table.generation}`, (child) => child.send({ kind: 'route', table }));
  }

  settings(settings: LiveSettings): void {
    this.#wanted.settings = settings;
    for (const child of this.#children.values()) child.send({ kind: 'settings', settings });
  }

  tokens(rules: TokenRules | undefined): void {
    this.#wanted.tokens = rules;
    for (const child of this.#children.values()) child.send({ kind: 'tokens', rules });
  }

  /** Resolves when every process has sent its counts as they are now. */
  async refresh(): Promise<void> {
    await this.#all('pong', (child) => void child.ping());
  }

  /** What the shadows of every process have found since they began. */
  async reports(): Promise<ShadowReport[]> {
    await this.#all('report', (child) => {
      this.#reports.delete(child);
      child.send({ kind: 'report' });
    });
    return mergeReports([...this.#reports.values()].flat());
  }

  /** Runs a request in one process. @throws UNAVAILABLE, RESOURCE_EXHAUSTED, and what running it threw */
  repeat(repeat: Repeat): Promise<Repeated> {
    const ready = [...this.#children.values()].find(({ state }) => state === 'ready');
    return this.#repeats.ask(ready, repeat);
  }

  states(): Record<string, number> {
    const counts: Record<string, number> = { starting: 0, ready: 0, draining: 0 };
    for (const { state } of this.#children.values()) if (state !== 'gone') counts[state]!++;
    return counts;
  }

  /** Drains all processes and resolves when they are gone; those still there after `graceMs` are killed. */
  async stop(drainDelayMs: number, drainTimeoutMs: number): Promise<void> {
    this.#isStopping = true;
    for (const child of this.#everyone()) {
      child.state = 'draining';
      child.send({ kind: 'stop', drainDelayMs, drainTimeoutMs });
    }
    const graceMs = drainDelayMs + drainTimeoutMs + 1000;
    const timer = setTimeout(() => this.killAll(), graceMs);
    if (this.#everyone().length > 0) {
      await new Promise<void>((resolve) => {
        this.#onGone = resolve;
      });
    }
    clearTimeout(timer);
  }

  killAll(): void {
    for (const child of this.#everyone()) child.kill('grace');
  }

  #everyone(): Child[] {
    return [...this.#children.values(), ...this.#leaving];
  }

  #started(): Child[] {
    return [...this.#children.values()].filter((child) => this.#toOpen.has(child));
  }

  /** Asks every process that has started for something and resolves when all that still live have answered. */
  #all(what: string, ask: (child: Child) => void): Promise<void> {
    return this.#ask(what, this.#started(), ask);
  }

  #ask(what: string, asked: readonly Child[], ask: (child: Child) => void): Promise<void> {
    const children = asked.filter((child) => this.#toOpen.has(child) && this.#children.get(child.number) === child);
    const answered = this.#rollCall.wait(what, children);
    for (const child of children) ask(child);
    return answered;
  }

  #startChild(number: number): void {
    const { now, beatMs, beatTimeoutMs } = this.#options;
    this.#lives++;
    const child = new Child({
      number,
      life: `${number}.${this.#lives}`,
      now,
      beatMs,
      beatTimeoutMs,
      send: (worker: Worker, message) => post(worker, message),
      onMessage: (from, message) => this.#obey(from, message),
      onExit: (from, exit) => this.#exited(from, exit),
    });
    this.#children.set(number, child);
  }

  #obey(child: Child, message: FromGateway): void {
    switch (message.kind) {
      case 'started':
        return this.#replay(child);
      case 'opened':
        this.#toOpen.get(child)?.delete(instanceNameOf(message));
        this.#rollCall.answered(child, `open ${instanceNameOf(message)}`);
        return this.#mayListen(child);
      case 'openFailed':
        this.#toOpen.get(child)?.delete(instanceNameOf(message));
        this.#rollCall.answered(child, `open ${instanceNameOf(message)}`, errorOf(message.failure));
        return this.#mayListen(child);
      case 'drained':
        return this.#rollCall.answered(child, `drain ${instanceNameOf(message)}`);
      case 'routed':
        return this.#rollCall.answered(child, `route ${message.generation}`);
      case 'listening':
        return this.#ready(child, message.listening);
      case 'failed':
        return this.#options.onEvent({ kind: 'cannotListen', message: message.message });
      case 'pong':
        this.#options.onEvent({ kind: 'snapshot', life: child.life, snapshot: message.snapshot, used: message.used });
        return this.#rollCall.answered(child, 'pong');
      case 'reported':
        this.#reports.set(child, message.shadows);
        return this.#rollCall.answered(child, 'report');
      case 'repeated':
        return this.#repeats.answered(message);
      case 'sketches':
        this.#options.onEvent({ kind: 'sketches', life: child.life, closed: message.closed });
        return child.send({ kind: 'sketchesKept', kept: keptOf(message.closed) });
      case 'ask':
        return void this.#relay(child, message.seq, message.call);
      case 'overdue':
        return this.#overdue(child, message);
    }
  }

  /** Brings a new process to what is wanted now. */
  #replay(child: Child): void {
    const { config, package: version } = this.#options;
    const marks = this.#options.marksFile(child.life);
    child.send({ kind: 'configure', config, process: child.number, package: version, marks });
    this.#toOpen.set(child, new Set(this.#wanted.specs.keys()));
    this.#wanted.sendTo(child);
    if (this.#toOpen.size >= this.#options.processes) this.#onStarted?.();
    this.#mayListen(child);
  }

  #mayListen(child: Child): void {
    if (!this.#isListening || this.#isStopping || child.state !== 'starting' || this.#toOpen.get(child)?.size !== 0)
      return;
    child.send({ kind: 'route', table: this.#wanted.table });
    child.send({ kind: 'listen' });
  }

  #ready(child: Child, listening: Listening): void {
    child.state = 'ready';
    const tookMs = this.#options.now() - child.startedAt;
    const { number, life, pid } = child;
    this.#options.onEvent({ kind: 'ready', process: number, life, pid, tookMs, listening });
  }

  /**
   * A run in this process is over its limit: another takes its place, it answers what else it has, and is killed. For a run of
   * a shadow, which nobody waits for, no caller's connection is given up.
   */
  #overdue(child: Child, { id: version, role }: InstanceId): void {
    if (this.#leaving.has(child) || this.#isStopping) return;
    const isShadow = role === 'shadow';
    this.#options.onEvent({ kind: 'overdue', process: child.number, version, isShadow });
    if (isShadow) return;
    this.#leaving.add(child);
    child.state = 'draining';
    child.send({ kind: 'stop', drainDelayMs: 0, drainTimeoutMs: overdueDrainMs });
    setTimeout(() => child.kill('overdue'), overdueDrainMs).unref();
    this.#startChild(child.number);
  }

  async #relay(child: Child, seq: number, call: RelayCall): Promise<void> {
    try {
      child.send({ kind: 'answer', seq, value: await this.#options.answer(call) });
    } catch (error) {
      child.send({ kind: 'answer', seq, failure: failureOf(GatewayError.from(error)) });
    }
  }

  #exited(child: Child, exit: Exit): void {
    this.#toOpen.delete(child);
    this.#reports.delete(child);
    const isReplaced = this.#leaving.delete(child);
    if (!isReplaced) this.#children.delete(child.number);
    this.#rollCall.gone(child);
    this.#repeats.gone(child);
    this.#options.onEvent({ kind: 'gone', life: child.life });
    const reason = exit.killed ?? exit.signal ?? (exit.code === 0 ? 'exit' : `exit ${exit.code}`);
    const livedMs = this.#options.now() - child.startedAt;
    const restartMs = this.#isStopping || isReplaced ? undefined : this.#restarts.delayMs(child.number, livedMs);
    const { life, number: process, pid } = child;
    const suspects = takeSuspects(this.#options.marksFile(life), exit);
    this.#options.onEvent({ kind: 'exit', life, process, pid, reason, restartMs, suspects });
    if (restartMs !== undefined) {
      setTimeout(() => {
        if (!this.#isStopping) this.#startChild(child.number);
      }, restartMs);
    } else if (this.#everyone().length === 0) this.#onGone?.();
  }
}
