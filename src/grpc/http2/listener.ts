/**
 * The listening socket: accepts connections, looks after them, and ends them without losing calls.
 *
 * In a worker of a cluster the socket is the one that all workers share. A name that stands for several addresses is served
 * on each of them, under one port.
 *
 * Must not know gRPC.
 */
import { lookup } from 'node:dns/promises';
import { type AddressInfo, createServer, isIP, type Server, type Socket } from 'node:net';
import { Connection } from './connection.js';
import type { HeaderList } from './header-list.js';
import { Life, type LifeOptions } from './life.js';
import { Turn } from './outbox.js';
import type { Stream, StreamUser } from './stream.js';

export interface ListenerOptions {
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly streamsMax: number;
  /** Beyond it connections are closed as they are accepted. */
  readonly connectionsMax: number;
  readonly life: LifeOptions;
  readonly open: (stream: Stream, head: HeaderList) => StreamUser;
}

interface Accepted {
  readonly connection: Connection;
  readonly life: Life;
}

const lookEveryMs = 1000;

export class Listener {
  readonly #options: ListenerOptions;
  readonly #servers: Server[] = [];
  readonly #accepted = new Set<Accepted>();
  readonly #turn = new Turn();
  #timer: NodeJS.Timeout | undefined = undefined;
  #graceMs: number | undefined = undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  get connections(): number {
    return this.#accepted.size;
  }

  /** @returns the port. @throws what the system says when no address can be bound */
  async listen(host: string, port: number): Promise<number> {
    const addresses = isIP(host) === 0 ? await lookup(host, { all: true }) : [{ address: host }];
    let bound = port;
    let failure: unknown;
    for (const { address } of addresses) {
      try {
        bound = await this.#bind(address, bound);
      } catch (thrown) {
        failure ??= thrown;
      }
    }
    if (this.#servers.length === 0) throw failure;
    const { ageMs, wordMs } = this.#options.life;
    this.#timer = setInterval(() => this.#look(), Math.min(lookEveryMs, ageMs / 10, wordMs / 4)).unref();
    return bound;
  }

  #bind(host: string, port: number): Promise<number> {
    const server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    server.maxConnections = this.#options.connectionsMax;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, () => {
        server.removeListener('error', reject);
        // A connection that cannot be accepted is its peer's loss only.
        server.on('error', () => {});
        this.#servers.push(server);
        resolve((server.address() as AddressInfo).port);
      });
    });
  }

  #accept(socket: Socket): void {
    const { now, random, streamsMax, open, life: usual } = this.#options;
    const turn = this.#turn;
    const onProgress = () => {
      if (life.isEnding) life.step(now());
    };
    const connection = new Connection(socket, { now, turn, streamsMax, open, onProgress });
    const life = new Life(connection, { ...usual, ageMs: usual.ageMs * (0.9 + random() * 0.2) }, now());
    const accepted = { connection, life };
    this.#accepted.add(accepted);
    // An error is followed by the end, which is listened to.
    socket.on('error', () => {});
    socket.on('end', () => connection.lose());
    socket.on('close', () => {
      this.#accepted.delete(accepted);
      connection.lose();
    });
    if (this.#graceMs !== undefined) life.beginEnd(now(), this.#graceMs);
  }

  #look(): void {
    const now = this.#options.now();
    for (const { life } of this.#accepted) life.look(now);
  }

  /** No new connections, no new streams; resolves when the last connection is closed, at the latest after the grace. */
  async stop(graceMs: number): Promise<void> {
    const now = this.#options.now();
    this.#graceMs = graceMs;
    const closed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
    for (const { life } of this.#accepted) life.beginEnd(now, graceMs);
    const forced = setTimeout(() => this.#destroy(), Math.min(graceMs, 2 ** 31 - 1));
    await Promise.all(closed);
    clearTimeout(forced);
    clearInterval(this.#timer);
  }

  #destroy(): void {
    for (const { connection } of this.#accepted) connection.destroy();
  }
}
