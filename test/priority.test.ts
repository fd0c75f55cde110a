/** Priorities of threads: what the kernel says of them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

const priority = new URL('../src/engine/priority.js', import.meta.url).href;

/** The scheduling policy is field 41 of /proc/…/stat; 5 is SCHED_IDLE. */
function policyOf(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
}

test('a thread stands behind all others, and its process does not', {
  skip: process.platform !== 'linux',
}, async () => {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     const stat = () => require('node:fs').readFileSync('/proc/thread-self/stat', 'utf8');
     import(${JSON.stringify(priority)}).then(({ standBack, runOnlyWhenIdle }) => {
       standBack();
       const first = stat();
       parentPort.postMessage({ nice: require('node:os').getPriority(), first, taken: runOnlyWhenIdle(), second: stat() });
     });`,
    { eval: true },
  );
  const told = await new Promise<{ nice: number; first: string; taken: boolean; second: string }>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  await worker.terminate();
  assert.equal(told.nice, 19);
  assert.equal(policyOf(told.first), 0);
  // Without chrt nice 19 stays.
  if (process.env.CI) assert.equal(told.taken, true);
  assert.equal(policyOf(told.second), told.taken ? 5 : 0);
  assert.equal(policyOf(readFileSync('/proc/self/stat', 'utf8')), 0);
  assert.equal(getPriority(), 0);
});
