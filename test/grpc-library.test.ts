/** What holds for our own engine holds for the library's: the same tests, in a process of their own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const files = ['grpc-calls', 'grpc-infer', 'grpc-stream', 'grpc-server'];

test('every test of calls, streams and the listener passes on grpc-js', () => {
  const paths = files.map((file) => fileURLToPath(new URL(`./${file}.test.js`, import.meta.url)));
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout } = spawnSync(process.execPath, ['--test', '--test-concurrency=1', ...paths], {
    env: { ...env, SLUICE_TEST_GRPC_ENGINE: 'grpc-js' },
    encoding: 'utf8',
    timeout: 120_000,
  });
  const failed = stdout.split('\n').filter((line) => /^\s*not ok/.test(line));
  assert.deepEqual(failed, []);
  assert.equal(status, 0);
  assert.match(stdout, /^# pass [1-9]/m);
});
