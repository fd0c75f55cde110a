/**
 * Events → a line for each of a share of the requests, refused ones included.
 *
 * The number that decides is the one that decides about a request's row and trace, so they are kept or left out together.
 * What callers choose freely is cut: a line stays short.
 *
 * Must not know where lines go.
 */
import type { InferenceEvent, Observe } from '../core/events.js';
import { requestShare } from '../core/request-share.js';

/** Members of a line; those that say nothing are left out. */
export type AccessLine = Readonly<Record<string, string | number>>;

const idLengthMax = 128;

/** @param share of requests, above 0 */
export function createAccessLog(share: number, write: (line: AccessLine) => void): Observe {
  return (event) => {
    if (event.kind !== 'inference') return;
    if (share < 1 && requestShare(event.requestId) >= share) return;
    write(lineOf(event));
  };
}

function lineOf(event: InferenceEvent): AccessLine {
  const { requestId, trace, model, version, assignment, timing } = event;
  const line: Record<string, string | number> = { requestId: requestId.slice(0, idLengthMax) };
  if (trace !== undefined) line.traceId = trace.traceId;
  line.model = model;
  if (version !== undefined) line.version = version.version;
  if (assignment !== undefined) {
    line.experiment = assignment.experiment;
    if (assignment.variant !== '') line.variant = assignment.variant;
    line.routeReason = assignment.reason;
  }
  line.protocol = event.protocol;
  line.code = event.code;
  if (event.reason !== undefined) line.reason = event.reason;
  line.durationMs = rounded(event.durationMs);
  line.rows = event.rows;
  if (timing === undefined) return line;
  line.queueMs = rounded(timing.queueMs);
  line.inputMs = rounded(timing.inputMs);
  line.inferMs = rounded(timing.inferMs);
  line.outputMs = rounded(timing.outputMs);
  line.batchRows = timing.batchRows;
  return line;
}

/** To the microsecond. */
function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
