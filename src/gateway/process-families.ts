/**
 * PART OF THE ROOT: processor time and memory of a gateway process, as metric families.
 *
 * Must not know who asks.
 */
import type { Family } from '../core/series.js';

/** What the process itself takes. */
export function processFamilies(number: number): Family[] {
  const labels = { process: `gateway-${number}` };
  const { user, system } = process.cpuUsage();
  return [
    {
      name: 'sluice_process_cpu_seconds_total',
      help: 'CPU time of a process of ours.',
      type: 'counter',
      series: [{ labels, value: (user + system) / 1e6 }],
    },
    {
      name: 'sluice_process_resident_memory_bytes',
      help: 'Resident memory of a process of ours.',
      type: 'gauge',
      series: [{ labels, value: process.memoryUsage.rss() }],
    },
  ];
}
