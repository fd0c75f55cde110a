/**
 * PART OF THE ROOT: what of a gateway process is there only when the configuration asks for it.
 *
 * Must not know what it does.
 */
import { randomBytes } from 'node:crypto';
import { placeOf } from '../config/route-place.js';
import type { Config } from '../config/schema.js';
import type { ClaimOf } from '../routing/key.js';
import { Quotas } from '../routing/quotas.js';
import { openTracing, type Tracing } from '../trace/tracing.js';

interface Traced {
  readonly number: number;
  readonly version: string;
  readonly now: () => number;
  readonly onFault: (problem: string) => void;
}

/** A quota is of all processes together: each has its part. @returns undefined when tenants are not told apart */
export function quotasOf({ quotas, gateway }: Config, now: () => number, claimOf: ClaimOf): Quotas | undefined {
  if (quotas.key.length === 0) return undefined;
  const allowanceOf = ({ ms_per_s, burst_ms }: { ms_per_s: number; burst_ms: number }) => ({
    msPerS: ms_per_s / gateway.processes,
    burstMs: burst_ms / gateway.processes,
  });
  return new Quotas({
    places: quotas.key.map((text) => placeOf(text)!),
    tenants: new Map(Object.entries(quotas.tenants).map(([name, tenant]) => [name, allowanceOf(tenant)])),
    others: allowanceOf(quotas.others),
    othersMax: quotas.max_others,
    now,
    claimOf,
  });
}

/** Spans and access lines are made for this process. */
export function tracingOf({ tracing }: Config, { number, version, now, onFault }: Traced): Tracing {
  const { endpoint, headers_env, timeout_ms, queue_max, sample, service_name } = tracing;
  return openTracing({
    place: number - 1,
    endpoint,
    headers: headers_env === '' ? '' : (process.env[headers_env] ?? ''),
    timeoutMs: timeout_ms,
    queueMax: queue_max,
    sample,
    resource: {
      'service.name': service_name,
      'service.version': version,
      'service.instance.id': `gateway-${number}`,
      'process.pid': process.pid,
    },
    random: randomBytes,
    now,
    epochMs: Date.now,
    onFault,
  });
}
