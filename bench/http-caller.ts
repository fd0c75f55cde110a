/**
 * A caller over HTTP/1.1: a socket kept alive, requests made in advance, one write for each.
 *
 * Not node:http, whose client costs several times as much per request as the servers that are measured here.
 *
 * Must not know loops.
 */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Caller, type CallerEvents, reopenDelayMs, wordOf } from './caller.js';
import { HttpReply } from './http-reply.js';
import type { Payload } from './target.js';

export interface HttpCallOptions {
  /** Origin, path, and headers for every request. */
  readonly url: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Head and body of each request as they go over the wire. */
export function requestBytes(payloads: readonly Payload[], { url, path, headers }: HttpCallOptions): Buffer[] {
  const { host } = new URL(url);
  return payloads.map(({ body, headers: own }) => {
    const all = { host, ...headers, ...own, 'content-length': String(body.length) };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'), body]);
  });
}

export class HttpCaller extends Caller {
  readonly #url: URL;
  readonly #requests: readonly Buffer[];
  readonly #events: CallerEvents;
  #socket: Socket | undefined;
  #reply = new HttpReply();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(url: string, requests: readonly Buffer[], events: CallerEvents) {
    super();
    this.#url = new URL(url);
    this.#requests = requests;
    this.#events = events;
  }

  open(): void {
    if (this.#isClosed) return;
    const { hostname, port, protocol } = this.#url;
    const isSecure = protocol === 'https:';
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    const number = Number(port) || (isSecure ? 443 : 80);
    const socket = isSecure
      ? connectTls({ host, port: number, servername: host })
      : connect({ host, port: number, noDelay: true });
    this.#socket = socket;
    this.#reply = new HttpReply();
    socket.once(isSecure ? 'secureConnect' : 'connect', () => {
      this.isReady = true;
      this.#events.ready(this);
    });
    socket.on('data', (chunk) => this.#take(socket, chunk));
    socket.on('error', (error) => this.#end(socket, wordOf(error)));
    socket.on('close', () => this.#end(socket, 'closed'));
  }

  send(index: number): void {
    this.isBusy = true;
    this.#socket!.write(this.#requests[index]!);
  }

  abandon(): void {
    this.isBusy = false;
    this.#drop();
    this.#reopen(0);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#drop();
  }

  #take(socket: Socket, chunk: Buffer): void {
    if (socket !== this.#socket) return;
    // Bytes that nobody asked for: this is not a server to go on with.
    if (!this.isBusy) return this.#end(socket, 'bad-reply');
    try {
      if (this.#reply.take(chunk)) this.#answered();
    } catch {
      this.#end(socket, 'bad-reply');
    }
  }

  #answered(): void {
    const { status, isLast } = this.#reply;
    this.isBusy = false;
    if (isLast) {
      this.#drop();
      this.#reopen(0);
    }
    this.#events.answered(this, status >= 200 && status < 300 ? '' : String(status));
  }

  #end(socket: Socket, word: string): void {
    if (socket !== this.#socket) return;
    if (this.isBusy && this.#reply.end()) return this.#answered();
    const { isBusy, isReady } = this;
    this.isBusy = false;
    this.#drop();
    this.#reopen(isReady && !isBusy ? 0 : reopenDelayMs);
    if (isBusy) this.#events.lost(this, word);
    else if (!isReady) this.#events.failed(word);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.isReady = false;
    socket?.destroy();
  }

  #reopen(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => this.open(), delayMs);
  }
}
