/**
 * Everything that the control port answers, as rows: the operations, and what is older or simpler than they are.
 *
 * Must not know what is done with a request.
 */
import { z } from 'zod';
import { operationRows } from './operations.js';
import { pageRows } from './page.js';
import { type Row, rowsAt } from './row.js';

const open = (path: string, summary: string): Row => ({ method: 'GET', path, role: 'open', summary });
const look = (path: string, summary: string): Row => ({ method: 'GET', path, role: 'viewer', summary });

const anyBody = z.looseObject({});
const act = (path: string, summary: string, role: Row['role'] = 'operator'): Row => ({
  method: 'POST',
  path,
  role,
  summary,
  body: anyBody,
});

const text = 'text/plain; version=0.0.4; charset=utf-8';

/** Health answers without a token: a probe has none. */
const healthRows: readonly Row[] = [
  open('/livez', 'Is the control process alive'),
  open('/readyz', 'Is the server ready, and if not, why'),
  open('/v2/health/live', 'Is the control process alive'),
  open('/v2/health/ready', 'Is the server ready, and if not, why'),
];

/** Calls of the V2 protocol about the whole server; `core/relay` reads them. */
const relayRows: readonly Row[] = [
  act('/v2/repository/index', 'What the repository holds', 'viewer'),
  look('/v2/repository/index', 'What the repository holds'),
  act('/v2/repository/models/{model}/load', 'Load a model'),
  act('/v2/repository/models/{model}/unload', 'Unload a model'),
  act('/v2/repository/{repository}/index', 'Not supported: answers 501', 'viewer'),
  act('/v2/repository/{repository}/models/{model}/load', 'Not supported: answers 501'),
  act('/v2/repository/{repository}/models/{model}/unload', 'Not supported: answers 501'),
  look('/v2/models/stats', 'Statistics of all models'),
  look('/v2/models/{model}/stats', 'Statistics of a model'),
  look('/v2/models/{model}/versions/{version}/stats', 'Statistics of a version'),
  look('/v2/logging', 'Settings of the log'),
  act('/v2/logging', 'Change settings of the log'),
  look('/v2/trace/setting', 'Settings of tracing'),
  act('/v2/trace/setting', 'Change settings of tracing'),
  look('/v2/models/{model}/trace/setting', 'Settings of tracing for a model'),
  act('/v2/models/{model}/trace/setting', 'Change settings of tracing for a model'),
];

export const urlTable: readonly Row[] = [
  ...healthRows,
  { ...look('/metrics', 'All metrics, as Prometheus or OpenMetrics text'), contentType: text },
  open('/openapi.json', 'This document'),
  look('/admin/me', 'The name and the role of the caller'),
  look('/admin/models', 'All versions with their states'),
  look('/admin/activity', 'Counts of every version as JSON, from which rates can be made'),
  ...operationRows,
  ...relayRows,
  act('/hooks/{source}', 'A source says that it has changed; signed with a secret of its own', 'open'),
  act('/hooks/mlflow/{source}', 'The same, as MLflow signs it', 'open'),
  ...pageRows,
];

/** What may be asked at this path. @param segments decoded, without the first slash */
export function rowsFor(segments: readonly string[]): Row[] {
  return rowsAt(urlTable, segments);
}
