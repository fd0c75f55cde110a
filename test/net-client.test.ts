/** The way out to the network: what is refused, followed, tried again and given up (registry.md §4, reliability.md §8). */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createHttp, type HttpOptions, type LastAnswer } from '../src/registry/net/client.js';
import type { Answer, Ask, Http } from '../src/registry/net/http.js';
import { bytesOf, jsonOf, textOf } from '../src/registry/net/text.js';
import type { Refusal } from '../src/registry/refusal.js';
import { startBrokenProxy } from './servers/broken-proxy.js';
import { certificate, privateKey } from './servers/certificate.js';

const closing: (() => void)[] = [];
after(() => {
  for (const close of closing) close();
});

interface Site {
  readonly port: number;
  readonly url: URL;
  readonly seen: IncomingMessage[];
}

/** A server that keeps what it was asked. */
async function site(answer: RequestListener, tls?: 'tls'): Promise<Site> {
  const seen: IncomingMessage[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    seen.push(request);
    answer(request, response as ServerResponse & { req: IncomingMessage });
  };
  const server: Server =
    tls === undefined ? createServer(listener) : createTlsServer({ cert: certificate, key: privateKey }, listener);
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { port, url: new URL(`http${tls === undefined ? '' : 's'}://127.0.0.1:${port}/`), seen };
}

const slept: number[] = [];

function http(origin: URL, options: Partial<HttpOptions> = {}): Http {
  const client = createHttp({
    origin,
    allowHttp: false,
    allowPrivate: [],
    allowHosts: [],
    now: () => performance.now(),
    epochNow: () => Date.parse('2026-11-21T12:00:00Z'),
    random: () => 0.5,
    sleep: async (delayMs) => void slept.push(delayMs),
    ...options,
  });
  closing.push(() => client.close());
  return client;
}

const ask = (client: Http, url: URL | string, more: Partial<Ask> = {}): Promise<Answer> =>
  client.ask({ url: new URL(url), signal: new AbortController().signal, ...more });

const refusal = (kind: string, text: RegExp) => (error: Refusal) => {
  assert.equal(error.kind, kind);
  assert.match(error.message, text);
  return true;
};

test('any status that was meant is an answer, with its headers in lower case', async () => {
  const { url } = await site((request, response) => {
    response.writeHead(Number(request.url!.slice(1)), { ETag: '"a"', 'X-Two': ['1', '2'] }).end('text');
  });
  const client = http(url);
  for (const status of [200, 304, 400, 401, 403, 404, 412, 416]) {
    const answer = await ask(client, new URL(String(status), url));
    assert.equal(answer.status, status);
    assert.equal(answer.headers.etag, '"a"');
    assert.equal(answer.headers['x-two'], '1, 2');
    assert.equal(await textOf(answer, 100), status === 304 ? '' : 'text');
  }
});

test('a connection is used again after an answer was read, disposed of, or had no body', async () => {
  const { url, seen } = await site((request, response) => {
    if (request.url === '/304') response.writeHead(304).end();
    else response.end('x'.repeat(1000));
  });
  const client = http(url);
  await textOf(await ask(client, url), 1000);
  (await ask(client, url)).dispose();
  // The skipped body is read behind our back: a third request may come before its end only on a second connection.
  await new Promise(setImmediate);
  await ask(client, new URL('304', url));
  await ask(client, url, { method: 'HEAD' });
  await new Promise(setImmediate);
  await textOf(await ask(client, url), 1000);
  assert.ok(new Set(seen.map(({ socket }) => socket.remotePort)).size <= 2);
});

test('a POST carries its body', async () => {
  const { url } = await site((request, response) => request.pipe(response));
  assert.equal(await textOf(await ask(http(url), url, { method: 'POST', body: '{"ä":1}' }), 100), '{"ä":1}');
});

test('schemes other than https and http are refused', async () => {
  for (const url of ['file:///etc/passwd', 'ftp://127.0.0.1/', 'data:text/plain,x', 'gopher://127.0.0.1/']) {
    await assert.rejects(ask(http(new URL(url)), url), refusal('address', /not a scheme/));
  }
});

test('credentials in a URL are refused', async () => {
  const url = 'https://user:secret@127.0.0.1/';
  await assert.rejects(ask(http(new URL(url)), url), (error: Error) => {
    assert.doesNotMatch(error.message, /secret/);
    return refusal('address', /credentials/)(error as Refusal);
  });
});

test('plain http needs allow_http, except to the loopback address that configuration names', async () => {
  const { url, port } = await site((_, response) => response.end('ok'));
  await assert.rejects(
    ask(http(new URL('http://93.184.216.34/')), 'http://93.184.216.34/'),
    refusal('address', /allow_http/),
  );
  for (const named of [url, new URL(`http://localhost:${port}/`)]) {
    assert.equal(await textOf(await ask(http(named), named), 10), 'ok');
  }
});

test('addresses that configuration does not name are refused, however they are written', async () => {
  const { url, port, seen } = await site((_, response) => response.end('secret'));
  const hosts = [
    ...['127.0.0.1', '0x7f.1', '2130706433', '0177.0.0.1', '127.1', '[::1]', '[::ffff:127.0.0.1]', '[64:ff9b::7f00:1]'],
    ...['0.0.0.0', '[::]', '169.254.169.254', '[fd00:ec2::254]', '10.0.0.1', '192.168.1.1', '172.16.0.1', '100.64.0.1'],
    ...['[fe80::1]', '[fc00::1]', '224.0.0.1', '240.0.0.1'],
  ];
  const client = http(new URL('https://models.example/'), { allowHttp: true });
  for (const host of hosts) {
    await assert.rejects(ask(client, `http://${host}:${port}/`), refusal('address', /may not connect/), host);
  }
  // Disguises and metadata addresses gain nothing by standing in the source's own url.
  for (const host of ['[::ffff:127.0.0.1]', '169.254.169.254', '0.0.0.0', '169.254.1.1']) {
    const own = `http://${host}:${port}/`;
    await assert.rejects(
      ask(http(new URL(own), { allowHttp: true }), own),
      refusal('address', /may not connect/),
      host,
    );
  }
  // A named address is named for its port only.
  const other = await site((_, response) => response.end('other'));
  await assert.rejects(ask(http(url, { allowHttp: true }), other.url), refusal('address', /loopback/));
  assert.equal(seen.length + other.seen.length, 0);
});

test('a name is judged by what it resolves to, at the moment of connecting', async () => {
  const { port, seen } = await site((_, response) => response.end('inside'));
  const answers = [['93.184.216.34', '10.0.0.1'], ['127.0.0.1'], ['::ffff:7f00:1', '169.254.169.254'], []];
  const origin = new URL(`http://models.example:${port}/`);
  for (const addresses of answers.slice(1)) {
    const client = http(origin, { allowHttp: true, resolve: async () => addresses });
    await assert.rejects(ask(client, origin), refusal('address', /models\.example has/));
  }
  assert.equal(seen.length, 0);
  // Of mixed answers the allowed ones are connected to, and of these only.
  const client = http(origin, {
    allowHttp: true,
    allowPrivate: ['127.0.0.1'],
    resolve: async () => ['10.0.0.1', '127.0.0.1', '169.254.169.254'],
  });
  assert.equal(await textOf(await ask(client, origin), 10), 'inside');
  assert.equal(seen[0]!.headers.host, `models.example:${port}`);
});

test('a name that answers differently the second time is judged by the answer that is used', async () => {
  const { port, seen } = await site((_, response) => {
    response.setHeader('connection', 'close').end('inside');
  });
  const origin = new URL(`http://models.example:${port}/`);
  const answers = [['127.0.0.2'], ['127.0.0.1']];
  const client = http(origin, {
    allowHttp: true,
    allowPrivate: ['127.0.0.2'],
    resolve: async () => answers.shift()!,
    triesMax: 2,
  });
  // Nobody listens on 127.0.0.2, so the second try looks the name up again, and is told another address.
  await assert.rejects(ask(client, origin), refusal('address', /loopback/));
  assert.equal(seen.length, 0);
});

/** A resolver whose answers change with every question, as those of somebody who rebinds a name do. */
function rebinding(answersOf: Readonly<Record<string, readonly string[]>>) {
  const asked: string[] = [];
  const resolve = async (host: string) => {
    const position = asked.filter((one) => one === host).length;
    asked.push(host);
    const answers = answersOf[host]!;
    return [answers[Math.min(position, answers.length - 1)]!];
  };
  return { asked, resolve, allowHttp: true, allowPrivate: ['127.0.0.1'], triesMax: 1 };
}

test('a name is looked up once for a connection: the address that was judged is the one connected to', async () => {
  const { port, seen } = await site((request, response) => {
    if (request.url === '/last') response.setHeader('connection', 'close');
    response.end(request.socket.localAddress);
  });
  const origin = new URL(`http://models.example:${port}/`);
  const names = rebinding({ 'models.example': ['127.0.0.1', '127.0.0.3'] });
  const client = http(origin, names);
  for (const path of ['', 'last'])
    assert.equal(await textOf(await ask(client, new URL(path, origin)), 20), '127.0.0.1');
  assert.deepEqual(names.asked, ['models.example'], 'a connection that is used again leads where it led');
  await assert.rejects(ask(client, origin), refusal('address', /models\.example has loopback addresses only/));
  assert.equal(names.asked.length, 2);
  assert.equal(seen.length, 2);
});

test('a name is judged at every hop by the answer of that moment, after redirects as well', async () => {
  const inside = await site((_, response) => response.end('inside'));
  const outside = await site((request, response) => {
    const [, place = ''] = decodeURIComponent(request.url!).split('?to=');
    response.writeHead(302, { location: place, connection: 'close' }).end();
  });
  const lead = (place: string) => new URL(`http://models.example:${outside.port}/?to=${encodeURIComponent(place)}`);
  const origin = new URL(`http://models.example:${outside.port}/`);
  const refused: string[] = [];
  const onRefused = ({ kind }: Refusal) => void refused.push(kind);

  // The name of another host, which was harmless when anybody looked before.
  const another = rebinding({ 'models.example': ['127.0.0.1'], 'cdn.example': ['127.0.0.1', '10.0.0.1'] });
  const client = http(origin, { ...another, onRefused });
  const cdn = `http://cdn.example:${inside.port}/`;
  assert.equal(await textOf(await ask(client, lead(`${cdn}?first`)), 20), 'inside');
  client.close();
  await assert.rejects(ask(client, lead(cdn)), refusal('address', /cdn\.example has private addresses only/));

  // Its own name, which leads elsewhere by the time of the redirect.
  const own = rebinding({ 'models.example': ['127.0.0.1', '169.254.169.254'] });
  const again = http(origin, { ...own, onRefused });
  await assert.rejects(ask(again, lead('/next')), refusal('address', /models\.example has metadata addresses only/));
  assert.equal(inside.seen.length, 1);
  assert.deepEqual(refused, ['address', 'address']);
});

test("localhost as the source's own name may mean only this machine", async () => {
  const { port } = await site((_, response) => response.end('ok'));
  const origin = new URL(`http://localhost:${port}/`);
  await assert.rejects(ask(http(origin, { resolve: async () => ['10.0.0.1'] }), origin), refusal('address', /private/));
  assert.equal(await textOf(await ask(http(origin, { resolve: async () => ['127.0.0.1'] }), origin), 10), 'ok');
});

test('a redirect is followed three times at most', async () => {
  const { url, seen } = await site((request, response) => {
    const left = Number(request.url!.slice(1));
    if (left === 0) response.end('there');
    else response.writeHead([301, 302, 307, 308][left % 4]!, { location: `/${left - 1}` }).end();
  });
  const answer = await ask(http(url), new URL('3', url));
  assert.equal(await textOf(answer, 10), 'there');
  assert.equal(answer.url.pathname, '/0');
  await assert.rejects(ask(http(url), new URL('4', url)), refusal('redirect', /more than 3/));
  assert.equal(seen.length, 8);
});

test('a redirect to a private address, another port of this machine or another scheme is refused', async () => {
  const inside = await site((_, response) => response.end('inside'));
  const places = [inside.url.href, 'http://169.254.169.254/latest/', 'http://10.0.0.1/', 'http://[::ffff:7f00:1]/'];
  for (const place of [...places, 'file:///etc/passwd']) {
    const { url } = await site((_, response) => response.writeHead(302, { location: place }).end());
    await assert.rejects(ask(http(url, { allowHttp: true }), url), refusal('address', /./), place);
  }
  assert.equal(inside.seen.length, 0);
});

test('a redirect to what is not a URL, of a POST, or from https to http is refused', async () => {
  const nowhere = await site((_, response) => response.writeHead(302, { location: 'http://[' }).end());
  await assert.rejects(ask(http(nowhere.url), nowhere.url), refusal('redirect', /not a URL/));
  const { url } = await site((_, response) => response.writeHead(307, { location: '/x' }).end());
  await assert.rejects(ask(http(url), url, { method: 'POST', body: '' }), refusal('redirect', /POST/));
  const plain = await site((_, response) => response.end('plain'));
  const secure = await site((_, response) => response.writeHead(302, { location: plain.url.href }).end(), 'tls');
  const client = http(secure.url, { caFile: caFile(), allowHttp: true, allowHosts: [plain.url.host] });
  await assert.rejects(ask(client, secure.url), refusal('redirect', /https to http/));
  assert.equal(plain.seen.length, 0);
});

test('on a change of origin only accept, range and conditions go along, and nothing comes back on the way home', async () => {
  const home: Site = await site((request, response) => {
    if (request.url === '/home') response.end('home');
    else response.writeHead(302, { location: away.url.href }).end();
  });
  const away: Site = await site((_, response) =>
    response.writeHead(302, { location: new URL('home', home.url).href }).end(),
  );
  const headers = {
    ...{ authorization: 'Bearer secret', cookie: 'a=b', 'x-custom': '1', 'x-amz-date': 'now' },
    ...{ accept: 'text/plain', range: 'bytes=0-9', 'if-match': '"e"', 'if-range': '"e"' },
  };
  const client = http(home.url, { allowHosts: [away.url.host] });
  assert.equal(await textOf(await ask(client, home.url, { headers }), 10), 'home');
  assert.equal(home.seen[0]!.headers.authorization, 'Bearer secret');
  for (const request of [away.seen[0]!, home.seen[1]!]) {
    for (const name of ['authorization', 'cookie', 'x-custom', 'x-amz-date']) {
      assert.equal(request.headers[name], undefined, name);
    }
    for (const name of ['accept', 'range', 'if-match', 'if-range'] as const) {
      assert.equal(request.headers[name], headers[name], name);
    }
  }
});

test('credentials stay on a redirect within the origin', async () => {
  const { url, seen } = await site((request, response) => {
    if (request.url === '/') response.writeHead(302, { location: '/b' }).end();
    else response.end();
  });
  (await ask(http(url), url, { headers: { authorization: 'Bearer x' } })).dispose();
  assert.equal(seen[1]!.headers.authorization, 'Bearer x');
});

test('408, 429 and 5xx are tried again, waiting twice as long each time', async () => {
  const statuses = [503, 429, 500, 408, 502, 504, 200];
  const { url } = await site((_, response) => response.writeHead(statuses.shift()!).end('text'));
  slept.length = 0;
  assert.equal(await textOf(await ask(http(url), url), 10), 'text');
  assert.deepEqual(slept, [1500, 2500, 4500, 8500, 16_500, 32_500]);
});

test('after the last try the fault is UNAVAILABLE and holds the last answer for the source', async () => {
  const { url, seen } = await site((_, response) => {
    response.writeHead(503, { 'content-type': 'text/plain' }).end('y'.repeat(100_000));
  });
  await assert.rejects(ask(http(url), url), (error: Refusal) => {
    assert.equal(error.code, 'UNAVAILABLE');
    assert.match(error.message, /^127\.0\.0\.1:\d+ answers 503$/);
    assert.deepEqual(error.cause as LastAnswer, { status: 503, contentType: 'text/plain', text: 'y'.repeat(4096) });
    return true;
  });
  assert.equal(seen.length, 7);
});

test('Retry-After wins when it is longer, in seconds or as a date, up to five minutes', async () => {
  const waits = ['7', '0', 'Sat, 21 Nov 2026 12:02:00 GMT', '86400', 'soon', 'Sat, 21 Nov 2020 12:02:00 GMT'];
  const { url } = await site((_, response) => {
    const wait = waits.shift();
    if (wait === undefined) response.end();
    else response.writeHead(429, { 'retry-after': wait }).end();
  });
  slept.length = 0;
  (await ask(http(url), url)).dispose();
  assert.deepEqual(slept, [7000, 2500, 120_000, 300_000, 16_500, 32_500]);
});

test('a refused or reset connection is tried again', async () => {
  const free = createTcpServer();
  await new Promise<void>((listening) => free.listen(0, '127.0.0.1', listening));
  const url = new URL(`http://127.0.0.1:${(free.address() as AddressInfo).port}/`);
  await new Promise((closed) => free.close(closed));
  slept.length = 0;
  await assert.rejects(ask(http(url, { triesMax: 3 }), url), {
    code: 'UNAVAILABLE',
    message: /connection was refused/,
  });
  assert.equal(slept.length, 2);
  const target = await site((_, response) => response.end('ok'));
  const proxy = await startBrokenProxy(target.port);
  closing.push(() => proxy.close());
  proxy.faults.push({ resetAfter: 0 }, { cutAfter: 0 }, { cutAfter: 20 });
  const broken = new URL(`http://127.0.0.1:${proxy.port}/`);
  assert.equal(await textOf(await ask(http(broken), broken), 10), 'ok');
});

test('a name that does not exist is said to be that', async () => {
  const url = new URL('https://models.example/');
  const resolve = async () => {
    throw Object.assign(new Error('no'), { code: 'ENOTFOUND' });
  };
  await assert.rejects(ask(http(url, { resolve, triesMax: 1 }), url), { code: 'UNAVAILABLE', message: /no such name/ });
});

test('waiting for a connection and for an answer is limited', async () => {
  const mute = createTcpServer(() => {});
  await new Promise<void>((listening) => mute.listen(0, '127.0.0.1', listening));
  closing.push(() => mute.close());
  const { port } = mute.address() as AddressInfo;
  const limits = { triesMax: 1, connectTimeoutMs: 60, headerTimeoutMs: 50 };
  // TLS never begins, so there is no connection; plain http is connected and stays unanswered.
  const secure = new URL(`https://127.0.0.1:${port}/`);
  await assert.rejects(ask(http(secure, limits), secure), {
    code: 'UNAVAILABLE',
    message: /no connection within 0\.06 s/,
  });
  const plain = new URL(`http://127.0.0.1:${port}/`);
  await assert.rejects(ask(http(plain, limits), plain), { code: 'UNAVAILABLE', message: /no answer within 0\.05 s/ });
  const resolve = () => new Promise<never>(() => {});
  const unresolved = new URL('https://models.example/');
  await assert.rejects(ask(http(unresolved, { ...limits, resolve }), unresolved), { message: /no connection/ });
});

test('a body that comes slower than allowed is given up, one that keeps its pace is not', async () => {
  const { port } = await site((_, response) => response.end(Buffer.alloc(3000)));
  const proxy = await startBrokenProxy(port);
  closing.push(() => proxy.close());
  const url = new URL(`http://127.0.0.1:${proxy.port}/`);
  const client = http(url, { stallTimeoutMs: 200, stallBytesPerS: 1000, triesMax: 1 });
  proxy.faults.push({ hangAfter: 500 });
  await assert.rejects(
    ask(client, url).then((answer) => bytesOf(answer, 10_000)),
    {
      code: 'UNAVAILABLE',
      message: /fewer than 1000 bytes a second for 0\.2 s/,
    },
  );
  proxy.faults.push({ bytesPerS: 500 });
  await assert.rejects(
    ask(client, url).then((answer) => bytesOf(answer, 10_000)),
    { message: /fewer than 1000/ },
  );
  proxy.faults.push({ bytesPerS: 10_000 });
  assert.equal((await bytesOf(await ask(client, url), 10_000)).length, 3000);
});

test('a reader that is slow itself is not a stall', async () => {
  const { url } = await site((_, response) => response.end(Buffer.alloc(2 * 1024 * 1024)));
  let clockMs = 0;
  const limits = { stallTimeoutMs: 60_000, stallBytesPerS: 1 << 30 };
  const answer = await ask(http(url, { ...limits, now: () => clockMs }), url);
  let bytes = 0;
  for await (const chunk of answer.body) {
    bytes += chunk.length;
    clockMs += limits.stallTimeoutMs;
  }
  assert.equal(bytes, 2 * 1024 * 1024);
});

test('a body that is cut is an error that says after how many bytes', async () => {
  const { port } = await site((_, response) => response.end(Buffer.alloc(10_000)));
  const proxy = await startBrokenProxy(port);
  closing.push(() => proxy.close());
  const url = new URL(`http://127.0.0.1:${proxy.port}/`);
  for (const fault of [{ cutAfter: 1000 }, { resetAfter: 1000 }]) {
    proxy.faults.push(fault);
    const answer = await ask(http(url), url);
    await assert.rejects(bytesOf(answer, 20_000), { code: 'UNAVAILABLE', message: /cut after \d+ bytes/ });
  }
});

test('the whole is limited in time, tries and body together', async () => {
  const { url } = await site((_, response) => void response.writeHead(200).write('begun'));
  const answer = await ask(http(url, { totalTimeoutMs: 80 }), url);
  await assert.rejects(textOf(answer, 10), { code: 'UNAVAILABLE', message: /not finished within 0\.08 s/ });
  const busy = await site((_, response) => response.writeHead(503).end());
  const sleep = (_: number, signal: AbortSignal) =>
    new Promise<void>((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('woken'))));
  await assert.rejects(ask(http(busy.url, { totalTimeoutMs: 80, sleep }), busy.url), { message: /not finished/ });
});

test('the caller may give up at any point', async () => {
  const { url } = await site((request, response) => {
    if (request.url === '/begun') response.writeHead(200).write('begun');
  });
  const early = AbortSignal.abort();
  await assert.rejects(ask(http(url), url, { signal: early }), { code: 'CANCELLED' });
  const waiting = new AbortController();
  const unanswered = ask(http(url), url, { signal: waiting.signal });
  setImmediate(() => waiting.abort());
  await assert.rejects(unanswered, { code: 'CANCELLED' });
  const reading = new AbortController();
  const answer = await ask(http(url), new URL('begun', url), { signal: reading.signal });
  setImmediate(() => reading.abort());
  await assert.rejects(textOf(answer, 10), { code: 'CANCELLED' });
});

const folder = mkdtempSync(join(tmpdir(), 'sluice-net-'));
closing.push(() => rmSync(folder, { recursive: true }));

function caFile(): string {
  const path = join(folder, 'ca.pem');
  writeFileSync(path, certificate);
  return path;
}

test('a certificate must be signed by somebody trusted, for this name; a CA file adds one', async () => {
  const { url, port } = await site((_, response) => response.end('secure'), 'tls');
  slept.length = 0;
  await assert.rejects(ask(http(url), url), { code: 'UNAVAILABLE', message: /DEPTH_ZERO_SELF_SIGNED_CERT/ });
  assert.equal(slept.length, 0, 'the next try would see the same certificate');
  assert.equal(await textOf(await ask(http(url, { caFile: caFile() }), url), 10), 'secure');
  const named = (host: string) => new URL(`https://${host}:${port}/`);
  const local = { caFile: caFile(), allowPrivate: ['127.0.0.0/8'], resolve: async () => ['127.0.0.1'] };
  assert.equal(await textOf(await ask(http(url, local), named('models.example')), 10), 'secure');
  await assert.rejects(ask(http(url, local), named('other.example')), { message: /ERR_TLS_CERT_ALTNAME_INVALID/ });
  assert.throws(() => http(url, { caFile: join(folder, 'none') }), { code: 'FAILED_PRECONDITION', message: /ENOENT/ });
});

test('proxies named in the environment are ignored', async () => {
  const proxy = await site((_, response) => response.end('proxy'));
  const { url } = await site((_, response) => response.end('direct'));
  process.env.HTTP_PROXY = process.env.http_proxy = proxy.url.href;
  try {
    assert.equal(await textOf(await ask(http(url), url), 10), 'direct');
  } finally {
    delete process.env.HTTP_PROXY;
    delete process.env.http_proxy;
  }
});

test('a document is read within its limits, as what it says it is', async () => {
  const documents: Record<string, [string, string | Buffer]> = {
    '/ok': ['application/json; charset=utf-8', '{"a": [1, "]}\\"["]}'],
    '/stored': ['application/octet-stream', '[]'],
    '/page': ['text/html', '<html>'],
    '/broken': ['application/json', '{"a":'],
    '/deep': ['application/json', `${'['.repeat(33)}${']'.repeat(33)}`],
    '/latin': ['application/json', Buffer.from([0x22, 0xe4, 0x22])],
  };
  const { url } = await site((request, response) => {
    const [type, text] = documents[request.url!]!;
    response.writeHead(200, { 'content-type': type }).end(text);
  });
  const read = async (path: string, bytesMax = 1000) => jsonOf(await ask(http(url), new URL(path, url)), bytesMax);
  assert.deepEqual(await read('/ok', 19), { a: [1, ']}"['] });
  assert.deepEqual(await read('/stored'), []);
  const code = 'FAILED_PRECONDITION';
  await assert.rejects(read('/ok', 18), { code, message: /more than 18 bytes/ });
  await assert.rejects(read('/page'), { code, message: /expected JSON, got text\/html/ });
  await assert.rejects(read('/broken'), { code, message: /expected JSON$/ });
  await assert.rejects(read('/deep'), { code, message: /nested/ });
  await assert.rejects(read('/latin'), { code, message: /UTF-8/ });
});

test('a body without a length, or compressed unasked, does not pass the limit', async () => {
  const { url } = await site((request, response) => {
    if (request.url === '/packed') response.writeHead(200, { 'content-encoding': 'gzip' });
    response.write('x'.repeat(60));
    response.end('x'.repeat(60));
  });
  const code = 'FAILED_PRECONDITION';
  await assert.rejects(
    ask(http(url), url).then((answer) => textOf(answer, 100)),
    { code, message: /more than 100/ },
  );
  const packed = ask(http(url), new URL('packed', url));
  await assert.rejects(
    packed.then((answer) => textOf(answer, 1000)),
    { code, message: /compressed/ },
  );
});
