/** Runs the transcript of README "A new version goes live": its commands in their order, and what each of them prints. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Server, startServer } from './server.js';
import { eventually, stateFor } from './versions-fixture.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const cli = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const run = promisify(execFile);

/** The commands of the transcript with what is shown below each. */
const steps = (/## A new version goes live[\s\S]*?```console\n([\s\S]*?)```/.exec(readme)?.[1] ?? '')
  .split(/^\$ /m)
  .slice(1)
  .map((text) => {
    const [command = '', ...output] = text.trimEnd().split('\n');
    return { command, output: output.join('\n') };
  });

/** Moments, the hash of a configuration (it counts the cores of the machine) and that of the log differ from run to run. */
function steady(text: string): string {
  return text
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'T')
    .replaceAll(/(local {3}[0-9a-f]{12}) {2}[0-9a-f]{12}/g, '$1  CONFIG')
    .replaceAll(/hash [0-9a-f]{64}/g, 'hash H')
    .replaceAll(/ +$/gm, '')
    .trim();
}

test('a new version goes live, and goes back, as the README shows', { timeout: 120_000 }, async (context) => {
  const state = stateFor(context);
  symlinkSync(join(root, 'models'), join(state.directory, 'models'));
  mkdirSync(join(state.directory, 'demo'), { recursive: true });
  let server: Server | undefined;
  context.after(() => server?.kill('SIGKILL'));
  const serve = 'node dist/src/cli.js serve --models demo &';
  assert.ok(steps.some(({ command }) => command === serve));
  assert.ok(steps.filter(({ output }) => output !== '').length >= 4);
  for (const { command, output } of steps) {
    if (command === serve) {
      server = await startServer({ models: join(state.directory, 'demo'), env: state.env });
      continue;
    }
    const asked = command.includes('audit verify') ? `--path ${state.audit}` : `--url ${server?.admin}`;
    const isAsking = command.includes('cli.js');
    const here = `${command.replace('dist/src/cli.js', cli)}${isAsking ? ` ${asked}` : ''}`;
    const runs = async () => {
      const { stdout } = await run('bash', ['-c', here], { cwd: state.directory });
      assert.equal(steady(stdout), steady(output), command);
    };
    // What is waited for by `sleep` may take longer here.
    if (command.startsWith('sleep')) await eventually(runs, 60_000);
    else await runs();
  }
  assert.equal((await server!.stop()).code, 0);
});
