/**
 * The files of a version in MLflow: where they lie, which one is the model, how their bytes come and go wrong.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { Refusal, type SecurityKind } from '../src/registry/refusal.js';
import type { Artifact, Source } from '../src/registry/source.js';
import type { MlflowSourceOptions } from '../src/registry/sources/mlflow.js';
import type { ArtifactPlace, ResumePoint } from '../src/registry/sources/mlflow-place.js';
import { FakeMlflow, type FakeOptions } from './servers/mlflow.js';
import { serverPath } from './servers/mlflow-artifacts.js';
import type { NewVersion } from './servers/mlflow-registry.js';
import { fileOf, read, sha256, sourceAt, start } from './servers/mlflow-source.js';

const { signal } = new AbortController();
const root = '1/models/a/artifacts';
const model = Buffer.from('a model of ONNX');
const mlmodel = 'flavors:\n  onnx:\n    data: model.onnx\n    onnx_version: 1.17.0\n';

let fake: FakeMlflow;
let url: URL;
const closing: (() => Promise<void>)[] = [];

async function launch(options: FakeOptions = {}): Promise<void> {
  fake = new FakeMlflow(options);
  url = await fake.listen();
  const launched = fake;
  closing.push(() => launched.close());
  fake.registry.createModel('fraud');
}

const closeAll = async () => {
  for (const close of closing.splice(0)) await close();
};
after(closeAll);
afterEach(closeAll);
beforeEach(() => launch());

function follow(options: Partial<MlflowSourceOptions> = {}): Source {
  const { source } = sourceAt(url, options);
  closing.push(() => source.close());
  return source;
}

/** A version with these files. */
function register(files: Readonly<Record<string, string | Buffer>>, given: Partial<NewVersion> = {}): void {
  for (const [path, body] of Object.entries(files)) fake.artifacts.put(`${root}/${path}`, body);
  fake.registry.createVersion('fraud', { source: `mlflow-artifacts:/${root}`, ...given });
}

const resolve = (options: Partial<MlflowSourceOptions> = {}, version = '1') =>
  follow(options).resolve('fraud', version, signal);

/** Nothing of what the server says about itself comes along, in the error or behind it. */
const isClean = (error: GatewayError) => !error.message.includes(serverPath) && error.message.length < 500;

const fails = (code: string, text: RegExp) => (error: unknown) =>
  error instanceof GatewayError && error.code === code && text.test(error.message) && isClean(error);

const refuses = (kind: SecurityKind, text: RegExp) => (error: unknown) =>
  error instanceof Refusal && error.kind === kind && text.test(error.message) && isClean(error);

const json = (value: unknown) => ({
  status: 200,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(value),
});

const listed = ({ files }: Artifact) => files.map(({ path, bytes }) => `${path} ${bytes}`);

describe('the files of a version', () => {
  it('are all that lie below its root, in directories, too', async () => {
    register({ MLmodel: mlmodel, 'model.onnx': model, 'weights/w.bin': 'w', 'weights/more/v.bin': 'vv' });
    const source = follow();
    const artifact = await source.resolve('fraud', '1', signal);
    assert.deepEqual(listed(artifact), ['MLmodel 63', 'model.onnx 15', 'weights/more/v.bin 2', 'weights/w.bin 1']);
    assert.equal(artifact.config, undefined);
    const listing = await source.list(signal);
    assert.equal(artifact.revision, listing!.models[0]!.versions[0]!.revision);
    assert.deepEqual(
      await read(await source.open(fileOf(artifact, 'weights/more/v.bin'), start, signal)),
      Buffer.from('vv'),
    );
  });

  it('do not have to be there yet: a version without any is incomplete', async () => {
    register({});
    await assert.rejects(resolve(), fails('UNAVAILABLE', /^model 'fraud' version '1': it has no artifacts/));
  });

  it('of a version that is gone are NOT_FOUND', async () => {
    register({ 'model.onnx': model });
    fake.registry.deleteVersion('fraud', '1');
    await assert.rejects(resolve(), fails('NOT_FOUND', /RESOURCE_DOES_NOT_EXIST/));
    await assert.rejects(resolve({}, '01'), fails('NOT_FOUND', /no version '01'/));
  });

  it('whose names climb or are no names refuse the version', async () => {
    register({ 'model.onnx': model });
    for (const path of ['../../etc/passwd', '..', 'a/b', '', 'nul\0', 'dot.', 'back\\slash']) {
      fake.misbehave(/artifacts\?path/, json({ files: [{ path, is_dir: false, file_size: 1 }] }));
      await assert.rejects(resolve(), refuses('traversal', /which is no file name/), JSON.stringify(path));
    }
  });

  it('are limited in number and depth', async () => {
    register({ 'model.onnx': model });
    const files = Array.from({ length: 10_001 }, (_, index) => ({ path: `f${index}`, is_dir: false }));
    fake.misbehave(/artifacts\?path/, json({ files }));
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /more than 10000 files/));
    fake.misbehave(/artifacts\?path/, json({ files: [{ path: 'd', is_dir: true }] }), 100);
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /more than 16 levels/));
    assert.ok(fake.asked(/artifacts\?path/).length < 25);
  });

  it('that are signatures are kept apart', async () => {
    register({
      'model.onnx': model,
      'manifest.json': '{}',
      'manifest.json.sig': '{}',
      'model.sig': '{}',
      'a.sigstore.json': '{}',
    });
    const { files, signatures } = await resolve();
    assert.deepEqual(
      files.map(({ path }) => path),
      ['manifest.json', 'model.onnx'],
    );
    assert.deepEqual(
      signatures.map(({ path }) => path),
      ['a.sigstore.json', 'manifest.json.sig', 'model.sig'],
    );
  });
});

describe('the model file', () => {
  const withModel = (text: string, files: Readonly<Record<string, string>> = { 'model.onnx': 'm' }) =>
    register({ MLmodel: text, ...files });

  it('is the one that MLmodel names, and a configuration says so', async () => {
    withModel('flavors: {onnx: {data: net.onnx}}', { 'net.onnx': 'n', 'model.onnx': 'm' });
    const { config } = await resolve();
    assert.deepEqual(config, { name: 'config.json', text: '{"default_model_filename":"net.onnx"}', labels: {} });
  });

  it('is model.onnx when MLmodel names none, or there is no MLmodel', async () => {
    withModel('flavors: {onnx: {onnx_version: 1.17.0}}');
    assert.equal((await resolve()).config, undefined);
    fake.artifacts.remove(`${root}/MLmodel`);
    assert.equal((await resolve()).config, undefined);
  });

  it('is the only one there is when nothing names it', async () => {
    register({ 'net.onnx': 'n' });
    assert.match((await resolve()).config!.text, /net\.onnx/);
    fake.artifacts.put(`${root}/other.onnx`, 'o');
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /several ONNX files at the top/));
  });

  it('is missed by name when MLmodel names one that is not there', async () => {
    withModel('flavors: {onnx: {data: net.onnx}}');
    await assert.rejects(resolve(), fails('UNAVAILABLE', /names 'net.onnx', which is not among the artifacts/));
  });

  it('must be at the top', async () => {
    withModel('flavors: {onnx: {data: sub/net.onnx}}', { 'sub/net.onnx': 'n' });
    await assert.rejects(
      resolve(),
      fails('FAILED_PRECONDITION', /'sub\/net.onnx' as its model, expected a file at the top/),
    );
  });

  it('of another kind is refused by the flavors it has', async () => {
    withModel('flavors: {python_function: {}, sklearn: {}}', { 'model.pkl': 'p' });
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /no ONNX files.* python_function, sklearn/));
  });

  it('is not looked for in an MLmodel that is broken, odd or too large', async () => {
    withModel('flavors: {onnx: {data: 3}}');
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /not a file name/));
    fake.artifacts.put(`${root}/MLmodel`, 'a: [');
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /not readable YAML/));
    const lines = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
    for (let n = 1; n < 9; n++)
      lines.push(
        `b${n}: &b${n} [${Array(10)
          .fill(n === 1 ? '*a' : `*b${n - 1}`)
          .join(',')}]`,
      );
    fake.artifacts.put(`${root}/MLmodel`, lines.join('\n'));
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /not readable YAML/));
    fake.artifacts.put(`${root}/MLmodel`, '#'.repeat(1024 * 1024 + 1));
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /more than 1048576 bytes/));
    fake.artifacts.put(`${root}/MLmodel`, `flavors: {onnx: {}}\n${'#'.repeat(1024 * 1024 - 20)}`);
    assert.ok(await resolve());
  });

  it('may bring its configuration, with the labels that it names', async () => {
    const config = 'output [{ name: "y" data_type: TYPE_FP32 dims: [2] label_filename: "labels.txt" }]';
    register({ 'model.onnx': 'm', 'config.pbtxt': config, 'labels.txt': 'legit\nfraud\n' });
    assert.deepEqual((await resolve()).config, {
      name: 'config.pbtxt',
      text: config,
      labels: { 'labels.txt': 'legit\nfraud\n' },
    });
  });
});

describe('digests', () => {
  const digest = sha256(model);
  const files = { MLmodel: mlmodel, 'model.onnx': model, 'conda.yaml': 'c', 'requirements.txt': 'r' };
  const stated = (artifact: Artifact) =>
    artifact.files.flatMap(({ path, sha256: one }) => (one === undefined ? [] : [`${path} ${one}`]));

  it('of single files come from tags of their own', async () => {
    const tags = { 'sluice.sha256.model.onnx': digest.toUpperCase(), 'sluice.sha256.w/w.bin': sha256('w'), other: 'x' };
    register({ ...files, 'w/w.bin': 'w' }, { tags });
    assert.deepEqual(stated(await resolve()), [`model.onnx ${digest}`, `w/w.bin ${sha256('w')}`]);
  });

  it('may be the tag sha256 when there is one file beside those of MLflow', async () => {
    register(files, { tags: { sha256: digest } });
    assert.deepEqual(stated(await resolve()), [`model.onnx ${digest}`]);
  });

  it('are nothing that the tag sha256 tells of several files', async () => {
    register({ ...files, 'w.bin': 'w' }, { tags: { sha256: digest } });
    assert.deepEqual(stated(await resolve()), []);
  });

  it('that are none, or are about other files, refuse the version', async () => {
    register(files, { tags: { sha256: 'none' } });
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /tag 'sha256' is not a sha256/));
    register(files, { tags: { 'sluice.sha256.other.onnx': digest } });
    await assert.rejects(
      resolve({}, '2'),
      fails('FAILED_PRECONDITION', /'sluice.sha256.other.onnx' is about a file that/),
    );
  });

  it('are not those of a byte that flipped on the way, and the source does not hide it', async () => {
    register(files, { tags: { sha256: digest } });
    const source = follow();
    const file = fileOf(await source.resolve('fraud', '1', signal), 'model.onnx');
    fake.misbehave(/artifacts\/.*model\.onnx/, 'flipped');
    assert.notEqual(sha256(await read(await source.open(file, start, signal))), file.sha256);
  });
});

describe('metrics', () => {
  it('are those of the version, or else those of its run', async () => {
    fake.registry.runs.set('r1', { artifactUri: 'x', metrics: { accuracy: 0.9 } });
    register({ 'model.onnx': model }, { runId: 'r1' });
    register({}, { runId: 'r1', metrics: { auc: 0.8 } });
    register({}, { runId: 'gone' });
    const metrics = async (version: string) => (await resolve({}, version)).facts.metrics;
    assert.deepEqual(await metrics('1'), { accuracy: 0.9 });
    assert.deepEqual(await metrics('2'), { auc: 0.8 });
    assert.deepEqual(await metrics('3'), {});
  });

  it('that never come do not hold up a resolve that was given up', async () => {
    register({ 'model.onnx': model }, { runId: 'r1' });
    fake.misbehave(/runs\/get/, 'hang');
    const pull = new AbortController();
    fake.before = (path) => {
      if (path.includes('runs/get')) setImmediate(() => pull.abort());
    };
    await assert.rejects(follow().resolve('fraud', '1', pull.signal));
  });
});

describe('artifacts may lie', () => {
  const files = { 'model.onnx': model };
  const at = (location: string) => register(files, { location, runId: 'r1' });

  const readAt = async (options: Partial<MlflowSourceOptions> = {}) => {
    const source = follow(options);
    const file = fileOf(await source.resolve('fraud', '1', signal), 'model.onnx');
    return read(await source.open(file, start, signal));
  };

  it('where get-download-uri says, whatever the source of the version is', async () => {
    register(files, { source: 'models:/m-123', location: `mlflow-artifacts:/${root}`, modelId: 'm-123' });
    assert.deepEqual(await readAt(), model);
  });

  it('behind the tracking server under its own name', async () => {
    at(`mlflow-artifacts://${url.host}/${root}`);
    assert.deepEqual(await readAt(), model);
  });

  it('behind the tracking server by its address', async () => {
    at(`${url.origin}/api/2.0/mlflow-artifacts/artifacts/${root}`);
    assert.deepEqual(await readAt(), model);
  });

  it('behind a prefix', async () => {
    await launch({ prefix: '/ml' });
    at(`mlflow-artifacts:/${root}`);
    assert.deepEqual(await readAt(), model);
  });

  it('on another host only if that is allowed, and it gets no credentials', async () => {
    const [tracking, trackingUrl] = [fake, url];
    await launch();
    const [other, otherUrl] = [fake, url];
    for (const path of Object.keys(files)) other.artifacts.put(`${root}/${path}`, model);
    [fake, url] = [tracking, trackingUrl];
    at(`mlflow-artifacts://${otherUrl.host}/${root}`);
    await assert.rejects(readAt(), refuses('address', /which is not the tracking server; see allow_hosts/));
    assert.equal(other.requests.length, 0);
    const credentials = { authorization: async () => 'Bearer token' };
    assert.deepEqual(await readAt({ allowHosts: [otherUrl.host], credentials }), model);
    assert.equal(tracking.requests.at(-1)!.headers.authorization, 'Bearer token');
    assert.ok(other.requests.length > 0);
    assert.deepEqual(
      other.requests.filter(({ headers }) => headers.authorization !== undefined),
      [],
    );
  });

  it('on another host by http only if that is allowed', async () => {
    at(`https://elsewhere.example/api/2.0/mlflow-artifacts/artifacts/${root}`);
    await assert.rejects(resolve(), refuses('address', /elsewhere.example/));
    at(`${url.origin}/files/model`);
    await assert.rejects(resolve({}, '2'), fails('FAILED_PRECONDITION', /not behind/));
  });

  it('with a run, or a logged model of MLflow 3, which one more call tells', async () => {
    await launch({ isThree: true });
    fake.registry.runs.set('r1', { artifactUri: 'mlflow-artifacts:/1/models', metrics: {} });
    fake.registry.loggedModels.set('m-1', `mlflow-artifacts:/${root}`);
    at('runs:/r1/a/artifacts');
    assert.deepEqual(await readAt(), model);
    fake.registry.version('fraud', '1').location = 'models:/m-1';
    assert.deepEqual(await readAt(), model);
    fake.registry.createModel('other');
    fake.registry.createVersion('other', { source: `mlflow-artifacts:/${root}` });
    fake.registry.version('fraud', '1').location = 'models:/other/1';
    assert.deepEqual(await readAt(), model);
    fake.registry.version('fraud', '1').location = 'models:/fraud/1';
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /from one registry entry to another/));
  });

  it('nowhere that climbs out of the route', async () => {
    at('mlflow-artifacts:/1/..%2f..%2fmlflow/registered-models');
    await assert.rejects(resolve(), refuses('traversal', /no plain path/));
  });

  it('in a bucket, if there is a place for buckets', async () => {
    at('s3://bucket/fraud/1');
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /s3:\/\/, for which no credentials/));
    const asked: string[] = [];
    const place: ArtifactPlace = {
      files: async () => [{ path: 'model.onnx', bytes: 15 }],
      open: async () => ({
        chunks: (async function* () {
          yield model;
        })(),
        offset: 0,
        bytes: 15,
        etag: '"e"',
      }),
    };
    const s3 = (uri: string) => {
      asked.push(uri);
      return place;
    };
    assert.deepEqual(await readAt({ s3 }), model);
    assert.deepEqual(asked, ['s3://bucket/fraud/1']);
  });

  it('nowhere that cannot be read from here, and the error names the scheme', async () => {
    const version = () => fake.registry.version('fraud', '1');
    at('gs://bucket/a');
    for (const scheme of ['gs', 'wasbs', 'abfss', 'dbfs', 'ftp', 'data', 'javascript']) {
      version().location = `${scheme}:/x`;
      await assert.rejects(
        resolve(),
        fails('FAILED_PRECONDITION', new RegExp(`are in ${scheme}:, which cannot be read`)),
      );
    }
  });
});

describe('a local folder', () => {
  let all: string;
  before(() => {
    all = realpathSync(mkdtempSync(join(tmpdir(), 'sluice-mlflow-')));
    mkdirSync(join(all, 'allowed/fraud'), { recursive: true });
    mkdirSync(join(all, 'other/fraud'), { recursive: true });
    for (const folder of ['allowed', 'other']) writeFileSync(join(all, folder, 'fraud/model.onnx'), model);
    symlinkSync(join(all, 'other/fraud'), join(all, 'allowed/way-out'));
    mkdirSync(join(all, 'allowed/linked'));
    symlinkSync(join(all, 'other/fraud/model.onnx'), join(all, 'allowed/linked/model.onnx'));
  });
  after(() => rmSync(all, { recursive: true }));

  const at = (location: string) => register({}, { location, runId: 'r1' });
  const fileRoots = () => [join(all, 'allowed')];

  it('is refused unless it is inside of an allowed one', async () => {
    at(join(all, 'allowed/fraud'));
    await assert.rejects(resolve(), refuses('address', /see allow_file/));
    assert.deepEqual(
      (await resolve({ fileRoots: fileRoots() })).files.map(({ path }) => path),
      ['model.onnx'],
    );
    for (const outside of ['other/fraud', 'allowed/way-out', 'allowed/../other/fraud']) {
      fake.registry.version('fraud', '1').location = `file://${all}/${outside}`;
      await assert.rejects(resolve({ fileRoots: fileRoots() }), refuses('address', /outside/), outside);
    }
    for (const odd of ['file://host/x', 'relative/path']) {
      fake.registry.version('fraud', '1').location = odd;
      await assert.rejects(resolve({ fileRoots: fileRoots() }), refuses('address', /absolute/), odd);
    }
  });

  it('with a link in it is refused', async () => {
    at(join(all, 'allowed/linked'));
    await assert.rejects(resolve({ fileRoots: fileRoots() }), refuses('traversal', /neither a plain file/));
  });

  it('gives bytes from where they were left, as long as the file is the same', async () => {
    at(`file://${join(all, 'allowed/fraud')}`);
    const source = follow({ fileRoots: fileRoots() });
    const file = fileOf(await source.resolve('fraud', '1', signal), 'model.onnx');
    const whole = await source.open(file, start, signal);
    assert.deepEqual([whole.offset, whole.bytes, await read(whole)], [0, 15, model]);
    const rest = await source.open(file, { offset: 8, etag: whole.etag }, signal);
    assert.deepEqual([rest.offset, await read(rest)], [8, model.subarray(8)]);
    const changing = await source.open(file, start, signal);
    writeFileSync(join(all, 'allowed/fraud/model.onnx'), 'another model of ONNX');
    await assert.rejects(read(changing), fails('UNAVAILABLE', /changed while it was read/));
    const again = await source.open(file, { offset: 8, etag: whole.etag }, signal);
    assert.deepEqual([again.offset, (await read(again)).toString()], [0, 'another model of ONNX']);
    rmSync(join(all, 'allowed/fraud/model.onnx'));
    await assert.rejects(source.open(file, start, signal), fails('FAILED_PRECONDITION', /no longer there/));
  });
});

describe('a proxied download', () => {
  const opened = async () => {
    register({ 'model.onnx': model });
    const source = follow();
    const file = fileOf(await source.resolve('fraud', '1', signal), 'model.onnx');
    return (from: ResumePoint = start, by = signal) => source.open(file, from, by);
  };
  const path = /artifacts\/.*model\.onnx/;

  it('starts from zero whatever is there already, and has its length from the listing', async () => {
    const open = await opened();
    const stream = await open({ offset: 5, etag: '"e"' });
    assert.deepEqual([stream.offset, stream.bytes, stream.etag], [0, 15, undefined]);
    assert.deepEqual(await read(stream), model);
    assert.equal(fake.asked(/get-artifact/).length, 0);
  });

  it('that is cut, too short or too long is a fault that may pass', async () => {
    const open = await opened();
    fake.misbehave(path, 'cut');
    await assert.rejects(async () => read(await open()), fails('UNAVAILABLE', /cut after 7 bytes/));
    fake.misbehave(path, 'short');
    await assert.rejects(
      async () => read(await open()),
      fails('UNAVAILABLE', /'model.onnx' ended after 7 bytes, expected 15/),
    );
    fake.misbehave(path, 'long');
    await assert.rejects(async () => read(await open()), fails('UNAVAILABLE', /goes on after/));
    assert.deepEqual(await read(await open()), model);
  });

  it('of a file that is gone says so without the words of the server, and not that the version is gone', async () => {
    const open = await opened();
    fake.artifacts.remove(`${root}/model.onnx`);
    const text = /'model.onnx' answered 500 INTERNAL_ERROR, for it is no longer there/;
    await assert.rejects(open(), fails('FAILED_PRECONDITION', text));
    assert.ok(fake.asked(path).length >= 5);
  });

  it('of what has become a directory is settled by the listing', async () => {
    const open = await opened();
    fake.artifacts.remove(`${root}/model.onnx`);
    fake.artifacts.put(`${root}/model.onnx/inside`, 'x');
    await assert.rejects(open(), fails('FAILED_PRECONDITION', /answered 500, for it is a directory by now/));
  });

  it('that fails at every try although the file is listed is not tried at every poll', async () => {
    const open = await opened();
    fake.misbehave(path, { status: 500, body: serverPath }, 7);
    await assert.rejects(open(), fails('FAILED_PRECONDITION', /answered 500 to every try/));
  });

  it('passes over faults that pass', async () => {
    const open = await opened();
    for (const status of [500, 503, 429]) fake.misbehave(path, { status });
    assert.deepEqual(await read(await open()), model);
  });

  it('that hangs, before or in the middle, ends with the signal', async () => {
    const open = await opened();
    for (const how of ['hang', 'slow'] as const) {
      fake.misbehave(path, how);
      const pull = new AbortController();
      fake.before = () => setImmediate(() => setImmediate(() => pull.abort()));
      await assert.rejects(async () => read(await open(start, pull.signal)), how);
    }
  });

  it('from a server that gives no artifacts out is refused for good, and says why', async () => {
    await launch({ servesArtifacts: false });
    register({});
    await assert.rejects(resolve(), fails('FAILED_PRECONDITION', /runs with --no-serve-artifacts/));
  });
});

describe('a large file', () => {
  const large = Buffer.alloc(8 * 1024 * 1024, 'sluice');
  const half = large.length >> 1;

  const opened = async (options: FakeOptions = {}, body = large) => {
    await launch(options);
    register({ 'model.onnx': body, 'second.bin': body });
    const source = follow();
    const artifact = await source.resolve('fraud', '1', signal);
    return (from: ResumePoint = start, path = 'model.onnx') => source.open(fileOf(artifact, path), from, signal);
  };

  it('goes on where it was cut', async () => {
    const open = await opened();
    const first = await open();
    assert.deepEqual([first.offset, first.bytes], [0, large.length]);
    assert.ok(first.etag);
    assert.equal((await read(first)).equals(large), true);
    const rest = await open({ offset: half, etag: first.etag });
    assert.deepEqual([rest.offset, rest.bytes, rest.etag], [half, large.length, first.etag]);
    assert.equal((await read(rest)).equals(large.subarray(half)), true);
    assert.equal(fake.requests.at(-1)!.headers['if-range'], first.etag);
  });

  it('is asked for with one byte once for a source', async () => {
    const open = await opened();
    for (const path of ['model.onnx', 'second.bin', 'model.onnx']) await read(await open(start, path));
    assert.deepEqual(
      fake.asked(/get-artifact/).map(({ headers }) => headers.range),
      ['bytes=0-0', undefined, undefined, undefined],
    );
  });

  it('starts over when it has changed', async () => {
    const open = await opened();
    const { etag } = await open();
    fake.artifacts.put(`${root}/model.onnx`, Buffer.alloc(large.length, 'another'));
    const again = await open({ offset: half, etag });
    assert.equal(again.offset, 0);
    assert.notEqual(again.etag, etag);
    assert.equal((await read(again)).subarray(0, 7).toString(), 'another');
  });

  it('that ends early is a fault that may pass', async () => {
    const open = await opened();
    await read(await open(start, 'second.bin'));
    fake.misbehave(/get-artifact.*model/, 'cut');
    await assert.rejects(async () => read(await open()), fails('UNAVAILABLE', /cut after|ended after/));
  });

  it('comes the other way from a server without ranges, or without the route', async () => {
    for (const ranges of ['ignored', 'absent'] as const) {
      const open = await opened({ ranges });
      const stream = await open({ offset: half, etag: '"e"' });
      assert.deepEqual([stream.offset, stream.etag], [0, undefined]);
      assert.equal((await read(stream)).equals(large), true);
      await read(await open(start, 'second.bin'));
      assert.equal(fake.asked(/get-artifact/).length, 1);
    }
  });

  it('begins at 8 MiB', async () => {
    const open = await opened({}, large.subarray(1));
    await read(await open());
    assert.equal(fake.asked(/get-artifact/).length, 0);
  });
});
