/** Runs what the README shows: each command whose output it prints, against a server like the one of its first command. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startServer } from './server.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const run = promisify(execFile);

/** Every block of commands that is followed by a block of output. */
const examples = [...readme.matchAll(/```sh\n([^`]+)```\n```\n([^`]+)```/g)].map((match) => ({
  command: match[1]!.trim(),
  output: match[2]!.trim(),
}));

/** Times differ from run to run; everything else may not. */
const withoutTimes = (text: string) => text.replaceAll(/\d+(\.\d+)? ms/g, '… ms').trim();

test('the README shows commands with their output', () => {
  assert.ok(examples.length >= 4, `found ${examples.length}`);
});

test('what the README shows is what happens', async (context) => {
  const server = await startServer({ models: join(root, 'models') });
  context.after(() => server.kill('SIGKILL'));
  for (const { command, output } of examples) {
    const here = command
      .replaceAll('localhost:8000', new URL(server.http).host)
      .replace(/cli\.js models$/, `cli.js models --url ${server.admin}`)
      .replace(/(cli\.js infer .*)$/, `$1 --url ${server.http}`);
    const { stdout } = await run('bash', ['-c', here], { cwd: root });
    assert.equal(withoutTimes(stdout), withoutTimes(output), command);
  }
  assert.equal((await server.stop()).code, 0);
});

test('files that the README links to are there', () => {
  for (const [, target] of readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
    assert.doesNotThrow(() => readFileSync(join(root, target!)), target);
  }
});
