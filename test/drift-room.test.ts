import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { driftText } from '../src/cli/drift.js';
import { loadConfig } from '../src/config/load.js';
import type { DriftEvent } from '../src/control/drift-events.js';
import { DriftRoom } from '../src/control/drift-room.js';
import type { JudgedSignals } from '../src/control/judged-signals.js';
import type { ClosedSketch } from '../src/core/closed-sketch.js';
import type { VersionSpec } from '../src/core/model.js';
import type { Log } from '../src/log.js';
import { buildProfile } from '../src/monitor/profile-build.js';
import { parseProfile, type ReferenceProfile } from '../src/monitor/profile-document.js';
import { Sketch } from '../src/monitor/sketch.js';
import { SketchLayout } from '../src/monitor/sketch-layout.js';

const id = { model: 'fraud', version: '7' };
const sha256 = 'ab'.repeat(32);
const columns = ['a', 'b', 'c'];
const profile = buildProfile({
  ...id,
  baseline: 'training',
  columns: [...columns, 'gone'].map((name) => ({ name, values: Array.from({ length: 5000 }, (_, i) => i) })),
});

interface Setting {
  readonly redact?: readonly { target: string; how: 'drop' | 'mask' }[];
  readonly path?: string;
}

function specIn(directory: string): VersionSpec {
  const features = columns.map((name, column) => {
    return { name, input: 'in', column, kind: 'numeric', weight: 1, isCritical: false };
  });
  const signature = { inputs: [{ name: 'in', datatype: 'FP32', shape: [-1, 3] }], outputs: [] };
  const artifact = { source: 'local', revision: '', sha256 };
  return {
    id,
    directory,
    profile: 'profile.json',
    features,
    signature,
    labels: {},
    artifact,
  } as unknown as VersionSpec;
}

function opened(context: TestContext, { redact = [], path }: Setting = {}) {
  context.mock.timers.enable({ apis: ['setInterval'] });
  const folder = path ?? mkdtempSync(join(tmpdir(), 'sluice-drift-'));
  if (path === undefined) context.after(() => rmSync(folder, { recursive: true, force: true }));
  const { config } = loadConfig({ flags: {}, env: {}, file: undefined } as never);
  const clock = { ms: 60_000_000 };
  const events: DriftEvent[] = [];
  const looks: JudgedSignals[] = [];
  const lines: string[] = [];
  const say = (event: string) => void lines.push(event);
  const log = { debug: say, info: say, warn: say, error: say } as unknown as Log;
  const prediction_log = { ...config.prediction_log, enabled: true, path: folder, redact: { fraud: redact } };
  const room = DriftRoom.open({
    config: { drift: config.drift, prediction_log } as never,
    log,
    epochMs: () => 1.7e12 + clock.ms,
    now: () => clock.ms,
    onChange: (event) => events.push(event),
    onJudged: (judged) => looks.push(judged),
  })!;
  const pass = (ms: number) => {
    clock.ms += ms;
    context.mock.timers.tick(1000);
  };
  let number = 0;
  /** A closed minute of 600 rows, the first feature as `first` makes it. */
  const minute = (first: (i: number) => number, more: Partial<ClosedSketch> = {}): ClosedSketch => {
    const layout = new SketchLayout(parseProfile(readFileSync(join(folder, 'profiles', profileName), 'utf8')));
    const sketch = new Sketch(layout);
    for (let i = 0; i < 600; i++) {
      const value = (i * 5000) / 600;
      for (let feature = 0; feature < layout.features.length; feature++) {
        sketch.addNumber(feature, layout.features[feature]!.name === 'a' ? first(value) : value);
      }
    }
    sketch.addRows(600);
    const fromMs = 1.7e12 + clock.ms;
    const counts = { number: ++number, fromMs, observed: 600, dropped: 0, buffer: sketch.buffer };
    return { key: '1/primary', ...id, artifactSha256: sha256, role: 'primary', ...counts, ...more };
  };
  const judged = (first: (i: number) => number) => {
    room.take('1.1', [minute(first)]);
    pass(60_000);
  };
  /** A window as ever, with more that `add` counts. */
  const take = (add: (sketch: Sketch) => void) => {
    const part = minute(asEver);
    const layout = new SketchLayout(parseProfile(readFileSync(join(folder, 'profiles', profileName), 'utf8')));
    add(new Sketch(layout, part.buffer));
    room.take('1.1', [part]);
    pass(60_000);
  };
  return { room, folder, clock, events, looks, lines, pass, minute, judged, take };
}

const profileName = `fraud@7-${sha256.slice(0, 12)}.json`;

function withProfile(context: TestContext, more: Partial<ReferenceProfile> = {}): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-drift-'));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, 'profile.json'), JSON.stringify({ ...profile, ...more }));
  return directory;
}

const asEver = (value: number) => value;
const shifted = (value: number) => value / 4;

function shown(room: DriftRoom) {
  const one = room.document('fraud', undefined, 'judged').versions[0]!;
  return { ...one, states: Object.fromEntries(one.report?.features.map(({ name, state }) => [name, state]) ?? []) };
}

test('two windows of shifted rows raise one event, three quiet ones resolve it', (context) => {
  const { room, events, lines, judged } = opened(context);
  room.learn(specIn(withProfile(context)));
  assert.equal(shown(room).status, 'insufficient_data');
  judged(asEver);
  assert.equal(shown(room).status, 'ok');
  judged(shifted);
  assert.deepEqual([shown(room).status, events.length], ['ok', 0]);
  judged(shifted);
  assert.equal(shown(room).status, 'drift');
  assert.deepEqual(shown(room).states, { a: 'alert', b: 'ok', c: 'ok' });
  assert.deepEqual(
    events.map(({ type, subject, data }) => [type, subject, data.level]),
    [['io.sluice.drift.detected', 'fraud@7', 'alert']],
  );
  for (let i = 0; i < 3; i++) judged(asEver);
  assert.deepEqual(shown(room).states, { a: 'ok', b: 'ok', c: 'ok' });
  assert.equal(events.at(-1)!.type, 'io.sluice.drift.resolved');
  assert.deepEqual(lines, ['drift.profile', 'drift.detected', 'drift.resolved']);
  room.close();
});

test('values that are missing raise an event of their own', (context) => {
  const { room, events, judged } = opened(context);
  room.learn(specIn(withProfile(context)));
  const holes = (value: number) => (value % 5 < 2 ? NaN : value);
  judged(holes);
  judged(holes);
  const [event] = events.filter(({ type }) => type === 'io.sluice.data_quality.detected');
  assert.deepEqual(
    (event!.data.checks as { feature: string; check: string }[]).map(({ feature, check }) => [feature, check]),
    [['a', 'missing']],
  );
  room.close();
});

test('every judged window says what it found, drifted or not, so that a policy can count windows', (context) => {
  const { room, looks, judged } = opened(context);
  room.learn(specIn(withProfile(context)));
  for (const first of [asEver, shifted, shifted, shifted, asEver, asEver, asEver]) judged(first);
  const shares = looks.map(({ signals }) => Math.round(100 * signals.driftShare!));
  assert.deepEqual(shares, [0, 0, 33, 33, 33, 33, 0]);
  const { version, artifact_sha256, features, query } = looks[2]!.facts as Record<string, unknown>;
  assert.deepEqual([looks[2]!.model, version, artifact_sha256], ['fraud', '7', sha256]);
  assert.deepEqual(
    (features as { feature: string; state: string }[]).map(({ feature, state }) => [feature, state]),
    [['a', 'alert']],
  );
  assert.match(String(query), /^SELECT \* FROM predictions WHERE model = 'fraud' AND version = '7'/);
  assert.ok(looks.every(({ signals }) => signals.cbpe === undefined));
  room.close();
});

test('scores that are less sure than those of the reference lower the estimate, which alerts as an estimate', (context) => {
  const { room, events, looks, lines, folder, take } = opened(context);
  const chunks = [0.89, 0.91, 0.9, 0.9, 0.92, 0.88, 0.9, 0.9, 0.91, 0.89];
  const more = { calibration: { x: [0, 1], y: [0, 1] }, performance: { accuracy: 0.9, n: 1000, chunks } };
  const semantics = { task: 'binary', score: undefined, threshold: 0.5 };
  room.learn({ ...specIn(withProfile(context, more)), semantics } as VersionSpec);
  /** 600 rows, half of either class, of which each is right with the chance `sure`. */
  const scored = (sure: number) =>
    take((sketch) => {
      for (let i = 0; i < 600; i++) sketch.addExpected(i % 2 === 0 ? sure : 1 - sure, i % 2 === 0);
    });
  scored(0.9);
  const { report } = room.document('fraud', '7', 'judged').versions[0]!;
  assert.deepEqual([report!.estimate!.n, report!.estimate!.fired], [600, false]);
  assert.ok(Math.abs(report!.estimate!.accuracy! - 0.9) < 1e-9);
  assert.match(report!.estimate!.assumption, /not a change of the relation/);
  scored(0.7);
  assert.equal(events.length, 0);
  scored(0.7);
  assert.deepEqual(
    events.map(({ type, data }) => [type, data.is_estimate, data.dedup_key]),
    [['io.sluice.quality.degraded', true, 'estimate:fraud@7']],
  );
  assert.ok(lines.includes('quality.estimate.degraded'));
  assert.deepEqual(
    looks.map(({ signals }) => signals.cbpe),
    ['ok', 'ok', 'alert'],
  );
  const gauges = new Map(room.families().map(({ name, series }) => [name, series]));
  const valuesOf = (name: string) =>
    gauges.get(name)!.map(({ labels, ...rest }) => [labels.metric, (rest as unknown as { value: number }).value]);
  assert.deepEqual(valuesOf('sluice_quality_estimate_degraded'), [[undefined, 1]]);
  const accuracy = valuesOf('sluice_quality_estimate').find(([metric]) => metric === 'accuracy')![1] as number;
  assert.ok(Math.abs(accuracy - 0.7) < 1e-9);
  const text = driftText(room.document('fraud', undefined, 'judged'));
  assert.match(text, /^ESTIMATE of 600 rows: accuracy 0\.7, precision .*; LOW in two windows in a row$/m);
  assert.match(text, /^estimated without labels, .*not a change of the relation between inputs and labels$/m);
  for (let i = 0; i < 3; i++) scored(0.9);
  assert.equal(events.at(-1)!.type, 'io.sluice.quality.recovered');
  scored(0.7);
  room.close();
  context.mock.timers.reset();
  const again = opened(context, { path: folder });
  again.room.learn({ ...specIn(withProfile(context, more)), semantics } as VersionSpec);
  again.take((sketch) => {
    for (let i = 0; i < 600; i++) sketch.addExpected(0.5, true);
  });
  assert.equal(again.events.length, 1, 'a restart keeps the window before');
  again.room.close();
});

test('gauges show the last window', (context) => {
  const { room, judged } = opened(context);
  room.learn(specIn(withProfile(context)));
  judged(shifted);
  judged(shifted);
  const valuesOf = (name: string) =>
    room
      .families()
      .find((family) => family.name === name)!
      .series.map(({ labels, ...rest }) => [
        Object.values(labels).slice(2).join(' '),
        (rest as unknown as { value: number }).value,
      ]);
  assert.deepEqual(valuesOf('sluice_drift_state'), [['features', 2]]);
  assert.deepEqual(valuesOf('sluice_drift_samples'), [['', 600]]);
  const scores = new Map(valuesOf('sluice_drift_score') as [string, number][]);
  assert.ok(scores.get('a psi_corrected')! > 0.25 && scores.get('b psi_corrected')! < 0.1);
  assert.ok(scores.get('a p_adjusted')! < 0.05);
  assert.ok(valuesOf('sluice_data_quality_ratio').some(([labels]) => labels === 'a missing'));
  room.close();
});

test('a minute that comes twice counts once, of each life of a process', (context) => {
  const { room, minute } = opened(context);
  room.learn(specIn(withProfile(context)));
  const part = minute(asEver);
  room.take('1.1', [part]);
  room.take('1.1', [part]);
  assert.equal(shown(room).roles[0]!.open_rows, 600);
  room.take('2.1', [part]);
  assert.equal(shown(room).roles[0]!.open_rows, 1200);
  room.close();
});

test('what other roles saw is counted and judges nothing', (context) => {
  const { room, minute, pass } = opened(context);
  room.learn(specIn(withProfile(context)));
  room.take('1.1', [minute(shifted, { key: '1/shadow', role: 'shadow' })]);
  pass(60_000);
  const one = shown(room);
  assert.deepEqual([one.windows_judged, one.roles.map(({ role }) => role)], [0, ['primary', 'shadow']]);
  room.close();
});

test('a sketch of another profile is left out, and said', (context) => {
  const { room, minute, lines } = opened(context);
  room.learn(specIn(withProfile(context)));
  const other = new SketchLayout(
    buildProfile({ ...id, baseline: 'training', columns: [{ name: 'a', values: [1, 2] }] }),
  );
  room.take('1.1', [minute(asEver, { buffer: new Sketch(other).buffer })]);
  assert.equal(lines.at(-1), 'drift.sketch');
  assert.equal(shown(room).roles[0]!.open_rows, 0);
  room.close();
});

test('a restart keeps windows, states and the past', (context) => {
  const directory = withProfile(context);
  const first = opened(context);
  first.room.learn(specIn(directory));
  first.judged(shifted);
  first.judged(shifted);
  first.room.take('1.1', [first.minute(asEver)]);
  first.room.close();
  context.mock.timers.reset();
  const second = opened(context, { path: first.folder });
  second.room.learn(specIn(directory));
  const one = shown(second.room);
  assert.deepEqual([one.status, one.windows_judged, one.roles[0]!.open_rows], ['drift', 2, 600]);
  const past = second.room.document('fraud', '7', { unit: 'day', count: 1 }).versions[0]!.report!;
  assert.deepEqual([past.window.rows, past.window.provisional], [1800, true]);
  second.room.close();
});

test('a file that was damaged costs only the past', (context) => {
  const directory = withProfile(context);
  const first = opened(context);
  first.room.learn(specIn(directory));
  first.judged(asEver);
  first.room.close();
  context.mock.timers.reset();
  const folder = join(first.folder, 'sketches');
  const [file] = readdirSync(folder);
  const bytes = readFileSync(join(folder, file!));
  writeFileSync(join(folder, file!), bytes.subarray(0, bytes.length / 2));
  const second = opened(context, { path: first.folder });
  second.room.learn(specIn(directory));
  assert.deepEqual([shown(second.room).windows_judged, shown(second.room).status], [0, 'insufficient_data']);
  second.room.close();
});

test('what a rule drops is not watched, and features that the version does not declare are not either', (context) => {
  const { room, folder } = opened(context, {
    redact: [
      { target: 'b', how: 'drop' },
      { target: 'c', how: 'mask' },
    ],
  });
  room.learn(specIn(withProfile(context)));
  const kept = parseProfile(readFileSync(join(folder, 'profiles', profileName), 'utf8'));
  assert.deepEqual(Object.keys(kept.features), ['a', 'c']);
  room.close();
});

test('a version that is closed is forgotten a little later, one with other content at once replaced', (context) => {
  const { room, pass } = opened(context);
  const spec = specIn(withProfile(context));
  room.learn(spec);
  room.forget(id);
  pass(60_000);
  assert.equal(shown(room).version, '7');
  pass(600_000);
  assert.throws(() => shown(room), /model 'fraud' is not served/);
  room.learn(spec);
  room.learn({ ...spec, artifact: { source: 'local', revision: '', sha256: 'cd'.repeat(32) } });
  const { versions } = room.document('fraud', undefined, 'judged');
  assert.deepEqual(
    versions.map((one) => one.sha256),
    ['cd'.repeat(32)],
  );
  room.close();
});
