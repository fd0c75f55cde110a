/**
 * The clock of the machine is set forward and back by hours while versions come and requests are answered. Row F26 of the list
 * of faults: what waits and what is due goes by a clock that does not jump.
 */
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeRepository } from '../fixtures.js';
import { skipWithout } from '../servers/debian.js';
import { startLoad } from './load.js';
import { freshDirectory, startServer } from './server.js';
import { auditEntries, eventually, isAnsweredBy, rowBody, sluice, stateFor, wholeVersion } from './versions-fixture.js';

const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
const library = `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`;
const skip = skipWithout([library], 'faketime');

test('versions come and requests are answered while the clock steps an hour forward and two back', {
  skip,
  timeout: 90_000,
}, async (context) => {
  const state = stateFor(context);
  const clock = join(state.directory, 'clock');
  // Replaced as a whole: the library reads it at every look at the clock.
  const step = (offset: string) => {
    writeFileSync(`${clock}.new`, offset);
    renameSync(`${clock}.new`, clock);
  };
  step('+0');
  const models = writeRepository(freshDirectory(context), { m: { versions: { 1: wholeVersion(1) } } });
  const server = await startServer({
    models,
    env: {
      ...state.env,
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: clock,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    flags: ['--models-poll-ms', '300', '--models-keep-previous-ms', '500', '--models-guard-ms', '0'],
  });
  context.after(() => server.kill('SIGKILL'));
  const body = JSON.stringify({ ...JSON.parse(rowBody), parameters: { timeout: 5_000_000 } });
  const load = startLoad({ url: `${server.http}/v2/models/m/infer`, body, clients: 2 });
  const times: string[] = [];
  const takesOver = async (version: number) => {
    writeRepository(models, { m: { versions: { [version]: wholeVersion(version) } } });
    await isAnsweredBy(server, 'm', String(version));
    const published = (await auditEntries(server, 'version.published')).at(-1) as unknown as { ts: string };
    times.push(published.ts);
    const before = load.answered();
    await eventually(() => assert.ok(load.answered() > before + 50));
  };
  await takesOver(2);
  step('+1h');
  await takesOver(3);
  step('-1h');
  await takesOver(4);
  const { failures } = await load.stop();
  assert.deepEqual(failures, []);
  const [now, later, earlier] = times.map((time) => Date.parse(time)) as [number, number, number];
  assert.ok(later - now > 3_000_000 && now - earlier > 3_000_000, `the clock did not step: ${times.join(', ')}`);
  assert.equal(server.log.filter(({ msg }) => msg === 'gateway.exit').length, 0, 'nobody was taken for hung');
  assert.equal((await server.stop()).code, 0);
  const whole = await sluice('audit', 'verify', '--path', state.audit);
  assert.equal(whole.code, 0, whole.stdout);
});
