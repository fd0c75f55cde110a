/**
 * Listing a folder of models: what counts as one, in which order, and that what does not is reported.
 *
 * Must not know what is in the files.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { listDirectory } from '../src/registry/sources/directory.js';
import { writeRepository } from './fixtures.js';

const all = realpathSync(mkdtempSync(join(tmpdir(), 'sluice-directory-')));
after(() => rmSync(all, { recursive: true }));

let root = all;
let roots = 0;
beforeEach(() => {
  root = join(all, `models${roots++}`);
  mkdirSync(root);
});

function put(...files: string[]): void {
  for (const file of files) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), '');
  }
}

const names = async () => {
  const { models } = await listDirectory(root);
  return models.map(({ name, versions }) => `${name}: ${versions.map(({ version }) => version).join(' ')}`);
};

const ignored = async () => (await listDirectory(root)).ignored;

const refuses = (bareName: string | undefined, code: string, reason: RegExp, directory = root) =>
  assert.rejects(
    listDirectory(directory, bareName),
    (error) => error instanceof GatewayError && error.code === code && reason.test(error.message),
  );

describe('a Triton tree', () => {
  it('gives models by name and versions by number: 10 after 9', async () => {
    put('b/1/model.onnx', 'a/10/model.onnx', 'a/9/model.onnx', 'a/2/model.onnx');
    assert.deepEqual(await names(), ['a: 2 9 10', 'b: 1']);
  });

  it('says where everything lies', async () => {
    put('a/3/model.onnx', 'a/config.pbtxt');
    assert.deepEqual(await listDirectory(root), {
      models: [
        {
          name: 'a',
          directory: join(root, 'a'),
          configFile: join(root, 'a/config.pbtxt'),
          versions: [{ version: '3', directory: join(root, 'a/3'), file: 'model.onnx' }],
        },
      ],
      ignored: [],
    });
  });

  it('passes over directories that are no version, and says so', async () => {
    put('a/1/model.onnx', 'a/02/model.onnx', 'a/labels/model.onnx', 'a/0/model.onnx', 'a/7/other.txt', 'a/readme.md');
    assert.deepEqual(await names(), ['a: 1']);
    assert.deepEqual(await ignored(), [
      'a/02: not a version number (digits, not starting with 0)',
      'a/0: not a version number (digits, not starting with 0)',
      'a/7: no model.onnx',
      'a/labels: not a version number (digits, not starting with 0)',
    ]);
  });

  it('passes over what is no model, and says so; files and hidden directories need no word', async () => {
    put(
      'a/1/model.onnx',
      '.git/1/model.onnx',
      'README.md',
      'empty/config.pbtxt',
      'sta ts/1/model.onnx',
      'stats/1/model.onnx',
    );
    assert.deepEqual(await names(), ['a: 1']);
    assert.deepEqual(await ignored(), [
      'empty: no version directory with a model.onnx',
      'sta ts: not a model name (1 to 128 letters, digits, . _ -)',
      'stats: not a model name (1 to 128 letters, digits, . _ -)',
    ]);
  });

  it('takes the only other ONNX file when there is no model.onnx, for a configuration may name it', async () => {
    put('a/1/net.onnx', 'b/1/x.onnx', 'b/1/y.onnx', 'c/1/model.onnx', 'c/1/y.onnx');
    const { models } = await listDirectory(root);
    assert.deepEqual(
      models.map(({ name, versions }) => [name, versions[0]!.file]),
      [
        ['a', 'net.onnx'],
        ['c', 'model.onnx'],
      ],
    );
  });

  it('prefers config.yaml to config.json to config.pbtxt and reports the others', async () => {
    put('a/1/model.onnx', 'a/config.pbtxt', 'a/config.json', 'a/config.yaml');
    const { models, ignored } = await listDirectory(root);
    assert.equal(models[0]!.configFile, join(root, 'a/config.yaml'));
    assert.deepEqual(ignored, [
      'a/config.json: config.yaml counts instead',
      'a/config.pbtxt: config.yaml counts instead',
    ]);
  });

  it('follows links that stay inside and no others', async () => {
    put('a/1/model.onnx');
    mkdirSync(join(all, 'outside/1'), { recursive: true });
    writeFileSync(join(all, 'outside/1/model.onnx'), '');
    symlinkSync('a', join(root, 'inner'));
    symlinkSync('1', join(root, 'a/2'));
    symlinkSync(join(all, 'outside'), join(root, 'outer'));
    symlinkSync(join(all, 'outside/1'), join(root, 'a/3'));
    symlinkSync(root, join(root, 'a/4'));
    symlinkSync('nowhere', join(root, 'a/5'));
    mkdirSync(join(root, 'a/6'));
    symlinkSync(join(all, 'outside/1/model.onnx'), join(root, 'a/6/model.onnx'));
    const { models, ignored } = await listDirectory(root);
    assert.deepEqual(
      models.map(({ name, versions }) => [name, versions.map((version) => version.directory)]),
      [
        ['a', [join(root, 'a/1'), join(root, 'a/1')]],
        ['inner', [join(root, 'a/1'), join(root, 'a/1')]],
      ],
    );
    assert.deepEqual(
      new Set(ignored),
      new Set([
        'a/3: a link that leads out of the models directory',
        'a/4: a link that leads out of the models directory',
        'a/5: a link that leads nowhere (ENOENT)',
        'a/6/model.onnx: a link that leads out of the models directory',
        'a/6: no model.onnx',
        'outer: a link that leads out of the models directory',
      ]),
    );
  });

  it('may be empty', async () => assert.deepEqual(await listDirectory(root), { models: [], ignored: [] }));

  it('may itself be a link', async () => {
    put('a/1/model.onnx');
    symlinkSync(root, `${root}-link`);
    const { models } = await listDirectory(`${root}-link`);
    assert.equal(models[0]!.directory, join(root, 'a'));
  });

  it('of a thousand models is listed whole, in order', async () => {
    const bytes = Buffer.alloc(1);
    const model = (index: number) => `model-${String(index).padStart(4, '0')}`;
    writeRepository(root, Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [model(index), bytes])));
    const { models } = await listDirectory(root);
    assert.deepEqual(
      models.map(({ name }) => name),
      Array.from({ length: 1000 }, (_, index) => model(index)),
    );
  });
});

describe('a bare model', () => {
  it('is version 1, under the name given or that of its folder', async () => {
    put('model.onnx', 'config.json', 'other/1/model.onnx');
    const { models } = await listDirectory(root, 'mine');
    assert.deepEqual(models, [
      {
        name: 'mine',
        directory: root,
        configFile: join(root, 'config.json'),
        versions: [{ version: '1', directory: root, file: 'model.onnx' }],
      },
    ]);
    assert.match((await listDirectory(root)).models[0]!.name, /^models\d+$/);
  });

  it('needs a name that can be one', async () => {
    put('model.onnx');
    await refuses('not a name', 'FAILED_PRECONDITION', /'not a name' cannot be the name of the model/);
  });
});

describe('a models directory', () => {
  it('that does not exist, or is a file, is refused by name', async () => {
    await refuses(undefined, 'NOT_FOUND', /models directory '.*gone' does not exist/, join(root, 'gone'));
    put('file');
    await refuses(undefined, 'FAILED_PRECONDITION', /'.*file' is not a directory/, join(root, 'file'));
  });
});
