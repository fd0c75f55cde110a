/** The parts of our HTTP/2 by themselves: header tables, Huffman code, tables of streams, the life of a connection, deadlines. */
import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { fieldBlock } from '../src/grpc/http2/field-block.js';
import type { HeaderList } from '../src/grpc/http2/header-list.js';
import { HpackDecoder } from '../src/grpc/http2/hpack.js';
import { decodeHuffman } from '../src/grpc/http2/huffman.js';
import { Life, type Living } from '../src/grpc/http2/life.js';
import { Patience } from '../src/grpc/http2/patience.js';
import { StreamTable } from '../src/grpc/http2/stream-table.js';
import { Deadlines, type Due } from '../src/grpc/own/deadlines.js';
import { MessageReader } from '../src/grpc/own/message-reader.js';
import { framed, headers, number, portOf } from './raw-http2.js';

function decode(hpack: HpackDecoder, hex: string): HeaderList {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  return hpack.decode(bytes, 0, bytes.length);
}

test('the requests of RFC 7541 C.3 and C.4 are decoded, and leave the tables that it gives', () => {
  const plain = [
    '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
    '8286 84be 5808 6e6f 2d63 6163 6865',
    '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
  ];
  const packed = [
    '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
    '8286 84be 5886 a8eb 1064 9cbf',
    '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
  ];
  for (const [first, second, third] of [plain, packed]) {
    const hpack = new HpackDecoder(16_384);
    assert.deepEqual([decode(hpack, first!).method, hpack.tableBytes], ['GET', 57]);
    assert.deepEqual([decode(hpack, second!).get('cache-control'), hpack.tableBytes], ['no-cache', 110]);
    const last = decode(hpack, third!);
    assert.deepEqual([last.path, last.get('custom-key'), hpack.tableBytes], ['/index.html', 'custom-value', 164]);
    assert.equal(last.headFault, '');
  }
});

test('a block is remembered only until the table changes', () => {
  const hpack = new HpackDecoder(16_384);
  const get = '82 86 84';
  decode(hpack, `${get} 40 01 61 01 62`);
  const known = decode(hpack, `${get} be`);
  assert.equal(known.get('a'), 'b');
  assert.equal(decode(hpack, `${get} be`), known);
  decode(hpack, `${get} 40 01 63 01 64`);
  const changed = decode(hpack, `${get} be`);
  assert.deepEqual([changed.get('a'), changed.get('c')], [undefined, 'd']);
  // A table that is emptied and grows again has nothing at that index.
  decode(hpack, `20 3f e1 1f ${get}`);
  assert.throws(() => decode(hpack, `${get} be`), { code: 9 });
});

test('a block that is too long to remember changes the table as well', () => {
  const hpack = new HpackDecoder(16_384);
  const get = '82 86 84';
  decode(hpack, `${get} 40 01 61 01 62`);
  assert.equal(decode(hpack, `${get} be`).get('a'), 'b');
  const long = Buffer.concat([
    Buffer.from('828684400163', 'hex'),
    Buffer.of(0x01, 0x64),
    fieldBlock([['x-long', 'z'.repeat(3000)]]),
  ]);
  hpack.decode(long, 0, long.length);
  assert.equal(decode(hpack, `${get} be`).get('c'), 'd');
});

test('entries leave the table oldest first, and one that is larger than the table empties it', () => {
  const hpack = new HpackDecoder(2 ** 20);
  const insert = (name: string, value: string) => {
    const block = Buffer.concat([Buffer.from('82868440', 'hex'), fieldBlock([[name, value]]).subarray(1)]);
    hpack.decode(block, 0, block.length);
  };
  for (let i = 0; i < 1000; i++) insert(`name-${i}`, 'v'.repeat(50));
  assert.ok(hpack.tableBytes <= 4096);
  const newest = decode(hpack, '82 86 84 be');
  assert.equal(newest.get('name-999')?.length, 50);
  const count = Math.floor(4096 / (8 + 50 + 32));
  const oldest = Buffer.of(0x82, 0x86, 0x84, 0x80 | (61 + count));
  assert.ok(hpack.decode(oldest, 0, 4).get(`name-${1000 - count}`));
  const beyond = Buffer.of(0x82, 0x86, 0x84, 0x80 | (61 + count + 1));
  assert.throws(() => hpack.decode(beyond, 0, 4), { code: 9 });
  insert('name', 'v'.repeat(4096));
  assert.equal(hpack.tableBytes, 0);
});

test('a list beyond its limit keeps nothing more, and its block is still read', () => {
  const hpack = new HpackDecoder(200);
  const list = decode(hpack, '82 86 84 40 01 61 01 62');
  assert.equal(list.isTooLarge, false);
  assert.equal(decode(hpack, `82 86 84 ${'be '.repeat(50)}`).isTooLarge, true);
  assert.equal(decode(hpack, '82 86 84 be').get('a'), 'b');
});

/** What nghttp2 makes of headers, call by call. */
async function encodedByNode(calls: readonly Record<string, string>[]): Promise<HeaderList[]> {
  const hpack = new HpackDecoder(2 ** 20);
  const lists: HeaderList[] = [];
  let bytes = Buffer.alloc(0);
  let isDone: () => void = () => {};
  const done = new Promise<void>((resolve) => {
    isDone = resolve;
  });
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write(Buffer.from('000000040000000000', 'hex'));
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (bytes.subarray(0, 3).toString() === 'PRI') bytes = bytes.subarray(24);
      while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
        const end = 9 + bytes.readUIntBE(0, 3);
        if (bytes[3] === 1) {
          const start = 9 + ((bytes[4]! & 0x20) === 0 ? 0 : 5);
          lists.push(hpack.decode(bytes, start, end));
        }
        bytes = bytes.subarray(end);
      }
      if (lists.length === calls.length) isDone();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const session = connect(`http://127.0.0.1:${portOf(server)}`);
  session.on('error', () => {});
  for (const fields of calls) {
    session.request({ ':method': 'POST', ...fields }).on('error', () => {});
  }
  await done;
  session.destroy();
  server.close();
  return lists;
}

test('what nghttp2 encodes comes back, every byte that a value may have and hundreds of calls', async () => {
  const bytes = Array.from({ length: 256 }, (_, i) => i).filter((i) => (i >= 0x21 && i !== 0x7f) || i === 0x20);
  const calls = Array.from({ length: 300 }, (_, i) => ({
    ':path': `/a${i % 7}`,
    'x-every': `<${String.fromCharCode(...bytes.slice((i * 7) % 200, ((i * 7) % 200) + 25))}>`,
    'x-number': `${i}`,
    [`x-name-${i % 40}`]: 'y'.repeat(i % 90),
  }));
  const lists = await encodedByNode(calls);
  lists.forEach((list, i) => {
    const sent = calls[i]!;
    assert.equal(list.headFault, '');
    assert.equal(list.path, sent[':path']);
    for (const name of Object.keys(sent).filter((key) => !key.startsWith(':'))) {
      assert.equal(list.get(name), sent[name as keyof typeof sent], `${name} of call ${i}`);
    }
  });
});

test('Huffman code that no string has is not decoded, whatever its bytes', () => {
  const out = Buffer.alloc(64);
  for (let i = 0; i < 65_536; i++) decodeHuffman(Buffer.of(i >>> 8, i & 255), 0, 2, out);
  assert.equal(decodeHuffman(Buffer.of(0x1f), 0, 1, out), 'a');
  assert.equal(decodeHuffman(Buffer.of(0x1e), 0, 1, out), undefined);
  assert.equal(decodeHuffman(Buffer.of(0xff), 0, 1, out), undefined);
  assert.equal(decodeHuffman(Buffer.alloc(0), 0, 0, out), '');
});

test('a table of streams holds what a Map holds', () => {
  const table = new StreamTable<{ readonly id: number }>();
  const map = new Map<number, { readonly id: number }>();
  let state = 7;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let id = 1;
  for (let i = 0; i < 20_000; i++) {
    if (map.size < 100 && random(2) === 0) {
      const entry = { id };
      id += 2 + 2 * random(20);
      table.add(entry);
      map.set(entry.id, entry);
    } else {
      const known = [...map.keys()][random(map.size + 1)] ?? id + 1000;
      table.delete(known);
      map.delete(known);
    }
    for (const probe of [random(id) | 1, ...map.keys()]) assert.equal(table.get(probe), map.get(probe));
    assert.equal(table.size, map.size);
  }
  assert.deepEqual(new Set(table.entries()), new Set(map.values()));
});

test('patience lasts for a burst, and comes back with time', () => {
  let now = 0;
  const patience = new Patience(3, 2, () => now);
  const spend = (times: number) => Array.from({ length: times }, () => patience.spend());
  assert.deepEqual(spend(4), [true, true, true, false]);
  now = 1000;
  assert.deepEqual(spend(3), [true, true, false]);
  now = 1_000_000;
  assert.deepEqual(spend(4), [true, true, true, false]);
});

class FakeConnection implements Living {
  size = 0;
  isGreeted = true;
  isWaiting = false;
  framesRead = 0;
  unsent = 0;
  sent = 0;
  pingAcks = 0;
  isHeard = true;
  readonly done: string[] = [];
  takeHeard(): boolean {
    return this.isHeard;
  }
  ping(): void {
    this.done.push('ping');
  }
  announceEnd(): void {
    this.done.push('announce');
  }
  refuseNew(): void {
    this.done.push('refuse');
  }
  end(): void {
    this.done.push('end');
  }
  destroy(): void {
    this.done.push('destroy');
  }
  dropStalled(): void {}
}

const times = { ageMs: 5000, graceMs: 2000, idleMs: 3000, pingMs: 600, pingTimeoutMs: 200, wordMs: 100, stallMs: 300 };

function live(change: Partial<FakeConnection> = {}): { connection: FakeConnection; look: (now: number) => string } {
  const connection = Object.assign(new FakeConnection(), change);
  const life = new Life(connection, times, 0);
  return {
    connection,
    look: (now) => {
      life.look(now);
      return connection.done.splice(0).join(' ');
    },
  };
}

test('a peer that does not greet, or leaves a frame unfinished, is cut off', () => {
  const silent = live({ isGreeted: false });
  assert.deepEqual([99, 100].map(silent.look), ['', 'destroy']);
  const slow = live({ isWaiting: true });
  assert.deepEqual([10, 109, 110].map(slow.look), ['', '', 'destroy']);
  const busy = live({ isWaiting: true });
  for (let now = 10; now < 1000; now += 50) {
    busy.connection.framesRead++;
    assert.equal(busy.look(now), '');
  }
});

test('silence is answered with a ping, and silence after it with the end', () => {
  const { connection, look } = live({ isHeard: false, size: 1 });
  assert.deepEqual([599, 600, 799].map(look), ['', 'ping', '']);
  connection.isHeard = true;
  assert.equal(look(801), '');
  connection.isHeard = false;
  assert.deepEqual([1400, 1401, 1600, 1601].map(look), ['', 'ping', '', 'destroy']);
});

test('a peer that takes nothing is cut off, one that takes little is not', () => {
  const { connection, look } = live({ unsent: 10, size: 1 });
  connection.sent = 5;
  assert.deepEqual([1, 300].map(look), ['', '']);
  connection.sent = 6;
  assert.deepEqual([301, 600, 601].map(look), ['', '', 'destroy']);
});

test('a connection without calls, or too old, is ended step by step; its grace ends it at last', () => {
  const idle = live();
  assert.deepEqual([2999, 3000, 3999, 4000, 4999, 5000].map(idle.look), [
    '',
    'announce ping',
    '',
    'refuse end',
    '',
    'destroy',
  ]);
  const old = live({ size: 1 });
  assert.deepEqual([4999, 5000].map(old.look), ['', 'announce ping']);
  old.connection.pingAcks++;
  assert.deepEqual([5001, 5002].map(old.look), ['refuse', '']);
  old.connection.size = 0;
  assert.equal(old.look(5003), 'end');
  const stuck = live({ size: 1 });
  assert.deepEqual([5000, 6000, 6999, 7000].map(stuck.look), ['announce ping', 'refuse', '', 'destroy']);
});

class FakeDue implements Due {
  dueRow: Due['dueRow'] = undefined;
  duePlace = 0;
  readonly expired: Promise<void>;
  expire: () => void = () => {};
  constructor() {
    this.expired = new Promise((resolve) => {
      this.expire = resolve;
    });
  }
}

test('deadlines pass once, not before their time, and not when they were taken back', async () => {
  const deadlines = new Deadlines(() => performance.now());
  const at = performance.now() + 30;
  const dues = Array.from({ length: 10 }, () => new FakeDue());
  for (const due of dues) deadlines.add(due, at);
  const dropped = [0, 9, 4];
  for (const index of dropped) {
    deadlines.remove(dues[index]!);
    deadlines.remove(dues[index]!);
    dues[index]!.expire = () => assert.fail('taken back');
  }
  await Promise.all(dues.filter((_, index) => !dropped.includes(index)).map(({ expired }) => expired));
  assert.ok(performance.now() >= at);
  assert.equal(deadlines.size, 0);
});

test('deadlines far away leave nothing behind', () => {
  const deadlines = new Deadlines(() => 0);
  for (let i = 0; i < 1000; i++) {
    const due = new FakeDue();
    deadlines.add(due, 100_000 + i * 1000);
    deadlines.remove(due);
  }
  deadlines.add(new FakeDue(), Infinity);
  deadlines.add(new FakeDue(), 2 ** 40);
  assert.equal(deadlines.size, 0);
  deadlines.clear();
});

interface Read {
  readonly messages: string[];
  readonly ends: string[];
}

function read(bytes: Buffer, cuts: readonly number[], bytesMax = 100, budget = { bytes: 1000 }): Read {
  const result: Read = { messages: [], ends: [] };
  const reader = new MessageReader(
    bytesMax,
    {
      message: (message, isCompressed) => result.messages.push(`${isCompressed ? '!' : ''}${message.toString()}`),
      tooLarge: (size) => result.ends.push(`too large ${size}`),
      noRoom: () => result.ends.push('no room'),
    },
    budget,
  );
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    reader.take(bytes, from, cut);
    from = cut;
  }
  reader.drop();
  return result;
}

test('messages are the same wherever their bytes were split', () => {
  const packed = framed(Buffer.from('packed'));
  packed[0] = 1;
  const bytes = Buffer.concat([
    framed(Buffer.from('one')),
    framed(Buffer.alloc(0)),
    packed,
    framed(Buffer.from('four')),
  ]);
  const whole = read(bytes, []);
  assert.deepEqual(whole.messages, ['one', '', '!packed', 'four']);
  for (let a = 0; a <= bytes.length; a++) {
    for (let b = a; b <= bytes.length; b++) assert.deepEqual(read(bytes, [a, b]), whole);
  }
  assert.deepEqual(
    read(
      bytes,
      Array.from(bytes, (_, index) => index),
    ),
    whole,
  );
});

test('a message over its limit, or beyond what all may keep, is refused before it is kept', () => {
  const limit = Buffer.alloc(100, 'x');
  assert.deepEqual(read(framed(limit), []).messages, [limit.toString()]);
  for (const cuts of [[], [3], [5], [20]]) {
    assert.deepEqual(read(framed(Buffer.alloc(101)), cuts), { messages: [], ends: ['too large 101'] });
  }
  const huge = Buffer.concat([Buffer.of(0), number(2 ** 32 - 1)]);
  assert.deepEqual(read(huge, [2]).ends, [`too large ${2 ** 32 - 1}`]);
  const budget = { bytes: 99 };
  assert.deepEqual(read(framed(limit), [20], 100, budget).ends, ['no room']);
  assert.equal(budget.bytes, 99);
  budget.bytes = 100;
  assert.equal(read(framed(limit), [20], 100, budget).messages.length, 1);
  read(framed(limit).subarray(0, 50), [20], 100, budget);
  assert.equal(budget.bytes, 100);
});

test('a head that is written is read', () => {
  const fields = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', '/a'],
    ['x-long', 'v'.repeat(127)],
    ['x-longer', 'v'.repeat(5000)],
    ['', 'nothing'],
  ] as const;
  const block = headers(1, fields).subarray(9);
  const list = new HpackDecoder(16_384).decode(block, 0, block.length);
  assert.deepEqual([list.get('x-long')?.length, list.get('x-longer')?.length], [127, 5000]);
});
