/**
 * Puts the calling thread behind all others, in two steps.
 *
 *   nice 19      while it opens and warms, which must end on a busy machine as well
 *   SCHED_IDLE   while it serves: it runs when a core has nothing else to do, and gives way the moment it has
 *
 * Nice 19 alone is not enough there: the scheduler lets such a thread finish a slice of milliseconds before a caller's thread
 * that woke up, whereas a core that runs nothing but SCHED_IDLE counts as idle. Node cannot ask for it, util-linux can (`chrt`,
 * part of every Debian); where it is missing, nice 19 stays.
 *
 * Must not know what is run.
 */
import { spawnSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { basename } from 'node:path';

const chrtMs = 2000;

export function standBack(): void {
  setPriority(constants.priority.PRIORITY_LOW);
}

/** @returns whether the kernel took it */
export function runOnlyWhenIdle(): boolean {
  try {
    const thread = basename(readlinkSync('/proc/thread-self'));
    return spawnSync('chrt', ['--idle', '--pid', '0', thread], { stdio: 'ignore', timeout: chrtMs }).status === 0;
  } catch {
    // No /proc: not Linux.
    return false;
  }
}
