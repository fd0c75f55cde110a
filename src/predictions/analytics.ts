/**
 * The analytics child as one function: a job in, its result out. One job at a time; the child is started by the first one and
 * ended when nothing was asked for a while, when it grows beyond its memory, and when a job overruns.
 *
 * DuckDB's own limit covers only part of what it takes, therefore the watchdog looks at the process.
 *
 * Must not know what jobs do.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { GatewayError } from '../core/errors.js';
import type { FromChild, ToChild } from './analytics-child.js';
import type { Job, Results } from './jobs.js';

export interface AnalyticsOptions {
  readonly rssBytesMax: number;
  /** Jobs that may wait. */
  readonly queueMax: number;
  /** After this time without a job the child is ended. */
  readonly idleMs: number;
  /** A job is given up after this time; one with a time limit of its own a little after that. */
  readonly jobMs: number;
  /** Bytes of memory that a process has; undefined when it cannot be told. */
  readonly rssOf?: (pid: number) => number | undefined;
}

interface Pending {
  readonly job: Job;
  readonly resolve: (result: Results[keyof Results]) => void;
  readonly reject: (error: Error) => void;
}

const lookMs = 200;
/** A job that has a time ends itself; it is ended from here when it does not. */
const graceMs = 5000;
/** A second on an idle machine; the child gives way to all others. */
const startMs = 20_000;
const pageBytes = 4096;

function rssOnLinux(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * pageBytes;
  } catch {
    return undefined;
  }
}

export class Analytics {
  readonly #options: AnalyticsOptions;
  readonly #waiting: Pending[] = [];
  #running: Pending | undefined;
  #child: ChildProcess | undefined;
  #id = 0;
  #restarts = 0;
  #idle: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #overdue: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: AnalyticsOptions) {
    this.#options = options;
  }

  /** How often the child had to be ended or ended by itself. */
  get restarts(): number {
    return this.#restarts;
  }

  /** @throws RESOURCE_EXHAUSTED when too many jobs wait or this one grew too large, DEADLINE_EXCEEDED, and what the job throws */
  run<Kind extends Job['kind']>(job: Extract<Job, { kind: Kind }>): Promise<Results[Kind]> {
    if (this.#isClosed) return Promise.reject(new GatewayError('UNAVAILABLE', 'analytics is closed'));
    if (this.#waiting.length >= this.#options.queueMax) {
      return Promise.reject(
        new GatewayError('RESOURCE_EXHAUSTED', 'too many analytics jobs wait', { retryAfterMs: 5000 }),
      );
    }
    return new Promise<Results[Kind]>((resolve, reject) => {
      this.#waiting.push({ job, resolve: resolve as Pending['resolve'], reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#running !== undefined) return;
    const next = this.#waiting.shift();
    clearTimeout(this.#idle);
    if (next === undefined) {
      this.#idle = setTimeout(() => this.#end(), this.#options.idleMs);
      this.#idle.unref();
      return;
    }
    this.#running = next;
    const isNew = this.#child === undefined;
    this.#child ??= this.#start();
    this.#child.ref();
    const jobMs = 'timeoutMs' in next.job ? next.job.timeoutMs + graceMs : this.#options.jobMs;
    this.#overdue = setTimeout(
      () => this.#kill(new GatewayError('DEADLINE_EXCEEDED', 'analytics job overran')),
      jobMs + (isNew ? startMs : 0),
    );
    this.#child.send({ id: ++this.#id, job: next.job } satisfies ToChild, () => {});
  }

  #start(): ChildProcess {
    const child = fork(new URL('./analytics-child.js', import.meta.url), { serialization: 'advanced', execArgv: [] });
    child.on('message', (message: FromChild) => this.#hear(child, message));
    child.on('error', () => this.#lose(child, new GatewayError('UNAVAILABLE', 'analytics cannot be started')));
    child.on('exit', () => this.#lose(child, new GatewayError('UNAVAILABLE', 'analytics ended during the job')));
    this.#watch = setInterval(() => this.#look(child), lookMs);
    this.#watch.unref();
    return child;
  }

  #hear(child: ChildProcess, { id, result, error }: FromChild): void {
    if (child !== this.#child || id !== this.#id || this.#running === undefined) return;
    if (error === undefined) this.#settle((job) => job.resolve(result!));
    else this.#settle((job) => job.reject(new GatewayError(error.code, error.message, { cause: error.cause })));
  }

  #settle(tell: (job: Pending) => void): void {
    const job = this.#running;
    clearTimeout(this.#overdue);
    this.#running = undefined;
    this.#child?.unref();
    this.#child?.channel?.unref();
    if (job !== undefined) tell(job);
    this.#next();
  }

  #look(child: ChildProcess): void {
    const rss = (this.#options.rssOf ?? rssOnLinux)(child.pid!);
    if (rss === undefined || rss <= this.#options.rssBytesMax) return;
    this.#kill(new GatewayError('RESOURCE_EXHAUSTED', 'analytics took more memory than it may'));
  }

  #kill(why: GatewayError): void {
    const child = this.#child;
    if (child === undefined) return;
    this.#lose(child, why);
    child.kill('SIGKILL');
  }

  #lose(child: ChildProcess, why: GatewayError): void {
    if (child !== this.#child) return;
    this.#child = undefined;
    this.#restarts++;
    clearInterval(this.#watch);
    if (this.#running === undefined) return;
    this.#settle((job) => job.reject(why));
  }

  /** Without a job under way the child has nothing to lose. */
  #end(): void {
    const child = this.#child;
    this.#child = undefined;
    clearInterval(this.#watch);
    child?.kill('SIGKILL');
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#idle);
    clearTimeout(this.#overdue);
    for (const { reject } of this.#waiting.splice(0)) reject(new GatewayError('UNAVAILABLE', 'analytics is closed'));
    const running = this.#running;
    this.#running = undefined;
    this.#end();
    running?.reject(new GatewayError('UNAVAILABLE', 'analytics is closed'));
  }
}
