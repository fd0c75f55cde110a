/**
 * PART OF THE ROOT: the versions that this process has open, and those on their way.
 *
 *   open ─▶ opening ─▶ router: those that answer callers        drain ─▶ waits for the opening ─▶ last answer ─▶ told
 *                  └─▶ copies: those that only see copies
 *
 * Must not know which version answers whom.
 */
import { availableParallelism } from 'node:os';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import type { Observe } from '../core/events.js';
import { type InstanceId, instanceNameOf, nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import { Cores } from '../engine/cores.js';
import { Marks } from '../engine/marks.js';
import { openVersion } from '../engine/version.js';
import { type FromGateway, failureOf } from '../ipc.js';
import type { Drains } from '../observe/drains.js';
import type { Gauges } from '../observe/metrics.js';
import type { DrainableVersion, Router } from '../routing/router.js';
import { VersionMemory } from './version-memory.js';

export interface InstancesOptions {
  readonly config: Config;
  /** File in which to say what runs. */
  readonly marks: string;
  readonly router: Router;
  readonly observe: Observe;
  readonly drains: Drains;
  readonly now: () => number;
  readonly tell: (message: FromGateway) => void;
}

export class Instances {
  readonly #options: InstancesOptions;
  readonly #cores: Cores;
  readonly #marks: Marks;
  readonly #memory = new VersionMemory();
  /** Instances that only see copies of requests, by the name of their version. */
  readonly #copies = new Map<string, DrainableVersion>();
  /** Versions that are opening, by name: a drain waits for them. */
  readonly #opening = new Map<string, Promise<void>>();
  #startingThreads = 0;
  /** Threads whose run, of a shadow, never ended: they run on, whatever becomes of their version. */
  #stuckThreads = 0;

  constructor(options: InstancesOptions) {
    this.#options = options;
    this.#cores = new Cores(Math.max(1, Math.floor(availableParallelism() / options.config.gateway.processes)));
    this.#marks = new Marks(options.marks);
  }

  /** To exit while a run is under way aborts the process. */
  get hasStuckRun(): boolean {
    return this.#stuckThreads > 0;
  }

  copyOf(id: VersionId): DrainableVersion | undefined {
    return this.#copies.get(nameOf(id));
  }

  /** After an earlier opening of that name, so that the last that was asked for stays. */
  open(spec: VersionSpec): void {
    const name = instanceNameOf(spec);
    const before = this.#opening.get(name);
    this.#opening.set(name, before === undefined ? this.#open(spec) : before.then(() => this.#open(spec)));
  }

  async #open(spec: VersionSpec): Promise<void> {
    const { tell } = this.#options;
    const instance = instanceOf(spec);
    let starting = 0;
    const onStarting = () => {
      starting = spec.instances;
      this.#startingThreads += starting;
    };
    const isOpen = await this.#memory.begin(instanceNameOf(instance));
    try {
      const version = await this.#opened(spec, onStarting);
      void this.#replace(spec, version)?.drain();
      tell({ kind: 'opened', ...instance });
    } catch (error) {
      tell({ kind: 'openFailed', ...instance, failure: failureOf(GatewayError.from(error)) });
    }
    this.#startingThreads -= starting;
    await isOpen();
  }

  #opened(spec: VersionSpec, onStarting: () => void): Promise<DrainableVersion> {
    const { config, observe, now, tell } = this.#options;
    const { engine, batching, quotas } = config;
    return openVersion(spec, {
      cores: this.#cores,
      observe,
      now,
      inlineRunUsMax: engine.inline_run_us,
      hardRunTimeoutMs: engine.hard_run_timeout_ms,
      priorityAgingMs: batching.priority_aging_ms,
      marks: this.#marks,
      weightOf: quotas.key.length === 0 ? undefined : (tenant) => quotas.tenants[tenant]?.weight ?? 1,
      onStarting,
      onOverdue: () => {
        if (spec.role === 'shadow') this.#stuckThreads++;
        tell({ kind: 'overdue', ...instanceOf(spec) });
      },
    });
  }

  /** @returns what it takes the place of */
  #replace({ id, role }: InstanceId, version: DrainableVersion): DrainableVersion | undefined {
    if (role !== 'shadow') return this.#options.router.add(version);
    const replaced = this.copyOf(id);
    this.#copies.set(nameOf(id), version);
    return replaced;
  }

  async drain(asked: InstanceId): Promise<void> {
    const { router, drains, tell } = this.#options;
    const instance = instanceOf(asked);
    const { id, role } = instance;
    const name = instanceNameOf(instance);
    await this.#opening.get(name);
    this.#opening.delete(name);
    this.#memory.forget(name);
    if (role === 'shadow') {
      const copy = this.copyOf(id);
      this.#copies.delete(nameOf(id));
      await copy?.drain();
    } else {
      const drained = drains.begin('version');
      await router.drain(id);
      drained();
    }
    tell({ kind: 'drained', ...instance });
  }

  /** Resolves when the last request of each is answered. */
  async close(): Promise<void> {
    const { router } = this.#options;
    await Promise.all(this.#opening.values());
    await Promise.all(Array.from(router.versions, ({ id }) => router.drain(id)));
    await Promise.all(Array.from(this.#copies.values(), (copy) => copy.drain()));
  }

  gauges(): Omit<Gauges, 'families'> {
    const versions = Array.from(this.#options.router.versions, ({ id, depth, inFlight, threads, busy }) => ({
      id,
      depth,
      inFlight,
      ...(threads === undefined ? {} : { threads }),
      ...(busy === undefined ? {} : { busy }),
      memoryBytes: this.#memory.of(instanceNameOf({ id })),
    }));
    return { versions, startingThreads: this.#startingThreads, deadThreads: this.#stuckThreads };
  }
}

function instanceOf({ id, role }: InstanceId): InstanceId {
  return role === undefined ? { id } : { id, role };
}
