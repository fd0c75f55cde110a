/** The NATS server from its Debian package, with JetStream on a folder of its own that outlives it. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';
import { freePort, type Started, skipWithout, startProcess } from './debian.js';

const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin'];
const binary = folders.map((path) => join(path, 'nats-server')).find(existsSync) ?? '/usr/sbin/nats-server';

export const natsSkip = skipWithout([binary], 'nats-server');

interface Nats {
  readonly port: number;
  readonly url: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** @param more parameters of the server: whom it lets in, and how */
export async function startNats(
  context: { after(work: () => Promise<void>): void },
  more: readonly string[] = [],
): Promise<Nats> {
  const store = mkdtempSync(join(tmpdir(), 'sluice-nats-'));
  const port = await freePort();
  let running: Started | undefined;
  const start = async () => {
    const parameters = ['-js', '-sd', store, '-a', '127.0.0.1', '-p', String(port), ...more];
    running = await startProcess({ command: binary, parameters, port });
  };
  const stop = async () => {
    await running?.stop();
    running = undefined;
  };
  context.after(async () => {
    await stop();
    rmSync(store, { recursive: true, force: true });
  });
  await start();
  return { port, url: `nats://127.0.0.1:${port}`, start, stop };
}

interface Stream {
  messages(): Promise<
    readonly { readonly subject: string; readonly id: string; readonly row: Record<string, unknown> }[]
  >;
}

interface Api {
  readonly error?: { readonly description: string };
  readonly state: { readonly messages: number; readonly last_seq: number };
  readonly message: { readonly subject: string; readonly hdrs: string; readonly data: string };
}

/** A stream over everything below `subject`, made by the protocol itself and read back by it. */
export async function streamOf(
  nats: Nats,
  subject: string,
  more: object = {},
  login: Pick<ConnectionOptions, 'token' | 'user' | 'pass' | 'tls'> = {},
): Promise<Stream> {
  const within = async <Result>(work: (connection: NatsConnection) => Promise<Result>) => {
    const connection = await connect({ servers: `localhost:${nats.port}`, ...login });
    try {
      return await work(connection);
    } finally {
      await connection.close();
    }
  };
  const ask = async (connection: NatsConnection, call: string, body: object) => {
    const answer = (await connection.request(`$JS.API.${call}`, JSON.stringify(body))).json<Api>();
    if (answer.error !== undefined) throw new Error(answer.error.description);
    return answer;
  };
  await within((connection) =>
    ask(connection, 'STREAM.CREATE.ROWS', { name: 'ROWS', subjects: [`${subject}.>`], storage: 'file', ...more }),
  );
  return {
    messages: () =>
      within(async (connection) => {
        const { state } = await ask(connection, 'STREAM.INFO.ROWS', {});
        const found = [];
        for (let seq = 1; seq <= state.last_seq; seq++) {
          const { message } = await ask(connection, 'STREAM.MSG.GET.ROWS', { seq });
          const head = Buffer.from(message.hdrs, 'base64').toString();
          const id = /Nats-Msg-Id: (.+)\r\n/.exec(head)?.[1] ?? '';
          found.push({ subject: message.subject, id, row: JSON.parse(Buffer.from(message.data, 'base64').toString()) });
        }
        return found;
      }),
  };
}
