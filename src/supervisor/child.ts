/**
 * One gateway process: started, asked for a beat every second, stopped or killed.
 *
 *   starting ─▶ ready ─▶ draining ─▶ gone
 *       └──────────┴─────────┴─────▶ gone     exit, SIGKILL after missed beats
 *
 * A process that does not answer for `beatTimeoutMs` hangs, and only SIGKILL ends it. A stall of this process is not a hang
 * of that one: beats that this end did not look at in time do not count.
 *
 * Must not know models, or what messages mean beyond beats.
 */
import type { Worker } from 'node:cluster';
import cluster from 'node:cluster';
import type { FromGateway, ToGateway } from '../ipc.js';

export type ChildState = 'starting' | 'ready' | 'draining' | 'gone';

export interface ChildOptions {
  readonly number: number;
  readonly life: string;
  readonly now: () => number;
  readonly beatMs: number;
  readonly beatTimeoutMs: number;
  readonly send: (worker: Worker, message: ToGateway) => void;
  readonly onMessage: (child: Child, message: FromGateway) => void;
  readonly onExit: (child: Child, exit: Exit) => void;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
  /** Why this end killed it, when it did. */
  readonly killed: 'hung' | 'overdue' | 'grace' | undefined;
}

export class Child {
  readonly number: number;
  /** One life of one process; a process id may come back. */
  readonly life: string;
  readonly startedAt: number;
  readonly #options: ChildOptions;
  readonly #worker: Worker;
  readonly #beat: NodeJS.Timeout;
  state: ChildState = 'starting';
  #killed: Exit['killed'];
  #seq = 0;
  #answeredAt: number;
  #lookedAt: number;

  constructor(options: ChildOptions) {
    this.number = options.number;
    this.life = options.life;
    this.#options = options;
    this.startedAt = options.now();
    this.#answeredAt = this.startedAt;
    this.#lookedAt = this.startedAt;
    this.#worker = cluster.fork();
    this.#worker.on('message', (message: FromGateway) => {
      if (message.kind === 'pong') this.#answeredAt = options.now();
      options.onMessage(this, message);
    });
    this.#worker.on('error', () => {});
    this.#worker.on('exit', (code, signal) => {
      clearInterval(this.#beat);
      this.state = 'gone';
      options.onExit(this, { code, signal, killed: this.#killed });
    });
    this.#beat = setInterval(() => this.#look(), options.beatMs);
  }

  get pid(): number {
    return this.#worker.process.pid ?? 0;
  }

  send(message: ToGateway): void {
    if (this.state !== 'gone') this.#options.send(this.#worker, message);
  }

  kill(why: Exit['killed']): void {
    this.#killed ??= why;
    this.#worker.process.kill('SIGKILL');
  }

  /** Asks for a fresh snapshot now; it arrives as a pong. */
  ping(): number {
    this.#seq++;
    this.send({ kind: 'ping', seq: this.#seq });
    return this.#seq;
  }

  #look(): void {
    const { now, beatMs, beatTimeoutMs } = this.#options;
    const at = now();
    const wasStalled = at - this.#lookedAt > 2 * beatMs;
    this.#lookedAt = at;
    if (wasStalled) this.#answeredAt = at;
    // Until it has started, a process is busy loading its libraries.
    if (this.state !== 'starting' && at - this.#answeredAt > beatTimeoutMs) return this.kill('hung');
    this.ping();
  }
}
