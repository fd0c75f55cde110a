/**
 * HTTP by bare sockets, for what no client library would send: broken framing, split packets, silence.
 */
import { connect, type Socket } from 'node:net';

export interface RawReply {
  /** 0 when the connection closed, or nothing came in time. */
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly head: string;
  readonly body: Buffer;
  /** The server closed the connection. */
  readonly isClosed: boolean;
}

export interface Exchanged {
  readonly port: number;
  /** Written one after the other, each in a packet of its own. */
  readonly packets: readonly (string | Buffer)[];
  /** Time between packets. */
  readonly pauseMs?: number;
  /** How long to wait for an answer. */
  readonly waitMs?: number;
  /** Also wait for the connection to close after the answer. */
  readonly untilClosed?: boolean;
}

/** Sends bytes and reads one answer; an interim 100 is passed over. */
export function exchange({
  port,
  packets,
  pauseMs = 0,
  waitMs = 3000,
  untilClosed = false,
}: Exchanged): Promise<RawReply> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let received = Buffer.alloc(0);
    let isClosed = false;
    const isHead = String(packets[0]).startsWith('HEAD');
    socket.setNoDelay(true);
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(
        replyOf(received, isClosed, isHead) ?? { status: 0, headers: new Map(), head: '', body: received, isClosed },
      );
    };
    const timer = setTimeout(finish, waitMs);
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (!untilClosed && replyOf(received, false, isHead) !== undefined) finish();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      isClosed = true;
      finish();
    });
    void writeAll(socket, packets, pauseMs);
  });
}

async function writeAll(socket: Socket, packets: readonly (string | Buffer)[], pauseMs: number): Promise<void> {
  for (const packet of packets) {
    if (socket.destroyed) return;
    await new Promise((written) => socket.write(packet, written));
    if (packets.length > 1) await new Promise((next) => setTimeout(next, pauseMs));
  }
}

/** The first complete answer in `bytes`. */
function replyOf(bytes: Buffer, isClosed: boolean, isHead = false): RawReply | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const head = bytes.toString('latin1', 0, end);
  const status = Number(head.slice(9, 12));
  if (status === 100) return replyOf(bytes.subarray(end + 4), isClosed, isHead);
  const headers = new Map<string, string>();
  for (const line of head.split('\r\n').slice(1)) {
    const colon = line.indexOf(':');
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const body = bytes.subarray(end + 4);
  const length = Number(headers.get('content-length') ?? 0);
  // An answer to HEAD announces a body and has none.
  if (body.length < length && !isClosed && !isHead) return undefined;
  return { status, headers, head, body: body.subarray(0, length), isClosed };
}

export interface Called {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** The bytes of a well-formed request. */
export function requestBytes({ method, path, headers = {}, body }: Called): Buffer {
  const lines = [`${method ?? (body === undefined ? 'GET' : 'POST')} ${path} HTTP/1.1`, 'Host: localhost'];
  if (body !== undefined) lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), Buffer.from(body ?? '')]);
}

/** One ordinary call. */
export function call(port: number, called: Called): Promise<RawReply> {
  return exchange({ port, packets: [requestBytes(called)] });
}
