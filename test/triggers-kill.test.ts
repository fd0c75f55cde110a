/** Webhooks over real sockets: an outbox whose process is killed, and receivers that do not behave. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { postingTo } from '../src/control/webhooks.js';
import { freshDirectory } from './system/server.js';
import { type Received, receiver, secret } from './triggers-fixture.js';

const program = fileURLToPath(new URL('./triggers-child.js', import.meta.url));

interface Child {
  readonly process: ChildProcess;
  readonly raised: string[];
  /** Resolves with the first message, past or to come, that has this. */
  told(what: 'open' | 'raised' | 'result', value?: unknown): Promise<void>;
  kill(): Promise<void>;
}

function start(context: { after(work: () => void): void }, ...args: string[]): Child {
  const child = fork(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  context.after(() => void child.kill('SIGKILL'));
  const told: Record<string, unknown>[] = [];
  const raised: string[] = [];
  child.on('message', (message: Record<string, unknown>) => {
    told.push(message);
    if (typeof message.raised === 'string') raised.push(message.raised);
  });
  return {
    process: child,
    raised,
    told: async (what, value) => {
      const isIt = (message: Record<string, unknown>) =>
        message[what] !== undefined && (value === undefined || message[what] === value);
      while (!told.some(isIt)) await once(child, 'message');
    },
    kill: async () => {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** As a receiver must: the raw body, in constant time. */
function isSigned({ headers, body }: Received): boolean {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const text = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const expected = Buffer.from(`v1,${createHmac('sha256', key).update(text).digest('base64')}`);
  const got = Buffer.from(String(headers['webhook-signature']));
  return got.length === expected.length && timingSafeEqual(got, expected);
}

describe('an outbox killed with SIGKILL', { timeout: 60_000 }, () => {
  it('in the middle of a delivery sends it again under the same id, signed anew, and not after it was taken', async (context) => {
    const path = join(freshDirectory(context), 'outbox.journal');
    let isAnswering = false;
    const { url, received, count } = await receiver(context, (response) => {
      if (isAnswering) response.writeHead(204).end();
    });
    const first = start(context, path, url, '1');
    await count(1);
    await first.kill();
    isAnswering = true;
    const second = start(context, path, url);
    await second.told('result', 'delivered');
    await second.kill();
    const third = start(context, path, url, '0');
    await third.told('open');
    await third.kill();
    assert.deepEqual(
      received.map(({ id }) => id),
      ['e00000', 'e00000'],
    );
    assert.ok(received.every(isSigned));
    assert.equal(received[0]!.body, received[1]!.body);
  });

  it('again and again while it raises loses no event that counted as raised, and keeps each subject in order', async (context) => {
    const path = join(freshDirectory(context), 'outbox.journal');
    const { url, received } = await receiver(context);
    const raised = new Set<string>();
    for (const [name, after] of [
      ['a', 5],
      ['b', 17],
      ['c', 40],
    ] as const) {
      const child = start(context, path, url, '4000', '3', name);
      await child.told('raised', `${name}${String(after).padStart(5, '0')}`);
      await child.kill();
      for (const id of child.raised) raised.add(id);
    }
    assert.ok(raised.size > 40);
    const last = start(context, path, url, '0');
    const until = performance.now() + 30_000;
    const missing = () => [...raised].filter((id) => !received.some((one) => one.id === id));
    while (missing().length > 0 && performance.now() < until) await last.told('open').then(() => pause());
    assert.deepEqual(missing(), []);
    await last.kill();
    const firsts = new Map(received.map(({ id, body }) => [id, JSON.parse(body).subject as string]));
    for (const subject of ['s0', 's1', 's2']) {
      const order = [...firsts].flatMap(([id, of]) => (of === subject ? [id] : []));
      assert.deepEqual(order, [...order].sort(), subject);
    }
  });
});

const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 20));

describe('the way out to receivers', () => {
  const clock = { now: () => performance.now(), epochNow: Date.now, random: Math.random };
  const endpoint = (url: string) => ({
    url,
    secret_env: 'S',
    types: [],
    format: 'cloudevents' as const,
    hub_signature: false,
    allow_http: false,
    allow_private: [],
  });
  const post = async (context: { after(work: () => void): void }, url: string) => {
    const way = postingTo({ ops: endpoint(url) }, clock);
    context.after(way.close);
    return way.post('ops', { 'content-type': 'application/json' }, '{}', new AbortController().signal);
  };

  for (const status of [200, 204, 400, 410, 429, 500, 503])
    it(`gives the status ${status} as it is, after one try`, async (context) => {
      const { url, received } = await receiver(context, (response) => response.writeHead(status).end());
      assert.equal(await post(context, url), status);
      assert.equal(received.length, 1);
    });

  it('follows no redirect', async (context) => {
    const other = await receiver(context);
    const { url } = await receiver(context, (response) => response.writeHead(307, { location: other.url }).end());
    await assert.rejects(post(context, url), /redirects a POST/);
    assert.equal(other.received.length, 0);
  });

  it('does not lead to a private address by a name, nor to plain http elsewhere', async (context) => {
    await assert.rejects(post(context, 'http://169.254.169.254/hook'), /address|http/);
    await assert.rejects(post(context, 'http://example.invalid/hook'), /allow_http/);
  });
});
