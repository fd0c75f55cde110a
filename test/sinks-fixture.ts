/**
 * Runs of sinks, files of the log for them, and receivers, as the tests of sinks need them.
 *
 * Must not know what is tested.
 */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Archive } from '../src/predictions/archive.js';
import type { Sink } from '../src/predictions/sinks/sink.js';
import { SinkRun } from '../src/predictions/sinks/sink-run.js';
import { archiveOf, event, floats, openLog, startUs, terms } from './predictions-events.js';

/** A finished file without anything in it, of three rows, and the line that names it. */
export function finish(root: string, model: string, name: string, fromUs = startUs): void {
  const directory = join(root, 'log', `model=${model}`);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, name), '');
  const line = JSON.stringify({ file: name, rows: 3, min_ts: fromUs });
  writeFileSync(join(directory, '_manifest.jsonl'), `${line}\n`, { flag: 'a' });
}

export interface Rest {
  readonly delayMs: number;
  /** Over now. */
  end(): void;
}

/** A run whose rests last until the test ends them. */
export function runOf(root: string, sink: Sink | Sink['deliver'], graceMs = 10_000) {
  const rests: Rest[] = [];
  const told: string[] = [];
  const run = new SinkRun({
    sink: typeof sink === 'function' ? { deliver: sink, close: async () => {} } : sink,
    root,
    cursorPath: join(root, 'cursors', 'test.json'),
    backoffMs: { first: 1000, max: 5000 },
    graceMs,
    after: (delayMs, end) => {
      if (delayMs === graceMs) {
        const timer = setTimeout(end, delayMs);
        return () => clearTimeout(timer);
      }
      rests.push({ delayMs, end });
      return () => {};
    },
    epochMs: () => startUs / 1000 + 60_000,
    onCursorDamaged: ({ message }) => told.push(`cursor: ${message}`),
    onFailing: ({ message }) => told.push(message),
    onRecovered: () => told.push('recovered'),
  });
  return { run, rests, told };
}

export interface LoggedRows {
  readonly archive: Archive;
  /** Folder of finished files. */
  readonly root: string;
}

interface LoggedAmount {
  readonly requests: number;
  /** Of input in each item. */
  readonly bytes?: number;
  readonly files?: number;
  /** Rows of each request. */
  readonly items?: number;
}

/** Requests to one model, all of them in finished files. */
export async function loggedRows(
  context: TestContext,
  directory: string,
  { requests, bytes = 8, files = 1, items = 1 }: LoggedAmount,
): Promise<LoggedRows> {
  const segments = join(directory, 'segments');
  mkdirSync(segments, { recursive: true });
  for (let file = 0; file < files; file++) {
    const log = await openLog(segments, { incarnation: file + 1 });
    const subject = log.subject({ ...terms, sample: 1 });
    for (let i = file; i < requests; i += files) {
      const inputs = [floats('x', [items, bytes / 4], new Array((items * bytes) / 4).fill(i))];
      const outputs = [floats('y', [items], new Array(items).fill(1))];
      log.append(event(subject, { requestId: `r-${i}`, tsUs: startUs + i, items, inputs, outputs }));
    }
    await log.close();
  }
  const archive = archiveOf(context, directory);
  await archive.convert();
  return { archive, root: join(directory, 'archive') };
}

export interface Received {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A receiver on a port of its own that answers as it is told; what it accepted is kept. */
export async function receiverOf(
  context: TestContext,
  answer: (request: Received, response: ServerResponse) => number | undefined,
) {
  const accepted: Received[] = [];
  const sockets = new Set<Socket>();
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const received = { headers: request.headers, body: Buffer.concat(parts).toString() };
    const status = answer(received, response);
    if (status === undefined) return;
    if (status < 300) accepted.push(received);
    response.writeHead(status).end();
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, accepted, sockets, server };
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes of this process after everything that can go has gone: buffers go a turn after what held them. */
export async function heldBytes(): Promise<number> {
  for (let rounds = 0; rounds < 3; rounds++) {
    await wait(50);
    collect();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
