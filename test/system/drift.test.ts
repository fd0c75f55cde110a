/**
 * Drift on a real server: a profile made by the command line ships with a version; traffic that is as it was says nothing,
 * traffic that has shifted is found within two windows, and so are values that are missing.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { DataQualityDocument } from '../../src/control/data-quality-document.js';
import type { ModelDriftDocument, VersionDriftDocument } from '../../src/control/model-drift-document.js';
import type { ModelSketchesDocument, RoleSketch } from '../../src/control/sketches-document.js';
import { freshDirectory, type Server, startServer } from './server.js';

const run = promisify(execFile);
const cli = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const shipped = fileURLToPath(new URL('../../../models/cancer/1', import.meta.url));

/** Uniform in [0, 1), the same in every run. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function normalOf(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

const columns = 30;
const means = Array.from({ length: columns }, (_, i) => 10 + i);

/** Rows whose columns are normal with σ = 1 around their means; the first `drifted` columns by 0.8 σ more. */
function rowsOf(count: number, random: () => number, drifted = 0): number[][] {
  return Array.from({ length: count }, () => means.map((mean, i) => mean + normalOf(random) + (i < drifted ? 0.8 : 0)));
}

function manifestOf(folder: string) {
  return JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
}

/** The shipped model without a profile of its own. @returns its folder */
function bareModel(models: string): string {
  const folder = join(models, 'cancer', '1');
  cpSync(shipped, folder, { recursive: true });
  const { profile, ...manifest } = manifestOf(folder);
  const files = manifest.files.filter(({ path }: { path: string }) => path !== profile);
  if (profile !== undefined) rmSync(join(folder, profile));
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, files }));
  return folder;
}

/** With a profile of normal rows, made by the command line from a CSV file. */
async function profiledModel(models: string, directory: string): Promise<void> {
  const folder = bareModel(models);
  const manifest = manifestOf(folder);
  const names = manifest.features.map(({ name }: { name: string }) => name);
  const rows = rowsOf(5000, randomOf(1));
  const csv = join(directory, 'train.csv');
  writeFileSync(csv, `${[names, ...rows].map((row) => row.join(',')).join('\n')}\n`);
  const profile = join(directory, 'profile.json');
  const held = join(directory, 'held-out.csv');
  const chance = randomOf(9);
  const labelled = Array.from({ length: 1000 }, () => {
    const score = chance();
    return [score, Number(chance() < score)].join(',');
  });
  writeFileSync(held, `score,truth\n${labelled.join('\n')}\n`);
  const args = [
    '--from',
    csv,
    '--labelled',
    held,
    '--label',
    'truth',
    '--model',
    'cancer',
    '--model-version',
    '1',
    '--out',
    profile,
  ];
  const made = await run(process.execPath, [
    ...[cli, 'profile', 'build', ...args],
    ...['--manifest', join(folder, 'manifest.json')],
  ]);
  assert.match(made.stdout, /5000 rows, features: 30 numeric, 2\d components of 30 features, a calibrated score/);
  const bytes = readFileSync(profile);
  writeFileSync(join(folder, 'profile.json'), bytes);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  manifest.files.push({ path: 'profile.json', size: bytes.length, sha256 });
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, profile: 'profile.json' }));
}

async function started(context: TestContext, directory: string, flags: readonly string[] = []): Promise<Server> {
  const server = await startServer({
    models: join(directory, 'models'),
    processes: 2,
    flags: ['--prediction-log-enabled', '--drift-minute-ms', '300', '--prediction-log-flush-ms', '20', ...flags],
    env: { SLUICE_PREDICTION_LOG_PATH: join(directory, 'log') },
  });
  context.after(() => server.kill('SIGKILL'));
  return server;
}

const perRequest = 25;

/** NaN cannot be written in JSON, so rows go as bytes. */
async function send(server: Server, rows: readonly (readonly number[])[]): Promise<void> {
  for (let at = 0; at < rows.length; at += perRequest) {
    const part = rows.slice(at, at + perRequest);
    const data = Buffer.from(Float32Array.from(part.flat()).buffer);
    const head = JSON.stringify({
      inputs: [
        {
          name: 'features',
          datatype: 'FP32',
          shape: [part.length, columns],
          parameters: { binary_data_size: data.length },
        },
      ],
    });
    const answer = await fetch(`${server.http}/v2/models/cancer/infer`, {
      method: 'POST',
      headers: { 'Inference-Header-Content-Length': String(head.length) },
      body: Buffer.concat([Buffer.from(head), data]),
    });
    assert.equal(answer.status, 200, await answer.text());
  }
}

async function driftOf(server: Server, query = ''): Promise<VersionDriftDocument> {
  const answer = await fetch(`${server.admin}/admin/models/cancer/drift${query}`);
  assert.equal(answer.status, 200);
  return ((await answer.json()) as ModelDriftDocument).versions[0]!;
}

/** Looks until it is so, or for half a minute. */
async function until(
  server: Server,
  isSo: (one: VersionDriftDocument) => boolean,
  query = '',
): Promise<VersionDriftDocument> {
  for (let look = 0; ; look++) {
    const one = await driftOf(server, query);
    if (isSo(one)) return one;
    assert.ok(look < 300, `still ${JSON.stringify({ ...one, report: one.report?.verdict })}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Sends rows and waits for the next window that is judged. What came after the end of its last minute is left for another. */
async function window(server: Server, rows: readonly (readonly number[])[]): Promise<VersionDriftDocument> {
  const before = (await driftOf(server)).windows_judged;
  await send(server, rows);
  return until(server, (one) => one.windows_judged > before);
}

const featureIn = (one: VersionDriftDocument, name: string) =>
  one.report!.features.find((feature) => feature.name === name)!;

test('a shift of 0.8 σ is an alert within two windows, traffic as it was is none, and missing values are found', async (context) => {
  const directory = freshDirectory(context);
  await profiledModel(join(directory, 'models'), directory);
  const server = await started(context, directory);
  const random = randomOf(2);
  const first = await driftOf(server);
  assert.deepEqual([first.status, first.baseline, first.windows_judged], ['insufficient_data', 'training', 0]);

  for (let i = 0; i < 3; i++) {
    const quiet = await window(server, rowsOf(600, random));
    assert.equal(quiet.status, 'ok');
    assert.equal(quiet.report!.drifted_weight_share, 0);
    assert.ok(quiet.report!.data_quality.every(({ fired }) => !fired));
  }
  assert.equal(
    server.log.find(({ msg }) => msg === 'drift.detected'),
    undefined,
  );

  let drifted = await window(server, rowsOf(600, random, 12));
  // The first one may have begun with rows from before the shift.
  while (drifted.status !== 'drift' && drifted.windows_judged < 6)
    drifted = await window(server, rowsOf(600, random, 12));
  assert.equal(drifted.status, 'drift');
  assert.deepEqual([featureIn(drifted, 'mean radius').state, featureIn(drifted, 'worst area').state], ['alert', 'ok']);
  assert.ok(drifted.report!.drifted_weight_share! >= 0.4 - 1e-9);
  const said = await server.line(({ msg }) => msg === 'drift.detected');
  assert.equal(said.model, 'cancer@1');

  const metrics = await (await fetch(`${server.admin}/metrics`)).text();
  assert.match(metrics, /^sluice_drift_state\{[^}]*family="features"[^}]*\} 2$/m);
  assert.match(metrics, /^sluice_drift_score\{[^}]*feature="mean radius",stat="psi_corrected"\} 0\.[0-9]+$/m);
  assert.match(metrics, /^sluice_drift_score\{[^}]*feature="reconstruction_error",stat="psi_corrected"\} /m);
  assert.match(metrics, /^sluice_quality_estimate\{[^}]*metric="accuracy"\} (0\.\d+|1)$/m);
  assert.match(metrics, /^sluice_drift_samples\{[^}]*\} [5-9][0-9][0-9]$/m);

  const page = join(directory, 'drift.html');
  const shown = await run(process.execPath, [cli, 'drift', 'cancer', '--url', server.admin, '--html', page]);
  assert.match(shown.stdout, /^cancer@1: drift; 40 % of the features by weight have drifted$/m);
  assert.match(shown.stdout, /^reconstruction_error \(multivariate\) +ok +ok/m);
  assert.match(
    shown.stdout,
    /^ESTIMATE of \d+ rows: accuracy \S+, precision \S+, recall \S+, f1 \S+ \(low is below \S+\)/m,
  );
  assert.match(shown.stdout, /^estimated without labels, .*not a change of the relation between inputs and labels$/m);
  assert.match(shown.stdout, /^mean radius +alert/m);
  assert.match(
    readFileSync(page, 'utf8'),
    /<title>Drift of cancer<\/title>[\s\S]*Features together[\s\S]*<svg[\s\S]*Estimated without labels/,
  );

  const holes = () =>
    rowsOf(600, random).map((row) => row.map((value, i) => (i === 29 && random() < 0.2 ? NaN : value)));
  const missingIn = (one: VersionDriftDocument) =>
    one.report!.data_quality.find(
      ({ feature, check }) => feature === 'worst fractal dimension' && check === 'missing',
    )!;
  let broken = await window(server, holes());
  const windowsMax = broken.windows_judged + 2;
  while (!missingIn(broken).fired && broken.windows_judged < windowsMax) broken = await window(server, holes());
  assert.ok(missingIn(broken).fired);
  assert.ok(Math.abs(missingIn(broken).value! - 0.2) < 0.1, `${missingIn(broken).value}`);
  await server.line(({ msg }) => msg === 'data_quality.detected');
  const asked = await fetch(`${server.admin}/admin/models/cancer/data-quality?version=1`);
  const [values] = ((await asked.json()) as DataQualityDocument).versions;
  assert.equal(values!.status, 'detected');
  assert.ok(values!.fired.includes('worst fractal dimension:missing'));
  if (values!.windows_judged === broken.windows_judged) assert.deepEqual(values!.checks, broken.report!.data_quality);

  const sent = 600 * broken.windows_judged;
  const lately = await until(server, ({ report }) => (report?.window.rows ?? 0) >= sent, '?window=24h');
  assert.equal(lately.report!.window.provisional, true);
  const counted = await (await fetch(`${server.admin}/admin/models/cancer/sketches?window=24h`)).json();
  const [{ role, window: span, features }] = (counted as ModelSketchesDocument).versions[0]!.roles as [RoleSketch];
  assert.deepEqual([role, span!.rows], ['primary', lately.report!.window.rows]);
  for (const { name, n, missing, invalid, counts } of features.filter(({ family }) => family === 'features')) {
    assert.equal(n + missing + invalid, span!.rows, name);
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      n,
      name,
    );
  }
  broken = await driftOf(server);
  assert.equal((await server.stop()).code, 0);

  const again = await started(context, directory);
  const kept = await driftOf(again);
  assert.equal(kept.windows_judged, broken.windows_judged);
  assert.ok(missingIn(kept).fired);
  assert.equal((await again.stop()).code, 0);
});

test('a version without a profile gets a provisional one of its first rows, the same in all processes', async (context) => {
  const directory = freshDirectory(context);
  bareModel(join(directory, 'models'));
  const server = await started(context, directory, ['--drift-warm-up-rows', '1000']);
  const random = randomOf(3);
  assert.equal((await driftOf(server)).status, 'warming_up');
  let one = await driftOf(server);
  for (let sent = 0; one.status === 'warming_up' && sent < 20; sent++) {
    await send(server, rowsOf(500, random));
    await new Promise((resolve) => setTimeout(resolve, 200));
    one = await driftOf(server);
  }
  assert.equal(one.baseline, 'live');
  const profiles = readdirSync(join(directory, 'log', 'profiles')).filter((file) => !file.endsWith('.watch.json'));
  assert.equal(profiles.length, 1, profiles.join(' '));
  for (let sent = 0; one.windows_judged === 0 && sent < 20; sent++) {
    await send(server, rowsOf(600, random));
    await new Promise((resolve) => setTimeout(resolve, 500));
    one = await driftOf(server);
  }
  assert.equal(one.status, 'ok');
  assert.deepEqual(
    one.report!.features.filter(({ family }) => family === 'outputs').map(({ name }) => name),
    ['prediction', 'score'],
  );
  const shown = await run(process.execPath, [cli, 'drift', 'cancer', '--url', server.admin]);
  assert.match(shown.stdout, /PROVISIONAL profile/);
  assert.equal((await server.stop()).code, 0);
});

test('a profile that cannot be read costs its version nothing but the comparison', async (context) => {
  const directory = freshDirectory(context);
  const folder = bareModel(join(directory, 'models'));
  const manifest = manifestOf(folder);
  const text = '{"profile_version": 1, "features": 7}';
  writeFileSync(join(folder, 'profile.json'), text);
  const sha256 = createHash('sha256').update(text).digest('hex');
  manifest.files.push({ path: 'profile.json', size: text.length, sha256 });
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, profile: 'profile.json' }));
  const server = await started(context, directory);
  const { status, reason } = await driftOf(server);
  assert.equal(status, 'no_reference');
  assert.match(reason, /profile\.json/);
  await send(server, rowsOf(25, randomOf(4)));
  assert.equal((await fetch(`${server.admin}/admin/models/cancer/drift?window=2y`)).status, 400);
  assert.equal((await fetch(`${server.admin}/admin/models/other/drift`)).status, 404);
  assert.equal((await server.stop()).code, 0);
});
