/**
 * A run as JSON, for programs: everything the table shows, in numbers with their unit in the name.
 *
 * What was sent as a header may be a secret, so headers are not part of it.
 *
 * Must not know files.
 */
import type { Run } from './bench.js';

export function reportJson({ options, server, startedAt, rows, cutShort, bestRate }: Run): string {
  const { headers: _, shapes, ...asked } = options;
  const report = {
    report: 'sluice bench',
    version: 1,
    startedAt: new Date(startedAt).toISOString(),
    server,
    isPartial: cutShort !== '',
    cutShort: cutShort === '' ? null : cutShort,
    bestRate: bestRate ?? null,
    options: { ...asked, shapes: Object.fromEntries(shapes) },
    rows,
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}
