/** The HTTP index as a source (registry.md §4.2), read from a real nginx, and its rules from documents by hand. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createHttp, type HttpOptions } from '../src/registry/net/client.js';
import { createCredentials, noCredentials } from '../src/registry/net/credentials.js';
import { Refusal } from '../src/registry/refusal.js';
import type { FileStream, Source } from '../src/registry/source.js';
import { createHttpIndexSource, type HttpIndexOptions } from '../src/registry/sources/http-index.js';
import { startBrokenProxy } from './servers/broken-proxy.js';
import { type Nginx, nginxSkip, nginxUser, startNginx } from './servers/nginx.js';

const signal = new AbortController().signal;
const epochNow = () => Date.parse('2026-11-21T12:00:00Z');
const slept: number[] = [];

interface Given {
  readonly url: string;
  readonly net?: Partial<HttpOptions>;
  readonly source?: Partial<HttpIndexOptions>;
}

const open: Source[] = [];
after(() => Promise.all(open.map((source) => source.close())));

function sourceAt({ url, net, source }: Given): Source {
  const http = createHttp({
    origin: new URL(url),
    allowHttp: false,
    allowPrivate: [],
    allowHosts: source?.allowHosts ?? [],
    now: () => performance.now(),
    epochNow,
    random: () => 0,
    sleep: async (delayMs) => void slept.push(delayMs),
    ...net,
  });
  const made = createHttpIndexSource({
    name: 'web',
    url: new URL(url),
    http,
    credentials: noCredentials,
    lastSerial: memory(),
    allowHosts: [],
    epochNow,
    ...source,
  });
  open.push(made);
  return made;
}

function memory(first?: number) {
  let serial = first;
  return {
    get: () => serial,
    set: (next: number) => {
      serial = next;
    },
  };
}

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

async function read({ chunks }: FileStream): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

const model = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7) % 251));
const fraud = { files: [{ path: 'model.onnx', size: model.length, sha256: sha256(model), url: 'fraud/7/model.onnx' }] };

const indexOf = (more: object = {}, version: object = fraud) => ({
  schema: 1,
  serial: 41,
  models: { fraud: { aliases: { champion: '7' }, versions: { '7': version } } },
  ...more,
});

const first = { offset: 0, etag: undefined };

describe('an index on nginx', { skip: nginxSkip }, () => {
  let nginx: Nginx;
  const at = (path: string) => `http://127.0.0.1:${nginx.port}/${path}`;

  /** nginx tells two files apart by second and size: a changed one must have another size. */
  function put(path: string, content: string | Buffer | object): void {
    mkdirSync(dirname(join(nginx.root, path)), { recursive: true });
    const isText = typeof content === 'string' || Buffer.isBuffer(content);
    writeFileSync(join(nginx.root, path), isText ? content : JSON.stringify(content));
  }

  before(async () => {
    nginx = await startNginx();
    put('index.json', indexOf());
    put('fraud/7/model.onnx', model);
  });
  after(() => nginx?.stop());

  test('is listed, resolved and read', async () => {
    const source = sourceAt({ url: at('index.json') });
    const listing = await source.list(signal);
    const [{ versions, ...entry }] = listing!.models as [(typeof listing & object)['models'][0]];
    assert.deepEqual(entry, { name: 'fraud', aliases: { champion: '7' } });
    assert.deepEqual([versions[0]!.version, versions[0]!.bytes, versions[0]!.waiting], ['7', model.length, undefined]);
    const artifact = await source.resolve('fraud', '7', signal);
    assert.equal(artifact.revision, versions[0]!.revision);
    const stream = await source.open(artifact.files[0]!, first, signal);
    assert.deepEqual([stream.offset, stream.bytes], [0, model.length]);
    assert.ok(stream.etag !== undefined);
    assert.equal(sha256(await read(stream)), artifact.files[0]!.sha256);
  });

  test('is given again only when it has changed', async () => {
    put('changing/index.json', indexOf());
    const source = sourceAt({ url: at('changing/index.json') });
    const before = await source.list(signal);
    assert.equal(await source.list(signal), undefined);
    put('changing/index.json', indexOf({ serial: 1042 }, { files: [{ ...fraud.files[0]!, sha256: '0'.repeat(64) }] }));
    const changed = await source.list(signal);
    assert.notEqual(changed!.models[0]!.versions[0]!.revision, before!.models[0]!.versions[0]!.revision);
    assert.equal(await source.list(signal), undefined);
  });

  test('a file goes on where it was cut, and starts over when it has changed', async () => {
    const proxy = await startBrokenProxy(nginx.port);
    try {
      put('cut/index.json', indexOf());
      put('cut/fraud/7/model.onnx', model);
      const source = sourceAt({ url: `http://127.0.0.1:${proxy.port}/cut/index.json` });
      const [file] = (await source.resolve('fraud', '7', signal)).files;
      await source.close();
      proxy.faults.push({ cutAfter: 50_000 });
      const broken = await source.open(file!, first, signal);
      const kept: Uint8Array[] = [];
      await assert.rejects(
        async () => {
          for await (const chunk of broken.chunks) kept.push(chunk);
        },
        { code: 'UNAVAILABLE', message: /cut after/ },
      );
      const head = Buffer.concat(kept);
      assert.ok(head.length > 0 && head.length < model.length);
      const rest = await source.open(file!, { offset: head.length, etag: broken.etag }, signal);
      assert.deepEqual([rest.offset, rest.bytes, rest.etag], [head.length, model.length, broken.etag]);
      assert.deepEqual(Buffer.concat([head, await read(rest)]), model);
      put('cut/fraud/7/model.onnx', Buffer.concat([model, model]));
      const anew = await source.open(file!, { offset: head.length, etag: broken.etag }, signal);
      assert.equal(anew.offset, 0);
      assert.equal((await read(anew)).length, 2 * model.length);
      // More is there than the file has: the server cannot go on from there.
      const beyond = await source.open(file!, { offset: 1e9, etag: anew.etag }, signal);
      assert.equal(beyond.offset, 0);
      assert.equal((await read(beyond)).length, 2 * model.length);
    } finally {
      proxy.close();
    }
  });

  test('a flipped byte passes the source, which says what the digest should be', async () => {
    const proxy = await startBrokenProxy(nginx.port);
    try {
      const source = sourceAt({ url: `http://127.0.0.1:${proxy.port}/index.json` });
      const [file] = (await source.resolve('fraud', '7', signal)).files;
      await source.close();
      proxy.faults.push({ flipAt: 100_000 });
      assert.notEqual(sha256(await read(await source.open(file!, first, signal))), file!.sha256);
    } finally {
      proxy.close();
    }
  });

  test('wants the password that it is given, and says so without showing it', async () => {
    await assert.rejects(sourceAt({ url: at('private/index.json') }).list(signal), { code: 'UNAUTHENTICATED' });
    const wrong = createCredentials({ userEnv: 'U', passwordEnv: 'P' }, { U: nginxUser.user, P: 'not-this' });
    await assert.rejects(sourceAt({ url: at('private/index.json'), source: { credentials: wrong } }).list(signal), {
      code: 'UNAUTHENTICATED',
      message: /^web: index: the server wants other credentials \(401\)$/,
    });
    const right = createCredentials({ userEnv: 'U', passwordEnv: 'P' }, { U: nginxUser.user, P: nginxUser.password });
    const source = sourceAt({ url: at('private/index.json'), source: { credentials: right } });
    const [file] = (await source.resolve('fraud', '7', signal)).files;
    assert.equal((await read(await source.open(file!, first, signal))).length, model.length);
  });

  test('a trickle is given up with what came, and may go on later', async () => {
    const net = { stallTimeoutMs: 300, stallBytesPerS: 10_240 };
    put('slow-index.json', indexOf({}, { files: [{ ...fraud.files[0]!, url: 'slow/fraud/7/model.onnx' }] }));
    const source = sourceAt({ url: at('slow-index.json'), net });
    const [file] = (await source.resolve('fraud', '7', signal)).files;
    const stream = await source.open(file!, first, signal);
    await assert.rejects(read(stream), { code: 'UNAVAILABLE', message: /fewer than 10240 bytes a second/ });
    assert.ok(stream.etag !== undefined);
  });

  test('a redirect on the same server is followed', async () => {
    put('moved-index.json', indexOf({}, { files: [{ ...fraud.files[0]!, url: 'moved/fraud/7/model.onnx' }] }));
    const source = sourceAt({ url: at('moved-index.json') });
    const [file] = (await source.resolve('fraud', '7', signal)).files;
    // nginx names the server in a redirect by its Host header, so the place is the same origin.
    assert.equal((await read(await source.open(file!, first, signal))).length, model.length);
  });

  test('what is gone is NOT_FOUND, what is overloaded is UNAVAILABLE after its tries', async () => {
    await assert.rejects(sourceAt({ url: at('nowhere.json') }).list(signal), { code: 'NOT_FOUND' });
    slept.length = 0;
    await assert.rejects(sourceAt({ url: at('busy/index.json') }).list(signal), { code: 'UNAVAILABLE' });
    assert.deepEqual(slept, [2000, 2000, 4000, 8000, 16_000, 32_000]);
    put('gone/index.json', indexOf());
    const source = sourceAt({ url: at('gone/index.json') });
    const [file] = (await source.resolve('fraud', '7', signal)).files;
    await assert.rejects(source.open(file!, first, signal), {
      code: 'NOT_FOUND',
      message: /model\.onnx: is not there/,
    });
    // The index itself disappears: the next list says so and takes nothing away.
    unlinkSync(join(nginx.root, 'gone/index.json'));
    await assert.rejects(source.list(signal), { code: 'NOT_FOUND' });
    assert.equal((await source.resolve('fraud', '7', signal)).files.length, 1);
    rmSync(join(nginx.root, 'gone'), { recursive: true });
  });

  test('a serial below one seen before is refused until an operator sets it back', async () => {
    const lastSerial = memory(41);
    put('serial/index.json', indexOf({ serial: 40 }));
    const source = sourceAt({ url: at('serial/index.json'), source: { lastSerial } });
    await assert.rejects(source.list(signal), (error: Refusal) => {
      assert.equal(error.kind, 'downgrade');
      assert.equal(error.message, 'web: the index has serial 40, which is below 41 seen before');
      return true;
    });
    assert.equal(lastSerial.get(), 41);
    lastSerial.set(39);
    assert.equal((await source.list(signal))!.models.length, 1);
    assert.equal(lastSerial.get(), 40);
  });

  test('a replayed older index leaves the newer one in force', async () => {
    put('replay/index.json', indexOf({ serial: 5 }));
    const source = sourceAt({ url: at('replay/index.json') });
    const { revision } = (await source.list(signal))!.models[0]!.versions[0]!;
    put('replay/index.json', { schema: 1, serial: 4, models: {}, padding: 'another length' });
    await assert.rejects(source.list(signal), { kind: 'downgrade' });
    assert.equal((await source.resolve('fraud', '7', signal)).revision, revision);
  });

  test('the exact bytes of index and signature are verified before anything is believed', async () => {
    const text = `${JSON.stringify(indexOf(), null, 2)}\n`;
    put('signed/index.json', text);
    const seen: (string | undefined)[][] = [];
    const lastSerial = memory();
    const verifyIndex = (index: Uint8Array, signature: Uint8Array | undefined) => {
      seen.push([Buffer.from(index).toString(), signature && Buffer.from(signature).toString()]);
      if (signature === undefined) throw new Refusal('signature', 'web: the index is not signed');
    };
    const source = sourceAt({ url: at('signed/index.json'), source: { verifyIndex, lastSerial } });
    await assert.rejects(source.list(signal), { kind: 'signature' });
    assert.equal(lastSerial.get(), undefined);
    put('signed/index.json.sig', '{"alg":"ed25519"}');
    assert.equal((await source.list(signal))!.models.length, 1);
    assert.deepEqual(seen.at(-1), [text, '{"alg":"ed25519"}']);
  });

  test('an index that is replaced between the requests for it and for its signature is read again', async () => {
    put('raced/index.json', indexOf());
    put('raced/index.json.sig', '42');
    const verifyIndex = (index: Uint8Array, signature: Uint8Array | undefined) => {
      const { serial } = JSON.parse(Buffer.from(index).toString()) as { serial: number };
      if (String(serial) === String(signature)) return;
      put('raced/index.json', indexOf({ serial: 42 }, { ...fraud, padding: 'another length' }));
      throw new Refusal('signature', 'does not fit');
    };
    const lastSerial = memory();
    const source = sourceAt({ url: at('raced/index.json'), source: { verifyIndex, lastSerial } });
    assert.equal((await source.list(signal))!.models.length, 1);
    assert.equal(lastSerial.get(), 42);
  });

  test('an expired index lists its versions as waiting and lets none be pulled', async () => {
    put('expiring/index.json', indexOf({ expires: '2026-12-01T00:00:00Z' }));
    let now = epochNow();
    const source = sourceAt({ url: at('expiring/index.json'), source: { epochNow: () => now } });
    assert.equal((await source.list(signal))!.models[0]!.versions[0]!.waiting, undefined);
    assert.equal(await source.list(signal), undefined);
    now = Date.parse('2026-12-01T00:00:00Z');
    const late = await source.list(signal);
    assert.equal(late!.models[0]!.versions[0]!.waiting, 'the index expired at 2026-12-01T00:00:00Z');
    assert.equal(await source.list(signal), undefined);
    await assert.rejects(source.resolve('fraud', '7', signal), { code: 'UNAVAILABLE', message: /expired/ });
    put('expiring/index.json', indexOf({ serial: 1042, expires: '2027-01-01T00:00:00Z' }));
    assert.equal((await source.list(signal))!.models[0]!.versions[0]!.waiting, undefined);
    assert.equal((await source.resolve('fraud', '7', signal)).files.length, 1);
  });
});

describe('the rules of an index', () => {
  const answers = new Map<string, string>();
  const asked: { url: string; headers: IncomingHttpHeaders }[] = [];
  const server = createServer((request, response) => {
    asked.push({ url: request.url!, headers: request.headers });
    const text = answers.get(request.url!);
    if (text === undefined) response.writeHead(404).end();
    else response.end(text);
  });
  let port = 0;
  before(async () => {
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    port = (server.address() as AddressInfo).port;
  });
  after(() => {
    server.close();
    server.closeAllConnections();
  });

  function given(index: unknown, source: Partial<HttpIndexOptions> = {}): Source {
    answers.set('/models/index.json', typeof index === 'string' ? index : JSON.stringify(index));
    return sourceAt({ url: `http://127.0.0.1:${port}/models/index.json`, source });
  }

  const placed = (url: string) => indexOf({}, { files: [{ ...fraud.files[0]!, url }] });

  test('a file without a place lies where its names say, encoded once', async () => {
    const files = [{ path: 'a dir/50%?#.onnx', sha256: '0'.repeat(64) }];
    const { files: resolved } = await given(indexOf({}, { files })).resolve('fraud', '7', signal);
    assert.equal(String(resolved[0]!.locator), `http://127.0.0.1:${port}/models/fraud/7/a%20dir/50%25%3F%23.onnx`);
    assert.equal(resolved[0]!.bytes, undefined);
  });

  test('a file elsewhere is refused unless the operator allows the host, and gets no credentials there', async () => {
    const places = [
      'https://evil.example/x',
      '//evil.example/x',
      'http://127.0.0.1:1/x',
      'http://169.254.169.254/latest/meta-data',
      'file:///etc/passwd',
      'data:,x',
      'http://[',
    ];
    for (const place of places) {
      const resolving = given(placed(place)).resolve('fraud', '7', signal);
      await assert.rejects(resolving, (error: Refusal) => error.kind === 'address', place);
    }
    const other = createServer((request, response) => {
      asked.push({ url: request.url!, headers: request.headers });
      response.end('bytes');
    });
    await new Promise<void>((listening) => other.listen(0, '127.0.0.1', listening));
    const host = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    try {
      const credentials = createCredentials({ tokenEnv: 'T' }, { T: 'secret' });
      const source = given(placed(`http://${host}/blob`), { allowHosts: [host], credentials });
      const [file] = (await source.resolve('fraud', '7', signal)).files;
      assert.equal(asked.at(-1)!.headers.authorization, 'Bearer secret');
      assert.equal(String(await read(await source.open(file!, first, signal))), 'bytes');
      assert.deepEqual([asked.at(-1)!.url, asked.at(-1)!.headers.authorization], ['/blob', undefined]);
    } finally {
      other.close();
      other.closeAllConnections();
    }
  });

  test('a path that could not lie in a version refuses its version only', async () => {
    for (const path of ['../x', '/etc/passwd', 'a//b', 'a\\b', 'x\u0000', '', 'a/../b', 'end.']) {
      const versions = { '7': { files: [{ path, sha256: '0'.repeat(64) }] }, '8': fraud };
      const source = given(indexOf({ models: { fraud: { versions } } }));
      await assert.rejects(source.resolve('fraud', '7', signal), { kind: 'traversal' }, JSON.stringify(path));
      assert.equal((await source.resolve('fraud', '8', signal)).files.length, 1);
    }
  });

  test('names that break the rules are invisible and reported', async () => {
    const models = {
      '../etc': { versions: { '1': fraud } },
      stats: { versions: { '1': fraud } },
      b: {
        aliases: { latest: '1', v3: '1', good: '10', odd: 'x' },
        versions: { '10': fraud, '9': fraud, '01': fraud },
      },
      a: { versions: {} },
    };
    const listing = await given(indexOf({ models })).list(signal);
    assert.deepEqual(
      listing!.models.map(({ name, versions, aliases }) => [name, versions.map(({ version }) => version), aliases]),
      [
        ['a', [], {}],
        ['b', ['9', '10'], { good: '10' }],
      ],
    );
    assert.equal(listing!.ignored.length, 6);
    assert.ok(listing!.ignored.includes("'../etc' is not a model name"));
    assert.ok(listing!.ignored.includes("b: '01' is not a version number"));
  });

  test('only the wanted models are listed', async () => {
    const models = { a: { versions: { '1': fraud } }, b: { versions: { '1': fraud } } };
    const listing = await given(indexOf({ models }), { models: ['b'] }).list(signal);
    assert.deepEqual(
      listing!.models.map(({ name }) => name),
      ['b'],
    );
  });

  test('a document that is no index is refused with the key and what was expected', async () => {
    const wrong: [unknown, RegExp][] = [
      ['not json', /expected JSON/],
      [indexOf({ schema: 2 }), /'schema'/],
      [indexOf({ serial: -1 }), /'serial'/],
      [indexOf({ serial: 1.5 }), /'serial'/],
      [indexOf({ expires: 'soon' }), /'expires'/],
      [indexOf({}, { files: [] }), /'models\.fraud\.versions\.7\.files'/],
      [indexOf({}, { files: [{ path: 'model.onnx', sha256: 'abc' }] }), /64 hex digits/],
      [indexOf({}, { files: [{ path: 'model.onnx' }] }), /sha256/],
      [`{"schema":1,"x":${'['.repeat(40)}${']'.repeat(40)}}`, /nested/],
      [`"${'x'.repeat(4 * 1024 * 1024)}"`, /more than 4194304 bytes/],
    ];
    for (const [index, message] of wrong) {
      await assert.rejects(given(index).list(signal), { code: 'FAILED_PRECONDITION', message });
    }
  });

  test('what is not in the index is NOT_FOUND, also under names that every object has', async () => {
    const source = given(`{"schema":1,"serial":1,"models":{"__proto__":{"versions":{}},"fraud":{"versions":{}}}}`);
    for (const [name, number] of [
      ['fraud', '8'],
      ['toString', '1'],
      ['__proto__', '1'],
      ['fraud', 'constructor'],
    ]) {
      await assert.rejects(source.resolve(name!, number!, signal), { code: 'NOT_FOUND' }, name);
    }
  });

  test('resolving a version takes nothing away from the next listing', async () => {
    const source = given(indexOf());
    await source.resolve('fraud', '7', signal);
    assert.equal((await source.list(signal))!.models.length, 1);
  });

  test('signatures of a version are named beside its files', async () => {
    const signature = ['fraud/7/manifest.json.sig', 'signatures/model.sig'];
    const { signatures } = await given(indexOf({}, { ...fraud, signature })).resolve('fraud', '7', signal);
    assert.deepEqual(
      signatures.map(({ path }) => path),
      ['manifest.json.sig', 'model.sig'],
    );
    assert.equal(String(signatures[1]!.locator), `http://127.0.0.1:${port}/models/signatures/model.sig`);
    const single = await given(indexOf({}, { ...fraud, signature: 'a/manifest.json.sig' })).resolve(
      'fraud',
      '7',
      signal,
    );
    assert.deepEqual(
      single.signatures.map(({ path }) => path),
      ['manifest.json.sig'],
    );
  });

  test('another place gives another revision, so that a refused version may come back', async () => {
    const revision = async (index: object) => (await given(index).resolve('fraud', '7', signal)).revision;
    assert.notEqual(await revision(placed('a')), await revision(placed('b')));
    assert.equal(await revision(indexOf()), await revision(indexOf({ serial: 77 })));
  });
});
