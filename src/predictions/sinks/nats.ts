/**
 * Rows into a NATS JetStream stream, one message each: the row as JSON, on `<subject>.<model>`.
 *
 *   batch ─▶ a request each, with its id ─▶ all of them confirmed by the stream ─▶ sent
 *
 * A row that is sent again carries the same `Nats-Msg-Id`, by which the stream leaves it out within its duplicate window. A
 * connection lives as long as all goes well: after any fault there is another one, to an address that was looked at anew.
 *
 * The only file that imports the client of NATS, and only when there is a sink of this kind. Must not know files or cursors.
 */
import { createConnection } from 'node:net';
import type { NatsConnection, RequestError } from '@nats-io/transport-node';
import { GatewayError } from '../../core/errors.js';
import { idOf, type Message, type RowSender, RowsRefused } from './row-sink.js';

export interface NatsCredentials {
  readonly token?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

export interface NatsOptions {
  /** `nats://host:port` or `tls://host:port`, of one cluster; the first that answers is taken. */
  readonly urls: readonly URL[];
  readonly subject: string;
  readonly timeoutMs: number;
  /** PEM certificates to trust. */
  readonly authorities: string | undefined;
  readonly credentials: () => Promise<NatsCredentials>;
  /** The address to connect to. @throws when none of the host's may be used */
  readonly addressOf: (url: URL) => Promise<string>;
}

const port = 4222;
/** Of the headers, beside the id. */
const headBytes = 64;

/** The rule of NATS for one part of a subject. */
function tokenOf(model: string): string {
  return model.replace(/[.*>\s]/g, '_');
}

export function natsSender(options: NatsOptions): RowSender {
  const { subject } = options;
  let current: NatsConnection | undefined;
  const leave = async () => {
    const left = current;
    current = undefined;
    await left?.close().catch(() => {});
  };
  return {
    messageOf: (row) => ({ id: idOf(row), model: String(row.model), body: JSON.stringify(row) }),
    async send(messages, signal) {
      if (current?.isClosed() ?? true) current = await connected(options);
      const connection = current!;
      const bytesMax = connection.info?.max_payload ?? 0;
      if (messages.some(({ id, body }) => bytesOf(id, body) > bytesMax)) throw new RowsRefused('too_large');
      signal.addEventListener('abort', leave, { once: true });
      try {
        await Promise.all(messages.map((message) => publish(connection, message, options)));
      } catch (error) {
        if (!(error instanceof RowsRefused)) await leave();
        throw error instanceof Error && isOurs(error) ? error : faultOf(error, subject);
      } finally {
        signal.removeEventListener('abort', leave);
      }
    },
    close: leave,
  };
}

function isOurs(error: Error): boolean {
  return error instanceof RowsRefused || error instanceof GatewayError;
}

function bytesOf(id: string, body: string): number {
  return Buffer.byteLength(body) + Buffer.byteLength(id) + headBytes;
}

interface PubAck {
  readonly stream?: string;
  readonly error?: { readonly code: number; readonly err_code: number; readonly description: string };
}

/** The message is longer than the stream allows. */
const exceedsMaximum = 10054;

async function publish(
  connection: NatsConnection,
  { id, model, body }: Message,
  { subject, timeoutMs }: NatsOptions,
): Promise<void> {
  const { headers } = await import('@nats-io/transport-node');
  const head = headers();
  head.set('Nats-Msg-Id', id);
  const answer = await connection.request(`${subject}.${tokenOf(model)}`, body, { timeout: timeoutMs, headers: head });
  const { stream, error } = answer.json<PubAck>();
  if (error?.err_code === exceedsMaximum) throw new RowsRefused('too_large');
  if (error !== undefined) throw new GatewayError('UNAVAILABLE', `${subject}: the stream answers ${error.description}`);
  if (stream === undefined) throw new GatewayError('UNAVAILABLE', `${subject}: the answer is none of a stream's`);
}

async function connected(options: NatsOptions): Promise<NatsConnection> {
  let fault: unknown;
  for (const url of options.urls) {
    try {
      return await connectedTo(url, options);
    } catch (error) {
      fault = error instanceof GatewayError ? error : faultOf(error, url.host);
    }
  }
  throw fault;
}

async function connectedTo(url: URL, options: NatsOptions): Promise<NatsConnection> {
  const { timeoutMs, authorities: ca, credentials, addressOf } = options;
  const { connect } = await import('@nats-io/transport-node');
  const [{ token, user, password }, address] = await Promise.all([credentials(), addressOf(url)]);
  const to = { host: address, port: Number(url.port || port) };
  await greeted(to, timeoutMs);
  // The certificate must be for the name, and what is connected to is an address.
  const tls = { servername: url.hostname, ...(ca !== undefined && { ca }) };
  return connect({
    servers: `${address.includes(':') ? `[${address}]` : address}:${to.port}`,
    resolve: false,
    ignoreClusterUpdates: true,
    reconnect: false,
    noAsyncTraces: true,
    name: 'sluice',
    timeout: timeoutMs,
    tls: url.protocol === 'tls:' ? tls : null,
    ...(token !== undefined && { token }),
    ...(user !== undefined && { user, pass: password ?? '' }),
  });
}

/**
 * Resolves when somebody there speaks. The client leaves a socket open behind every connection that was not greeted in time
 * (seen with 3.3.1), and a server that hangs would be tried for days.
 */
function greeted(to: { readonly host: string; readonly port: number }, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(to);
    const settle = (error?: Error) => {
      socket.destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    socket.setTimeout(timeoutMs, () => settle(new Error('no greeting in time')));
    socket.once('data', () => settle());
    socket.once('end', () => settle(new Error('the connection was closed')));
    socket.once('error', settle);
  });
}

/** The client's own words tell no secret. */
function faultOf(error: unknown, where: string): GatewayError {
  const { message, isNoResponders } = error as RequestError;
  const words = isNoResponders?.call(error) ? 'no stream takes this subject' : message;
  return new GatewayError('UNAVAILABLE', `${where}: ${words}`, { cause: error });
}
