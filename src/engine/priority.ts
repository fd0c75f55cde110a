/**
 * Priorities of threads, so that callers do not notice what is not for them.
 *
 *   nice 10      a thread that opens a version, where the process may raise it again afterwards
 *   nice 19      a background thread while it opens and warms, which must end on a busy machine as well
 *   SCHED_IDLE   a background thread while it serves: it runs when a core has nothing else to do, and gives way at once
 *
 * Nice 19 alone is not enough for the last: the scheduler lets such a thread finish a slice of milliseconds before a caller's
 * thread that woke up, whereas a core that runs nothing but SCHED_IDLE counts as idle. Node cannot ask for it, util-linux can
 * (`chrt`, part of every Debian); where it is missing, nice 19 stays.
 *
 * Must not know what is run.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';
import { basename } from 'node:path';

const chrtMs = 2000;
const { PRIORITY_BELOW_NORMAL, PRIORITY_LOW, PRIORITY_NORMAL } = constants.priority;
/** Bit of CAP_SYS_NICE. */
const sysNice = 23n;

/**
 * Whether a thread of this process that stood back may come forward again: by CAP_SYS_NICE, or by a limit on nice that
 * allows 0 (`ulimit -e 20`, `docker run --ulimit nice=20`).
 */
export function mayComeForward(): boolean {
  try {
    const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
    if ((BigInt(`0x${capabilities}`) >> sysNice) & 1n) return true;
    const limit = /^Max nice priority\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return Number(limit ?? 0) >= 20;
  } catch {
    // No /proc: not Linux, where nice is of the whole process.
    return false;
  }
}

let isAllowed: boolean | undefined;

/** Calls `start`; threads that are started in it stand back until they come forward by themselves, where they may. */
export function startingBehind<T>(start: () => T): T {
  isAllowed ??= mayComeForward() && getPriority() === PRIORITY_NORMAL;
  if (!isAllowed) return start();
  setPriority(PRIORITY_BELOW_NORMAL);
  try {
    return start();
  } finally {
    setPriority(PRIORITY_NORMAL);
  }
}

/** The end of `startingBehind`, called in the thread. */
export function comeForward(): void {
  if (getPriority() === PRIORITY_BELOW_NORMAL) setPriority(PRIORITY_NORMAL);
}

export function standBack(): void {
  setPriority(PRIORITY_LOW);
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
