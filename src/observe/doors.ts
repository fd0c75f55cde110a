/**
 * Connections and buffered bytes of the doors, as metric families.
 *
 * Must not know what a connection is used for.
 */
import type { DoorLoad } from '../core/door-load.js';
import type { Protocol } from '../core/inference.js';
import type { Family, Series } from '../core/series.js';

/** @param loads undefined = that door is not open */
export function doorFamilies(loads: Readonly<Partial<Record<Protocol, DoorLoad | undefined>>>): Family[] {
  const connections: Series[] = [];
  const bytes: Series[] = [];
  for (const [protocol, load] of Object.entries(loads)) {
    if (load?.connections !== undefined) connections.push({ labels: { protocol }, value: load.connections });
    const { requestBytes, responseBytes } = load ?? {};
    if (requestBytes !== undefined) bytes.push({ labels: { protocol, direction: 'request' }, value: requestBytes });
    if (responseBytes !== undefined) bytes.push({ labels: { protocol, direction: 'response' }, value: responseBytes });
  }
  return [
    { name: 'sluice_connections', help: 'Open connections.', type: 'gauge', series: connections },
    {
      name: 'sluice_buffered_bytes',
      help: 'Bytes of requests that have not come whole, and of answers that were not taken yet.',
      type: 'gauge',
      series: bytes,
    },
  ];
}
