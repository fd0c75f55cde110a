/**
 * One connection that carries one request at a time: what the loops are made of.
 *
 *   open() ─▶ ready ─▶ send() ─▶ done ─▶ send() …
 *              ▲                   │ the connection is gone
 *              └── opens again ◀───┘
 *
 * HTTP, gRPC unary and gRPC stream look the same from here. A caller opens its connection again by itself, after a pause
 * when it failed, until it is closed.
 *
 * Must not know time: whose latency counts from when belongs to the loop.
 */

export abstract class Caller {
  /** When the request in flight was due, and when it went out; both belong to the loop. */
  dueAt = 0;
  sentAt = 0;
  /** A request is in flight. */
  isBusy = false;
  /** A request may be sent. */
  isReady = false;

  abstract open(): void;
  abstract send(index: number): void;
  /** Gives up the request in flight, and with it the connection; tells nobody. */
  abstract abandon(): void;
  abstract close(): void;
}

export interface CallerEvents {
  /** Connected, or connected again. */
  ready(caller: Caller): void;
  /** The server has answered; `code` is '' for a success. The caller is ready again unless it says otherwise. */
  answered(caller: Caller, code: string): void;
  /** The request in flight will never be answered. */
  lost(caller: Caller, code: string): void;
  /** There was no connection to be had. */
  failed(code: string): void;
}

export type CallerFactory = (events: CallerEvents) => Caller;

/** How long to wait before the next attempt when a connection could not be opened. */
export const reopenDelayMs = 100;

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'connect-timeout',
  ENOTFOUND: 'unknown-host',
  EMFILE: 'too-many-files',
};

/** What became of a connection, in a word. */
export function wordOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: string };
  return code === undefined ? 'closed' : (words[code] ?? code);
}
