/**
 * A process that owns a store and is to be killed: opens it, begins what it is told to, says where it is and stays there.
 *
 *   node store-child.js <path> pull <step>      stops at a step of the pull, or at `chunk` in the middle of a file
 *                              collect          stops when a version is half removed
 *                              open             opens, says so, and waits
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Store } from '../src/registry/store/store.js';
import { killedFiles } from './store-killed.js';
import { artifactOf, fakeSource, storeOptions } from './store-source.js';

const [path, what, step] = process.argv.slice(2) as [string, string, string | undefined];
const say = (message: string) => process.send!(message);
const never = new Promise<void>(() => {});
// The channel to the parent keeps the process alive while it stays where it is.
process.on('disconnect', () => process.exit(1));

async function pull(store: Store): Promise<void> {
  const files = killedFiles(async (from) => {
    if (step !== 'chunk' || from < 1024 * 1024) return;
    say('chunk');
    await never;
  });
  await store.pull(fakeSource(files), artifactOf(files), {
    onStep: async (at) => {
      if (at !== step) return;
      say(at);
      await never;
    },
  });
}

/** Says so as soon as a version has been moved away, and does not stop for it. */
async function collect(store: Store): Promise<void> {
  const collected = store.collect(new Set(), 0);
  while ((await readdir(join(path, 'incoming', 'trash'))).length === 0) await new Promise(setImmediate);
  say('collect');
  await collected;
}

try {
  const store = await Store.open(storeOptions(path, { keepVersions: 0, report: () => {} }));
  if (what === 'pull') await pull(store);
  else if (what === 'collect') await collect(store);
  else say('open');
} catch (error) {
  say((error as Error).message);
}
