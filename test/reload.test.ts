/** A configuration that is read again: what would differ, what takes effect, and that a wrong one changes nothing. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { AuditLog } from '../src/audit/log.js';
import { loadConfig } from '../src/config/load.js';
import type { Config } from '../src/config/schema.js';
import { type LiveConfig, Reload } from '../src/control/reload.js';
import type { Log } from '../src/log.js';
import { freshDirectory } from './system/server.js';

const configOf = (text: string): Config => loadConfig({ file: { name: 'sluice.yaml', text } }).config;

async function reloadIn(context: { after(work: () => unknown): void }, first = '') {
  const directory = freshDirectory(context);
  const audit = await AuditLog.open({
    path: join(directory, 'audit'),
    fileBytesMax: 2 ** 20,
    now: () => 0,
    actor: 'test',
  });
  context.after(() => audit.close());
  const file = { text: first };
  const live: LiveConfig = { current: configOf(first) };
  const said: string[] = [];
  const takenUp: Config[] = [];
  const say = (message: string, fields: object = {}) => void said.push(`${message} ${JSON.stringify(fields)}`);
  const reload = new Reload({
    live,
    read: () => configOf(file.text),
    audit,
    log: { info: say, warn: say, error: say } as unknown as Log,
    contents: () => [],
    foresee: async (next) => {
      const change = { model: next.server.name, loads: ['2'], unloads: ['1'], champion: { from: '1', to: '2' } };
      return { models: [{ ...change, contract: null, memoryBytes: {} }], keys: [] };
    },
    takeUp: async (before) => void takenUp.push(before),
  });
  const entries = async () => (await audit.tail(10)).map(({ entry }) => entry);
  return { reload, file, live, said, takenUp, entries, audit };
}

test('a plan names every option that differs, whether it takes effect now, and what becomes of the models', async (context) => {
  const { reload, file, live, takenUp, entries } = await reloadIn(context);
  file.text = 'models: { version_policy: all }\nhttp: { port: 9000 }';
  const { options, models } = await reload.plan();
  assert.deepEqual(options, [
    { option: 'models.version_policy', from: { latest: { n: 1 } }, to: 'all', isLive: true },
    { option: 'http.port', from: 8000, to: 9000, isLive: false },
  ]);
  assert.deepEqual(models[0]!.loads, ['2']);
  assert.deepEqual([live.current.models.version_policy, takenUp, await entries()], [{ latest: { n: 1 } }, [], []]);
});

test('what is live is in force after an apply, and the rest waits for the next start and is said to', async (context) => {
  const { reload, file, live, takenUp, said, entries } = await reloadIn(context);
  const before = live.current;
  file.text = 'models: { version_policy: all, keep_previous_ms: 5 }\nhttp: { port: 9000 }\nlog: { level: debug }';
  await reload.apply('operator:test');
  assert.equal(live.current.models.version_policy, 'all');
  assert.equal(live.current.models.keep_previous_ms, 5);
  assert.equal(live.current.log.level, 'debug');
  assert.equal(live.current.http.port, 8000);
  assert.deepEqual(takenUp, [before]);
  assert.ok(said.includes('config.needs_restart {"option":"http.port"}'), said.join('\n'));
  const [entry] = await entries();
  assert.equal(entry!.action, 'config.applied');
  assert.equal(entry!.actor, 'operator:test');
  assert.deepEqual(entry!.detail.options, ['models.version_policy', 'models.keep_previous_ms', 'log.level']);
});

test('options of a single model are live', async (context) => {
  const { reload, file, live } = await reloadIn(context);
  file.text = 'model_overrides: { a: { max_batch_size: 8 } }';
  await reload.apply('test');
  assert.equal(live.current.model_overrides.a!.max_batch_size, 8);
});

test('a wrong configuration changes nothing, and why is said, thrown and written down', async (context) => {
  const { reload, file, live, takenUp, said, entries } = await reloadIn(context);
  const before = live.current;
  file.text = 'models: { version_polici: all }';
  await assert.rejects(reload.apply('system:file'), /version_polici.*did you mean|unknown.*version_polici/s);
  assert.equal(live.current, before);
  assert.deepEqual(takenUp, []);
  assert.match(said.join('\n'), /config\.refused .*version_polici/);
  const [entry] = await entries();
  assert.deepEqual([entry!.action, entry!.actor], ['config.refused', 'system:file']);
  assert.match(String(entry!.detail.reason), /version_polici/);
});

test('the same configuration again writes nothing down and takes nothing up', async (context) => {
  const { reload, takenUp, entries } = await reloadIn(context, 'log: { level: warn }');
  const { options } = await reload.apply('test');
  assert.deepEqual([options, takenUp, await entries()], [[], [], []]);
});

test('a port that may be any free one is no change, whichever it got', async (context) => {
  const { reload, file } = await reloadIn(context, 'http: { port: 34567 }\ngrpc: { port: 34568 }');
  file.text = 'http: { port: 0 }\ngrpc: { port: 0 }';
  assert.deepEqual((await reload.plan()).options, []);
});

test('a change that cannot be written down does not happen', async (context) => {
  const { reload, file, live, takenUp, audit } = await reloadIn(context);
  const before = live.current;
  await audit.close();
  file.text = 'models: { version_policy: all }';
  await assert.rejects(reload.apply('test'));
  assert.equal(live.current, before);
  assert.deepEqual(takenUp, []);
});

test('applies follow one another, and the last one counts', async (context) => {
  const { reload, file, live } = await reloadIn(context);
  file.text = 'models: { keep_previous_ms: 1 }';
  const first = reload.apply('test');
  file.text = 'models: { keep_previous_ms: 2 }';
  await Promise.all([first, reload.apply('test')]);
  assert.equal(live.current.models.keep_previous_ms, 2);
});
