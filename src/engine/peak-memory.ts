/**
 * The highest resident memory of this process, within a time that somebody begins.
 *
 * Where the system does not let a peak be forgotten it is the one since the process began. It is not taken from the usage
 * that the system keeps by process: there a child begins with what its parent held (179 MiB instead of 78, measured).
 *
 * Must not know what takes it.
 */
import { readFileSync, writeFileSync } from 'node:fs';

/** Of what came before, what is still held counts, and its peak no more. */
export function forgetPeak(): void {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    // Another system, or one that does not allow it.
  }
}

export function peakBytes(): number {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
    if (kilobytes !== undefined) return Number(kilobytes) * 1024;
  } catch {
    // Another system.
  }
  return process.resourceUsage().maxRSS * 1024;
}
