/**
 * Manifests: what is refused and how it is named, and that files are what the manifest says.
 *
 * Must not know models.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { nearest } from '../src/core/nearest.js';
import { isFilePath } from '../src/registry/file-path.js';
import { parseManifest, verifyFiles } from '../src/registry/manifest.js';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const listed = (path: string, text: string) => ({ path, size: Buffer.byteLength(text), sha256: sha256(text) });

const smallest = {
  schema: 1,
  files: [listed('model.onnx', 'weights')],
  signature: {
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 30] }],
    outputs: [{ name: 'y', datatype: 'INT64', shape: [-1] }],
  },
};

const parse = (changes: object = {}) => parseManifest(JSON.stringify({ ...smallest, ...changes }));

function isRefusal(reason: RegExp) {
  return (error: unknown) =>
    error instanceof GatewayError && error.code === 'FAILED_PRECONDITION' && reason.test(error.message);
}

const refuses = (changes: object, reason: RegExp) => assert.throws(() => parse(changes), isRefusal(reason));

describe('parseManifest', () => {
  it('takes the smallest one, and labels that are numbers', () => {
    assert.equal(parse().files[0]!.path, 'model.onnx');
    assert.deepEqual(parse({ semantics: { labels: [0, 'one'] } }).semantics?.labels, ['0', 'one']);
  });

  it('takes the manifests of the shipped models', () => {
    const models = new URL('../../models/', import.meta.url);
    for (const name of ['digits', 'cancer']) {
      for (const version of ['1', '2']) {
        const text = readFileSync(new URL(`${name}/${version}/manifest.json`, models), 'utf8');
        assert.deepEqual([parseManifest(text).model, parseManifest(text).version], [name, version]);
      }
    }
  });

  it('keeps what is free form', () => {
    const manifest = parse({
      training: { seed: 7, framework: 'x' },
      extra: { mine: [1] },
      semantics: { task: 'binary', note: 'n' },
    });
    assert.deepEqual(manifest.training, { seed: 7, framework: 'x' });
    assert.deepEqual(manifest.extra, { mine: [1] });
    assert.equal(manifest.semantics?.note, 'n');
  });

  it('refuses an unknown key with the nearest known one', () => {
    refuses({ signatures: {} }, /unknown key 'signatures' \(did you mean 'signature'\?\); extensions go under 'extra'/);
    refuses({ qqqqqqqqq: {} }, /unknown key 'qqqqqqqqq'; extensions/);
  });

  it('names the key that is wrong', () => {
    refuses({ schema: 2 }, /'schema': /);
    refuses({ files: undefined }, /'files': /);
    refuses({ signature: undefined }, /'signature': /);
    refuses(
      { signature: { inputs: [{ name: 'x', datatype: 'STRING', shape: [] }], outputs: [] } },
      /'signature.inputs\[0\].datatype': .*V2/,
    );
    refuses({ files: [{ ...listed('a', 'a'), sha256: 'ABC' }] }, /'files\[0\].sha256': expected 64 hex digits/);
    refuses({ files: [{ ...listed('a', 'a'), size: -1 }] }, /'files\[0\].size'/);
    refuses({ golden: [] }, /'golden'/);
    refuses({ golden: Array(65).fill({ request: 'a', response: 'b' }) }, /'golden'/);
  });

  it('refuses paths that leave the version', () => {
    for (const path of ['../a', '/a', 'a//b', 'a/./b', 'a\\b', 'a\0', 'a.', 'a ', '', 'x'.repeat(256)]) {
      assert.equal(isFilePath(path), false, path);
      refuses({ files: [listed(path, '')] }, /'files\[0\].path': expected a relative path/);
    }
    for (const path of ['a', 'golden/0.json', '.hidden', 'ä/ö', 'a b']) assert.equal(isFilePath(path), true, path);
    assert.equal(isFilePath(`${'x'.repeat(200)}/${'x'.repeat(200)}/${'x'.repeat(110)}`), true);
    assert.equal(isFilePath(`${'x'.repeat(200)}/${'x'.repeat(200)}/${'x'.repeat(111)}`), false);
  });

  it('refuses files that differ only in case, and named files that are not listed', () => {
    refuses({ files: [listed('a', ''), listed('A', '')] }, /'A' is listed twice, or differs only in case/);
    refuses({ profile: 'profile.json' }, /'profile.json' is named but not among 'files'/);
    refuses({ golden: [{ request: 'model.onnx', response: 'b' }] }, /'b' is named but not among/);
  });

  it('refuses what is too deep, too long or no JSON', () => {
    const deep = (levels: number) => ({ extra: JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`) });
    assert.ok(parse(deep(30)));
    refuses(deep(33), /nested more than 32 deep/);
    assert.throws(() => parseManifest(' '.repeat(4 * 1024 * 1024 + 1)), isRefusal(/longer than/));
    assert.throws(() => parseManifest('{'), isRefusal(/^manifest.json: /));
  });
});

describe('verifyFiles', () => {
  const root = mkdtempSync(join(tmpdir(), 'sluice-manifest-'));
  after(() => rmSync(root, { recursive: true }));
  let directory = root;
  beforeEach(() => {
    directory = join(root, String(readdirSync(root).length));
    mkdirSync(join(directory, 'golden'), { recursive: true });
    writeFileSync(join(directory, 'manifest.json'), '{}');
    writeFileSync(join(directory, 'model.onnx'), 'weights');
    writeFileSync(join(directory, 'golden/0.json'), '{}');
  });
  const manifest = parse({ files: [listed('model.onnx', 'weights'), listed('golden/0.json', '{}')] });
  const fails = (reason: RegExp) => assert.rejects(verifyFiles(directory, manifest), isRefusal(reason));

  it('passes when every file is there and has its size and digest', () => verifyFiles(directory, manifest));

  it('notices one flipped byte', async () => {
    writeFileSync(join(directory, 'model.onnx'), 'weightS');
    await fails(new RegExp(`'model.onnx' has sha256 ${sha256('weightS')}, expected ${sha256('weights')}`));
  });

  it('compares the size first', async () => {
    writeFileSync(join(directory, 'model.onnx'), 'weight');
    await fails(/'model.onnx' has 6 bytes, expected 7/);
  });

  it('refuses a listed file that is missing and a file that is not listed', async () => {
    writeFileSync(join(directory, 'golden/1.json'), '{}');
    await fails(/'golden\/1.json' is present but not listed/);
    rmSync(join(directory, 'golden'), { recursive: true });
    await fails(/'golden\/0.json' is listed but is not a file of this version/);
  });

  it('passes over signatures, and over what the caller says lies beside', async () => {
    writeFileSync(join(directory, 'manifest.json.sig'), '');
    writeFileSync(join(directory, 'config.yaml'), '');
    await fails(/'config.yaml' is present but not listed/);
    await verifyFiles(directory, manifest, ['config.yaml']);
  });

  it('refuses a link, even one to the right bytes', async () => {
    rmSync(join(directory, 'model.onnx'));
    writeFileSync(join(directory, 'elsewhere'), 'weights');
    symlinkSync('elsewhere', join(directory, 'model.onnx'));
    await fails(/'model.onnx' is a link or a device/);
  });
});

describe('nearest', () => {
  it('finds slips and leaves alone what is something else', () => {
    assert.equal(nearest('max_batchsize', ['max_batch_size', 'name']), 'max_batch_size');
    assert.equal(nearest('Name', ['max_batch_size', 'name']), 'name');
    assert.equal(nearest('colour', ['max_batch_size', 'name']), undefined);
    assert.equal(nearest('x'.repeat(100_000), ['name']), undefined);
  });
});
