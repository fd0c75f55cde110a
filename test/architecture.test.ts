/**
 * ARCHITECTURE.md §"Who may import whom", as a table that runs. Sources are read as text, so that a type-only import counts
 * like any other: what a file may not know it may not name.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const source = join(root, 'src');

const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .sort();

const textOf = new Map(files.map((file) => [file, readFileSync(join(source, file), 'utf8')]));

/** What a file imports: files of ours by their path below src, packages by their name, node's own with `node:`. */
function importsOf(file: string): string[] {
  const found = [
    ...textOf
      .get(file)!
      .matchAll(
        /^\s*(?:import|export)\b[^'"]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|^import\s*['"]([^'"]+)['"]/gm,
      ),
  ];
  return found.map((match) => {
    const name = (match[1] ?? match[2] ?? match[3])!;
    if (!name.startsWith('.')) return name;
    return relative(source, join(source, dirname(file), name)).replace(/\.js$/, '.ts');
  });
}

/** Rooms by plane; a room is a folder. */
const gatewayRooms = ['http', 'grpc', 'routing', 'shadow', 'engine', 'observe', 'trace'];
const controlRooms = ['supervisor', 'registry', 'audit', 'monitor', 'admin', 'triggers'];
/** Both planes have a part of these: one writes, the other reads. */
const sharedRooms = ['predictions', 'labels'];
const rooms = [...gatewayRooms, ...controlRooms, ...sharedRooms, 'config'];

const roomOf = (file: string) => (file.includes('/') ? file.slice(0, file.indexOf('/')) : file);

/** Beside its own room and the floor, what a room may import. */
const alsoAllowed: Readonly<Record<string, readonly string[]>> = {
  supervisor: ['ipc.ts'],
  core: [],
};

/** A package is imported where its name stands, and nowhere else. */
const onlyIn: Readonly<Record<string, readonly string[]>> = {
  piscina: ['engine/lanes.ts', 'engine/thread.ts'],
  'onnxruntime-node': ['engine/session.ts'],
  '@grpc/grpc-js': ['grpc/'],
  '@grpc/proto-loader': ['grpc/'],
  'prom-client': ['admin/process-metrics.ts'],
  pino: ['log.ts'],
  'pino-pretty': ['log.ts'],
  commander: ['cli.ts', 'cli/'],
  'lru-cache': ['registry/registry.ts', 'routing/response-cache.ts', 'routing/tokens.ts'],
  jsonwebtoken: ['routing/token-check.ts'],
  '@duckdb/node-api': ['predictions/database.ts'],
  'tar-stream': ['registry/archive.ts'],
  '@sigstore/bundle': ['registry/signing/keyless.ts'],
  '@sigstore/verify': ['registry/signing/keyless.ts'],
  '@nats-io/transport-node': ['predictions/sinks/nats.ts'],
};

test('the floor imports nothing but itself', () => {
  for (const file of files.filter((name) => roomOf(name) === 'core')) {
    const foreign = importsOf(file).filter((name) => !name.startsWith('core/') && name !== 'node:buffer');
    assert.deepEqual(foreign, [], file);
  }
});

test('rooms import only the floor and themselves', () => {
  for (const file of files.filter((name) => rooms.includes(roomOf(name)))) {
    const room = roomOf(file);
    const foreign = importsOf(file).filter((name) => {
      if (!name.endsWith('.ts') || name.startsWith('core/') || name.startsWith(`${room}/`)) return false;
      return !(alsoAllowed[room] ?? []).includes(name);
    });
    assert.deepEqual(foreign, [], file);
  }
});

/** Every file that `entry` leads to. */
function reachable(entry: string): Set<string> {
  const seen = new Set<string>();
  const walk = (file: string) => {
    if (seen.has(file) || !textOf.has(file)) return;
    seen.add(file);
    for (const name of importsOf(file)) walk(name);
  };
  walk(entry);
  return seen;
}

test('no chain of imports leads from the gateway to a control room', () => {
  const found = [...reachable('gateway.ts')].filter((file) => controlRooms.includes(roomOf(file)));
  assert.deepEqual(found, []);
});

test('no chain of imports leads from control to the engine, the routing, gRPC or the observers', () => {
  const found = [...reachable('control.ts')].filter((file) =>
    ['engine', 'routing', 'grpc', 'observe'].includes(roomOf(file)),
  );
  assert.deepEqual(found, []);
});

test('control borrows from the HTTP room only its node transport and its status numbers', () => {
  const parts = files.filter((file) => file === 'control.ts' || roomOf(file) === 'control');
  const found = parts.flatMap(importsOf).filter((file) => roomOf(file) === 'http');
  assert.deepEqual(found, ['http/node.ts', 'http/status.ts']);
});

test('a native or protocol package is imported in one place', () => {
  for (const file of files) {
    for (const name of importsOf(file)) {
      const allowed = onlyIn[name];
      if (allowed === undefined) continue;
      assert.ok(
        allowed.some((place) => file === place || (place.endsWith('/') && file.startsWith(place))),
        `${file} imports ${name}`,
      );
    }
  }
});

test('every file opens by saying what it is and what it must not know', () => {
  for (const [file, text] of textOf) {
    const opening = text.replace(/^#!.*\n/, '');
    assert.match(opening, /^\/\*\*\n/, file);
    const header = opening.slice(0, opening.indexOf('*/'));
    assert.match(header, /Must not know/, file);
  }
});

test('the clock and chance are read in the roots only', () => {
  const roots = ['cli.ts', 'control.ts', 'gateway.ts'];
  for (const [file, text] of textOf) {
    if (roots.includes(file) || file.startsWith('cli/')) continue;
    const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    assert.doesNotMatch(code, /\bDate\.now\(|\bMath\.random\(/, file);
  }
});
