/**
 * What prom-client measures of the control process by itself: processor time, memory, collections, handles.
 *
 * The counts of the gateway processes are added up elsewhere; these are of this process alone, so their names say so.
 *
 * Must not know the gateway.
 */
import { collectDefaultMetrics, Registry } from 'prom-client';

/** @returns the metrics of this process as Prometheus text */
export function watchProcess(): () => Promise<string> {
  const register = new Registry();
  collectDefaultMetrics({ register, prefix: 'sluice_control_' });
  // Gauges under the name of a counter.
  for (const what of ['handles', 'requests', 'resources'])
    register.removeSingleMetric(`sluice_control_nodejs_active_${what}_total`);
  return () => register.metrics();
}
