/**
 * A TCP proxy that breaks what passes from the server to the client: late, slow, cut, flipped, reset.
 *
 * Each connection takes the next fault of `faults`; when there are none left, bytes pass as they are.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

export interface Fault {
  /** Before the first byte. */
  readonly delayMs?: number;
  readonly bytesPerS?: number;
  /** Ends the connection in order after so many bytes. */
  readonly cutAfter?: number;
  /** Ends it with a reset. */
  readonly resetAfter?: number;
  /** Place of a byte whose lowest bit is turned. */
  readonly flipAt?: number;
  /** Passes nothing more after so many bytes, and keeps the connection open. */
  readonly hangAfter?: number;
}

export interface BrokenProxy {
  readonly port: number;
  readonly faults: Fault[];
  readonly connections: () => number;
  close(): void;
}

export async function startBrokenProxy(targetPort: number): Promise<BrokenProxy> {
  const faults: Fault[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer({ allowHalfOpen: false }, (client) => {
    connections++;
    const target = connect(targetPort, '127.0.0.1');
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => {
        sockets.delete(socket);
        client.destroySoon();
        target.destroy();
      });
    }
    client.pipe(target);
    void pass(target, client, faults.shift() ?? {}).catch(() => {});
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    port: (server.address() as AddressInfo).port,
    faults,
    connections: () => connections,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function pass(target: Socket, client: Socket, fault: Fault): Promise<void> {
  const { delayMs = 0, bytesPerS, cutAfter, resetAfter, flipAt, hangAfter } = fault;
  const last = Math.min(cutAfter ?? Infinity, resetAfter ?? Infinity, hangAfter ?? Infinity);
  let passed = 0;
  if (delayMs > 0) await wait(delayMs);
  for await (const chunk of target as AsyncIterable<Buffer>) {
    const bytes = chunk.subarray(0, last - passed);
    if (flipAt !== undefined && flipAt >= passed && flipAt < passed + bytes.length) bytes[flipAt - passed]! ^= 1;
    // A tenth of a second's worth at a time, when it is to be slow.
    const step = bytesPerS === undefined ? bytes.length : Math.max(1, Math.floor(bytesPerS / 10));
    for (let at = 0; at < bytes.length; at += step) {
      if (bytesPerS !== undefined) await wait(100);
      if (!client.write(bytes.subarray(at, at + step))) await new Promise((drained) => client.once('drain', drained));
    }
    passed += bytes.length;
    if (passed < last) continue;
    if (resetAfter !== undefined) client.resetAndDestroy();
    if (cutAfter !== undefined) client.end();
    if (hangAfter !== undefined) await new Promise(() => {});
    return;
  }
  client.end();
}
