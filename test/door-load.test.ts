/** What doors say of themselves: connections, bytes that they hold, and how long it took to be rid of requests. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, test } from 'node:test';
import type { Series } from '../src/core/series.js';
import { listenGrpc } from '../src/grpc/server.js';
import { type Door, type Engine, listenHttp } from '../src/http/transport.js';
import { loadUws } from '../src/http/uws-build.js';
import { doorFamilies } from '../src/observe/doors.js';
import { Drains } from '../src/observe/drains.js';
import { defaults, FakePlane } from './grpc-fixture.js';
import { testHttpOptions } from './http-plane.js';

const engines: readonly Engine[] = [
  ...(['uws', 'uws-glibc227'] as const).filter((engine) => loadUws(engine) !== undefined),
  'node',
];

const sockets: Socket[] = [];
after(() => {
  for (const socket of sockets) socket.destroy();
});

function open(port: number, sent = ''): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(sent);
      resolve(socket);
    });
    sockets.push(socket);
    socket.on('error', reject);
    socket.resume();
  });
}

async function until(isTrue: () => boolean): Promise<void> {
  const limit = performance.now() + 5000;
  while (!isTrue()) {
    assert.ok(performance.now() < limit, 'waited for 5 s');
    await new Promise((next) => setTimeout(next, 2));
  }
}

const head = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n';

for (const engine of engines) {
  test(`bytes of a body that has not come whole are held, and given back (${engine})`, async () => {
    const door: Door = await listenHttp(
      () => ({
        consume: () => ({ status: 200, headers: [], body: '' }),
        refuse: (status) => ({ status, headers: [], body: '' }),
      }),
      { ...testHttpOptions, engine },
    );
    assert.equal(door.load.requestBytes, 0);
    const socket = await open(door.port, `${head}${'x'.repeat(400)}`);
    await until(() => door.load.requestBytes! >= 400);
    socket.write('x'.repeat(600));
    await until(() => door.load.requestBytes === 0);
    assert.equal(door.load.responseBytes, 0);
    await door.close();
  });

  test(`connections are counted as they come and go, where the engine tells (${engine})`, async () => {
    const door = await listenHttp(() => ({ status: 200, headers: [], body: '' }), { ...testHttpOptions, engine });
    if (engine === 'uws-glibc227') assert.equal(door.load.connections, undefined);
    else {
      assert.equal(door.load.connections, 0);
      const [one] = await Promise.all([open(door.port), open(door.port), open(door.port)]);
      await until(() => door.load.connections === 3);
      one.destroy();
      await until(() => door.load.connections === 2);
    }
    await door.close();
  });
}

test('gRPC counts its connections, and says nothing where the library does not', async () => {
  const own = await listenGrpc(new FakePlane(), { ...defaults, engine: 'own' });
  assert.deepEqual(own.load, { connections: 0, requestBytes: 0, responseBytes: undefined });
  const socket = await open(own.port);
  await until(() => own.load.connections === 1);
  socket.destroy();
  await until(() => own.load.connections === 0);
  await own.stop(0);
  const library = await listenGrpc(new FakePlane(), { ...defaults, engine: 'grpc-js' });
  assert.equal(library.load.connections, undefined);
  await library.stop(0);
});

const shown = (series: readonly Series[]) => series.map(({ labels, value }) => [labels, value]);

test('what doors say becomes series; what they do not say is left out', () => {
  const [connections, bytes] = doorFamilies({
    http: { connections: undefined, requestBytes: 5, responseBytes: 7 },
    grpc: { connections: 2, requestBytes: 0, responseBytes: undefined },
  });
  assert.deepEqual(shown(connections!.series), [[{ protocol: 'grpc' }, 2]]);
  assert.deepEqual(shown(bytes!.series), [
    [{ protocol: 'http', direction: 'request' }, 5],
    [{ protocol: 'http', direction: 'response' }, 7],
    [{ protocol: 'grpc', direction: 'request' }, 0],
  ]);
  assert.deepEqual(
    doorFamilies({ http: undefined, grpc: undefined }).map(({ series }) => series),
    [[], []],
  );
});

test('a drain takes from its beginning to its end, versions and processes apart', () => {
  let at = 0;
  const drains = new Drains(() => at);
  const drained = drains.begin('version');
  at = 300;
  drains.begin('process')();
  at = 2000;
  drained();
  const { series } = drains.family();
  assert.deepEqual(
    series.map(({ labels, value, sum }) => [labels, value, sum]),
    [
      [{ what: 'version' }, 1, 2],
      [{ what: 'process' }, 1, 0],
    ],
  );
});
