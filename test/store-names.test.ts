/** Names from outside: whatever they are, no path leaves the store, and digests do not depend on order. */
import assert from 'node:assert/strict';
import { join, relative, sep } from 'node:path';
import { test } from 'node:test';
import { versionDigest } from '../src/registry/store/digest.js';
import { checkFilePaths, checkOffer, incomingName, StorePaths } from '../src/registry/store/paths.js';
import { sha256 } from './store-source.js';

/** mulberry32: the same names in every run. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const random = randomFrom(7);
const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
/** Pieces that have led out of directories before: dots raw, encoded and look-alike, separators, controls, long ones. */
const pieces = [
  'a',
  'B',
  '7',
  '..',
  '.',
  '/',
  '\\',
  '%2e',
  '%2f',
  '\0',
  '\n',
  '．',
  '∕',
  ' ',
  '-',
  '_',
  '@',
  '~',
  'é',
  '\ud800',
  'x'.repeat(90),
];
const nameOf = () => Array.from({ length: 1 + Math.floor(random() * 5) }, () => pick(pieces)).join('');

function isTaken(check: () => void): boolean {
  try {
    check();
    return true;
  } catch {
    return false;
  }
}

/** It lies below, and so many directories deep as its parts say. */
function assertBelow(root: string, path: string, depth: number): void {
  const parts = relative(root, path).split(sep);
  assert.equal(parts.length, depth, path);
  assert.ok(!parts.includes('..') && !parts.includes(''), path);
}

test('no names of a source, model and version lead out of their place in the store', () => {
  const paths = new StorePaths('/store');
  let taken = 0;
  for (let round = 0; round < 20_000; round++) {
    const offer = {
      source: random() < 0.7 ? 'src' : nameOf(),
      model: nameOf(),
      version: random() < 0.7 ? '7' : nameOf(),
    };
    if (!isTaken(() => checkOffer(offer))) continue;
    taken++;
    assertBelow(paths.versions, paths.version(offer, sha256('x')), 3);
    assertBelow(paths.incoming, join(paths.incoming, incomingName(offer, nameOf())), 1);
  }
  assert.ok(taken > 500, `${taken} were names`);
});

test('no path of a file leads out of its version', () => {
  let taken = 0;
  for (let round = 0; round < 20_000; round++) {
    const path = nameOf();
    if (!isTaken(() => checkFilePaths([path], 'it'))) continue;
    taken++;
    assertBelow('/store/version', join('/store/version', path), path.split('/').length);
  }
  assert.ok(taken > 500, `${taken} were paths`);
});

test('a pull has one place, which every part of what is pulled decides', () => {
  const offer = { source: 'a', model: 'b', version: '1' };
  const names = [
    incomingName(offer, 'r'),
    incomingName(offer, 's'),
    incomingName({ ...offer, source: 'c' }, 'r'),
    incomingName({ ...offer, model: 'c' }, 'r'),
    incomingName({ ...offer, version: '2' }, 'r'),
  ];
  assert.equal(new Set(names).size, names.length);
  assert.equal(incomingName(offer, 'r'), names[0]);
  for (const name of names) assert.match(name, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('the digest of a version does not depend on the order of its files, nor on signatures or the record', () => {
  const files = Array.from({ length: 50 }, (_, n) => ({
    path: `${pick(['a/', 'B/', 'é/', ''])}${n}`,
    sha256: sha256(`${n}`),
  }));
  const digest = versionDigest(files);
  const more = ['model.sig', 'a/x.sig', 'x.sigstore.json', 'store-record.json'].map((path) => ({
    path,
    sha256: sha256('s'),
  }));
  for (let round = 0; round < 20; round++) {
    const shuffled = [...files, ...more].map((file) => ({ file, at: random() })).sort((a, b) => a.at - b.at);
    assert.equal(versionDigest(shuffled.map(({ file }) => file)), digest);
  }
  assert.notEqual(versionDigest([{ ...files[0]!, sha256: sha256('other') }, ...files.slice(1)]), digest);
});
