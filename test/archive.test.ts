import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as zlib from 'node:zlib';
import { GatewayError } from '../src/core/errors.js';
import { type ArchiveLimits, unpack } from '../src/registry/archive.js';
import { Refusal, type SecurityKind } from '../src/registry/refusal.js';

const { gzipSync } = zlib;
/** Of Node 22.15 and newer. */
const { zstdCompressSync } = zlib as { readonly zstdCompressSync?: (bytes: Uint8Array) => Buffer };
const root = mkdtempSync(join(tmpdir(), 'sluice-archive-'));
after(() => rmSync(root, { recursive: true, force: true }));

const limits: ArchiveLimits = {
  bytesMax: 1024 * 1024 * 1024,
  entriesMax: 10_000,
  ratioMax: 100,
  metadataBytesMax: 1024 * 1024,
};

let directories = 0;
function freshDirectory(): string {
  const directory = join(root, String(directories++));
  mkdirSync(directory);
  return directory;
}

interface Block {
  readonly name: string;
  readonly content?: Buffer | string;
  /** '0' a file, '5' a directory, '2' a symbolic link … */
  readonly type?: string;
  readonly link?: string;
  readonly prefix?: string;
  /** When it shall not be that of the content. */
  readonly size?: number;
  readonly mode?: string;
}

function writeSum(header: Buffer): void {
  header.write('        ', 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
}

/** A header as POSIX has it, written by hand so that it can say anything. */
function block({ name, content = '', type = '0', link = '', prefix = '', size, mode = '0000644' }: Block): Buffer {
  const body = Buffer.from(content);
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  header.write(mode, 100);
  header.write('0000000', 108);
  header.write('0000000', 116);
  header.write((size ?? body.length).toString(8).padStart(11, '0'), 124);
  header.write('00000000000', 136);
  header.write(type, 156);
  header.write(link, 157, 100);
  header.write('ustar\u000000', 257);
  header.write(prefix, 345, 155);
  writeSum(header);
  return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

const end = Buffer.alloc(1024);
const tarOf = (...blocks: readonly Block[]) => Buffer.concat([...blocks.map(block), end]);

function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(rest) + 1;
  while (Buffer.byteLength(rest) + String(length).length !== length) length++;
  return `${length}${rest}`;
}

async function* inPieces(bytes: Uint8Array, pieceBytes = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Everything below a directory, so that what is left behind is seen. */
const treeOf = (directory: string) => readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();

async function refuses(tar: Buffer, kind: SecurityKind, text: RegExp, some: Partial<ArchiveLimits> = {}) {
  const directory = freshDirectory();
  await assert.rejects(unpack(inPieces(tar), 'tar', directory, { ...limits, ...some }), (error) => {
    assert.ok(error instanceof Refusal, String(error));
    assert.equal(error.kind, kind);
    assert.match(error.message, text);
    return true;
  });
  assert.deepEqual(treeOf(directory), []);
}

test('files and directories of a tar are written, hashed and reported in their order', async () => {
  const directory = freshDirectory();
  const tar = tarOf(
    { name: 'model.onnx', content: 'weights' },
    { name: 'assets/', type: '5' },
    { name: 'assets/labels.txt', content: 'a\nb\n' },
    { name: 'empty', content: '' },
  );
  assert.deepEqual(await unpack(inPieces(tar), 'tar', directory, limits), [
    { path: 'model.onnx', bytes: 7, sha256: sha256('weights') },
    { path: 'assets/labels.txt', bytes: 4, sha256: sha256('a\nb\n') },
    { path: 'empty', bytes: 0, sha256: sha256('') },
  ]);
  assert.deepEqual(treeOf(directory), ['assets', 'assets/labels.txt', 'empty', 'model.onnx']);
  assert.equal(readFileSync(join(directory, 'model.onnx'), 'utf8'), 'weights');
});

test('a tar is read the same in pieces of any size', async () => {
  const content = Buffer.alloc(3000, 'x');
  const tar = tarOf({ name: 'a', content }, { name: 'b/c', content: 'y' });
  for (const pieceBytes of [1, 7, 511, 512, 513, 4096, 1_000_000]) {
    const files = await unpack(inPieces(tar, pieceBytes), 'tar', freshDirectory(), limits);
    assert.deepEqual(
      files.map(({ path, sha256: digest }) => [path, digest]),
      [
        ['a', sha256(content)],
        ['b/c', sha256('y')],
      ],
    );
  }
});

test('a gzip of several members is unpacked', async () => {
  const tar = tarOf({ name: 'model.onnx', content: Buffer.alloc(100_000, 'w') });
  const packed = Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(tar.subarray(700))]);
  const files = await unpack(inPieces(packed), 'tar+gzip', freshDirectory(), limits);
  assert.deepEqual(files, [{ path: 'model.onnx', bytes: 100_000, sha256: sha256(Buffer.alloc(100_000, 'w')) }]);
});

test("what GNU tar writes of a directory, long names and './' included, is unpacked", async (context) => {
  if (process.env.CI === undefined && spawnSync('tar', ['--version']).status !== 0) return context.skip('no tar here');
  const from = freshDirectory();
  const long = 'n'.repeat(180);
  mkdirSync(join(from, long));
  writeFileSync(join(from, long, 'größe.bin'), 'long');
  writeFileSync(join(from, 'model.onnx'), 'weights');
  await Promise.all(
    ['gnu', 'posix'].map(async (format) => {
      const tar = execFileSync('tar', ['-c', `--format=${format}`, '-C', from, '.']);
      const directory = freshDirectory();
      const files = await unpack(inPieces(tar), 'tar', directory, limits);
      assert.deepEqual(files.map(({ path }) => path).sort(), ['model.onnx', `${long}/größe.bin`]);
      assert.equal(readFileSync(join(directory, long, 'größe.bin'), 'utf8'), 'long');
    }),
  );
});

for (const name of ['../x', 'a/../../x', '/etc/x', 'a//x', 'a/./x', '..', 'a\\..\\x', 'x ', 'x.', 'a\u0007x']) {
  test(`the name ${JSON.stringify(name)} is refused and nothing stays`, () =>
    refuses(tarOf({ name: 'first', content: '1' }, { name, content: '2' }), 'traversal', /is not a path inside/));
}

test('a directory that climbs is refused', () =>
  refuses(tarOf({ name: '../d/', type: '5' }), 'traversal', /is not a path inside/));

test('a name that climbs only by its prefix field is refused', () =>
  refuses(tarOf({ name: 'x', prefix: '../..', content: '1' }), 'traversal', /"\.\.\/\.\.\/x"/));

test('a name that climbs only in its attributes is refused, NUL and all', async () => {
  for (const path of ['../x', '/x', 'a\0b', 'a\\b']) {
    const attributes = { name: 'PaxHeaders/x', type: 'x', content: record('path', path) };
    await refuses(tarOf(attributes, { name: 'harmless', content: '1' }), 'traversal', /is not a path inside/);
  }
});

test('a name that climbs only as a GNU long name is refused', () =>
  refuses(
    tarOf({ name: '././@LongLink', type: 'L', content: '../x\0' }, { name: 'harmless', content: '1' }),
    'traversal',
    /"\.\.\/x"/,
  ));

test('a name that is not UTF-8 is refused', () => {
  const header = block({ name: 'axb', content: '' });
  header[1] = 0xff;
  writeSum(header);
  return refuses(Buffer.concat([header, end]), 'traversal', /is not a path inside/);
});

test('a name one byte over the limit is refused, one at the limit is not', async () => {
  const longName = (bytes: number) => {
    const path = `${'d'.repeat(200)}/${'e'.repeat(200)}/${'f'.repeat(bytes - 402)}`;
    return tarOf({ name: 'p', type: 'x', content: record('path', path) }, { name: 'x', content: '1' });
  };
  await refuses(longName(513), 'traversal', /is not a path inside/);
  const [file] = await unpack(inPieces(longName(512)), 'tar', freshDirectory(), limits);
  assert.equal(file?.path.length, 512);
});

for (const [what, type] of [
  ['link', '1'],
  ['symlink', '2'],
  ['character-device', '3'],
  ['block-device', '4'],
  ['fifo', '6'],
  ['contiguous-file', '7'],
  ['thing of unknown kind', 'S'],
] as const) {
  test(`a ${what} is refused before anything is written for it`, () =>
    refuses(
      tarOf({ name: 'first', content: '1' }, { name: 'odd', type, link: '../../etc/passwd' }),
      'archive',
      new RegExp(`"odd" is a ${what}`),
    ));
}

test('a file through a symbolic link of the same archive is refused at the link', () =>
  refuses(
    tarOf({ name: 'out', type: '2', link: '/tmp' }, { name: 'out/x', content: '1' }),
    'archive',
    /"out" is a symlink/,
  ));

test('a link planted in the target is not followed, neither as directory nor as file', async () => {
  const outside = freshDirectory();
  const directory = freshDirectory();
  symlinkSync(outside, join(directory, 'd'));
  symlinkSync(join(outside, 'made'), join(directory, 'f'));
  for (const name of ['d/x', 'f']) {
    await assert.rejects(
      unpack(inPieces(tarOf({ name: 'first', content: '1' }, { name, content: '2' })), 'tar', directory, limits),
      (error) => error instanceof Refusal && error.kind === 'archive',
    );
  }
  assert.deepEqual(treeOf(outside), []);
  assert.deepEqual(readdirSync(directory).sort(), ['d', 'f']);
});

test('what lay in the target before stays, also when the archive is refused', async () => {
  const directory = freshDirectory();
  writeFileSync(join(directory, 'model.onnx'), 'kept');
  mkdirSync(join(directory, 'd'));
  const tar = tarOf({ name: 'd/x', content: '1' }, { name: 'model.onnx', content: 'new' });
  await assert.rejects(unpack(inPieces(tar), 'tar', directory, limits), /"model.onnx" is there already/);
  assert.deepEqual(treeOf(directory), ['d', 'model.onnx']);
  assert.equal(readFileSync(join(directory, 'model.onnx'), 'utf8'), 'kept');
});

test('a name that comes twice is refused, in other letters and as directory too', async () => {
  const first = { name: 'a/B', content: '1' };
  await refuses(tarOf(first, first), 'archive', /"a\/B" is there twice/);
  await refuses(tarOf(first, { name: 'a/b', content: '2' }), 'archive', /"a\/b" differs only in case from 'a\/B'/);
  await refuses(tarOf(first, { name: 'A/c', content: '2' }), 'archive', /differs only in case/);
  await refuses(tarOf(first, { name: 'a', content: '2' }), 'archive', /as a file and as a directory/);
  await refuses(tarOf(first, { name: 'a/B/c', content: '2' }), 'archive', /as a file and as a directory/);
  const composed = { name: 'u\u0308', content: '1' };
  await refuses(tarOf(composed, { name: '\u00fc', content: '2' }), 'archive', /differs only in case/);
});

test('entries are counted up to the limit, directories that are only part of a path included', async () => {
  const three = { entriesMax: 3 };
  const tar = tarOf({ name: 'a/x', content: '1' }, { name: 'a/y', content: '2' });
  assert.equal((await unpack(inPieces(tar), 'tar', freshDirectory(), { ...limits, ...three })).length, 2);
  await refuses(tarOf({ name: 'a/b/x', content: '1' }, { name: 'a/y' }), 'archive', /"a\/y" is one more than 3/, three);
});

test('an archive of a million entries is refused at the limit', async () => {
  async function* endless() {
    for (let index = 0; index < 1_000_000; index++) yield block({ name: `f${index}` });
  }
  const directory = freshDirectory();
  const unpacked = unpack(endless(), 'tar', directory, { ...limits, entriesMax: 500 });
  await assert.rejects(unpacked, /"f500" is one more than 500 entries/);
  assert.deepEqual(treeOf(directory), []);
});

test('a path of too many directories is refused', () =>
  refuses(tarOf({ name: `${'a/'.repeat(33)}x`, content: '1' }), 'archive', /more than 32 directories deep/));

test('the sizes of all files together are limited, judged before the file is written', async () => {
  const two = [
    { name: 'a', content: 'xxx' },
    { name: 'b', content: 'yyy' },
  ];
  assert.equal((await unpack(inPieces(tarOf(...two)), 'tar', freshDirectory(), { ...limits, bytesMax: 6 })).length, 2);
  await refuses(tarOf(...two), 'archive', /with "b" it unpacks to 6 bytes, at most 5/, { bytesMax: 5 });
});

test('metadata before an entry is limited, whether one piece or many', async () => {
  const attributes = (bytes: number) => {
    const rest = bytes - record('comment', '').length;
    const digits = String(bytes).length - 2;
    return { name: 'p', type: 'x', content: record('comment', 'c'.repeat(rest - digits)) };
  };
  const few = { metadataBytesMax: 512 + 4096 };
  const fits = tarOf(attributes(4096), { name: 'x', content: '1' });
  assert.equal((await unpack(inPieces(fits), 'tar', freshDirectory(), { ...limits, ...few })).length, 1);
  await refuses(tarOf(attributes(4097), { name: 'x' }), 'archive', /"x" comes after 5120 bytes of metadata/, few);
  const many = Array.from({ length: 5 }, () => attributes(500));
  await refuses(tarOf(...many, { name: 'x' }), 'archive', /"x" comes after 5120 bytes of metadata/, few);
});

test('metadata that no entry ever follows is refused while it comes', async () => {
  let given = 0;
  async function* endless() {
    for (; given < 100_000; given++) yield block({ name: 'g', type: 'g', content: record('comment', 'c') });
  }
  const unpacked = unpack(endless(), 'tar', freshDirectory(), { ...limits, metadataBytesMax: 100_000 });
  await assert.rejects(unpacked, /goes on for more than 100000 bytes without an entry/);
  assert.ok(given < 1000, `${given} were read`);
});

test('zeros without end after the last entry are refused', async () => {
  let given = 0;
  async function* endless() {
    yield tarOf({ name: 'x', content: '1' });
    for (; given < 100_000; given++) yield Buffer.alloc(64 * 1024);
  }
  const directory = freshDirectory();
  await assert.rejects(unpack(endless(), 'tar', directory, limits), /without an entry/);
  assert.ok(given < 100, `${given} were read`);
  assert.deepEqual(treeOf(directory), []);
});

test('an entry of very many attributes is refused', () => {
  const content = Array.from({ length: 300 }, (_, index) => record(`k${index}`, '')).join('');
  return refuses(tarOf({ name: 'p', type: 'x', content }, { name: 'x' }), 'archive', /more than 256 attributes/);
});

test('a size in the attributes counts, and one that is no number is refused', async () => {
  const sized = (size: string) => [
    { name: 'p', type: 'x', content: record('size', size) },
    { name: 'x', content: 'abc' },
  ];
  await refuses(tarOf(...sized('1000000000000')), 'archive', /it unpacks to 1000000000000 bytes/);
  await refuses(tarOf(...sized('-1')), 'archive', /not a whole tar/);
  await refuses(tarOf(...sized('many')), 'archive', /not a whole tar/);
});

test('a tar that ends early, has a wrong checksum or is none is refused', async () => {
  const tar = tarOf({ name: 'first', content: '1' }, { name: 'x', content: Buffer.alloc(5000, 'x') });
  await refuses(tar.subarray(0, 3000), 'archive', /not a whole tar/);
  const wrong = Buffer.from(tar);
  wrong[1024 + 3] = 0x41;
  await refuses(wrong, 'archive', /not a whole tar/);
  await refuses(Buffer.alloc(2048, 'not a tar '), 'archive', /not a whole tar/);
});

test('a gzip that ends early, is damaged or is none is refused', async () => {
  const packed = gzipSync(tarOf({ name: 'first', content: '1' }, { name: 'x', content: Buffer.alloc(50_000, 'x') }));
  const damaged = Buffer.from(packed);
  damaged[damaged.length - 6]! ^= 1;
  for (const bytes of [packed.subarray(0, -20), damaged, Buffer.from('no gzip')]) {
    const directory = freshDirectory();
    await assert.rejects(
      unpack(inPieces(bytes), 'tar+gzip', directory, limits),
      (error) => error instanceof Refusal && /not a whole gzip stream/.test(error.message),
    );
    assert.deepEqual(treeOf(directory), []);
  }
});

test('zstd is unpacked where the zlib of this Node has it, and refused with what to do elsewhere', async () => {
  const tar = tarOf({ name: 'first', content: '1' }, { name: 'x', content: randomBytes(300_000) });
  const directory = freshDirectory();
  const refusedAs = async (bytes: Uint8Array, text: RegExp) => {
    await assert.rejects(
      unpack(inPieces(bytes), 'tar+zstd', directory, limits),
      (error) => error instanceof Refusal && error.kind === 'archive' && text.test(error.message),
    );
    assert.deepEqual(treeOf(directory), []);
  };
  if (zstdCompressSync === undefined)
    return refusedAs(tar, /by zstd, which needs Node 22\.15 or newer: .* push it as raw, tar or tar\+gzip/);
  const packed = zstdCompressSync(tar);
  await refusedAs(packed.subarray(0, -5), /not a whole tar/);
  await refusedAs(packed.subarray(0, 9), /not a whole zstd stream: it unpacks to nothing/);
  await refusedAs(Buffer.from('no zstd'), /not a whole zstd stream/);
  await refusedAs(zstdCompressSync(tarOf({ name: 'z', content: Buffer.alloc(70 << 20) })), /at most 100 for one/);
  const files = await unpack(inPieces(packed), 'tar+zstd', directory, limits);
  assert.deepEqual(
    files.map(({ path, bytes }) => `${path} ${bytes}`),
    ['first 1', 'x 300000'],
  );
});

test('a bomb is refused when it passes 64 MiB at more than a hundred to one', async () => {
  const bomb = gzipSync(tarOf({ name: 'zeros', content: Buffer.alloc(70 * 1024 * 1024) }));
  const directory = freshDirectory();
  await assert.rejects(
    unpack(inPieces(bomb, 16_384), 'tar+gzip', directory, limits),
    (error) => error instanceof Refusal && /at most 100 for one/.test(error.message),
  );
  assert.deepEqual(treeOf(directory), []);
  const small = gzipSync(tarOf({ name: 'zeros', content: Buffer.alloc(1024 * 1024) }));
  assert.equal((await unpack(inPieces(small), 'tar+gzip', freshDirectory(), limits)).length, 1);
});

test('an error of the bytes themselves comes out as it is, and nothing stays', async () => {
  const broken = new GatewayError('UNAVAILABLE', 'the source is gone');
  for (const kind of ['tar', 'tar+gzip'] as const) {
    const tar = tarOf({ name: 'first', content: '1' }, { name: 'x', content: Buffer.alloc(200_000, 'x') });
    async function* breaking() {
      yield kind === 'tar' ? tar.subarray(0, 100_000) : gzipSync(tar).subarray(0, 300);
      throw broken;
    }
    const directory = freshDirectory();
    await assert.rejects(unpack(breaking(), kind, directory, limits), (error) => error === broken);
    assert.deepEqual(treeOf(directory), []);
  }
});

test('the bytes are read to their end, so that a digest over them can be judged', async () => {
  let isAtEnd = false;
  async function* watched() {
    yield* inPieces(tarOf({ name: 'x', content: '1' }));
    yield Buffer.alloc(8192);
    isAtEnd = true;
  }
  await unpack(watched(), 'tar', freshDirectory(), limits);
  assert.ok(isAtEnd);
});
