/**
 * One request of the prediction log, put together from its rows, and why it cannot be run again as it was.
 *
 * Must not know where rows come from, or what is done with them.
 */

type LoggedRow = Readonly<Record<string, unknown>>;

export interface LoggedRequest {
  readonly requestId: string;
  readonly version: string;
  readonly status: number;
  readonly latencyMs: number;
  /** Something of it was cut off, or may not be read. */
  readonly isTruncated: boolean;
  readonly isRedacted: boolean;
  /** One row for each item, in their order. */
  readonly items: readonly LoggedRow[];
}

/** @param items rows of one request, in their order */
export function loggedRequestOf(items: readonly LoggedRow[]): LoggedRequest {
  const { request_id, version, status, latency_us } = items[0]!;
  return {
    requestId: String(request_id),
    version: String(version),
    status: Number(status),
    latencyMs: Number(latency_us) / 1000,
    isTruncated: items.some(({ truncated, item_index }, at) => truncated === true || Number(item_index) !== at),
    isRedacted: items.some(({ redacted }) => redacted === true),
    items,
  };
}

export type Unrepeatable = 'failed' | 'redacted' | 'truncated' | 'logged without inputs';

/** Why a request cannot be sent again as it was; undefined when nothing is known against it. */
export function reasonAgainst({ status, isTruncated, isRedacted, items }: LoggedRequest): Unrepeatable | undefined {
  if (status >= 400) return 'failed';
  if (isRedacted) return 'redacted';
  if (isTruncated) return 'truncated';
  return items.every(({ outputs_json }) => typeof outputs_json === 'string') ? undefined : 'logged without inputs';
}
