/**
 * What shadows count, as metric families.
 *
 * Must not know how they count.
 */
import type { Family, Series } from '../core/series.js';
import { type ShadowReport, shadowOutcomes } from '../core/shadow-report.js';

/** What is read, not counted. */
export interface ShadowGauges {
  readonly route: string;
  readonly shadow: string;
  readonly inFlight: number;
  readonly depth: number;
  readonly isBreakerOpen: boolean;
}

/** Families that only grow: those of a shadow that is gone stay, so that a counter never goes down. */
export function counterFamilies(reports: readonly ShadowReport[]): Family[] {
  const counter = (name: string, help: string, seriesOf: (report: ShadowReport) => Series[]): Family => ({
    name,
    help,
    type: 'counter',
    series: reports.flatMap(seriesOf),
  });
  const one = (name: string, help: string, value: (report: ShadowReport) => number): Family =>
    counter(name, help, (report) => [{ labels: labelsOf(report), value: value(report) }]);
  const items = (name: string, help: string, value: (output: ShadowReport['outputs'][number]) => number): Family =>
    counter(name, help, (report) =>
      report.outputs.map((output) => ({
        labels: { ...labelsOf(report), output: output.output },
        value: value(output),
      })),
    );
  return [
    counter('sluice_shadow_requests_total', 'Requests of a route by what a shadow made of them.', (report) =>
      shadowOutcomes.flatMap((outcome) => {
        const value = report.outcomes[outcome];
        return value === 0 && outcome !== 'ok' ? [] : [{ labels: { ...labelsOf(report), result: outcome }, value }];
      }),
    ),
    one('sluice_shadow_pairs_total', 'Requests whose answers were compared.', ({ pairs }) => pairs),
    one(
      'sluice_shadow_mismatched_pairs_total',
      'Compared requests on which the answers do not agree.',
      ({ mismatchedPairs }) => mismatchedPairs,
    ),
    one(
      'sluice_shadow_status_mismatches_total',
      'Requests that primary and shadow ended differently.',
      ({ statusMismatches }) => statusMismatches,
    ),
    items('sluice_shadow_items_total', 'Items of an output that were compared.', (output) => output.items),
    items(
      'sluice_shadow_agreed_items_total',
      'Items of an output that agree by the rule of the route.',
      (output) => output.agreed,
    ),
  ];
}

export function gaugeFamilies(gauges: readonly ShadowGauges[], heldBytes: number): Family[] {
  const gauge = (name: string, help: string, value: (gauges: ShadowGauges) => number): Family => ({
    name,
    help,
    type: 'gauge',
    series: gauges.map((one): Series => ({ labels: labelsOf(one), value: value(one) })),
  });
  return [
    gauge('sluice_shadow_inflight', 'Copies that a shadow works on.', ({ inFlight }) => inFlight),
    gauge('sluice_shadow_queue_depth', 'Copies that wait for a shadow.', ({ depth }) => depth),
    gauge('sluice_shadow_breaker_open', 'Processes that send a shadow nothing because it failed.', (one) =>
      one.isBreakerOpen ? 1 : 0,
    ),
    {
      name: 'sluice_shadow_held_bytes',
      help: 'Inputs and answers held for shadows.',
      type: 'gauge',
      series: [{ labels: {}, value: heldBytes }],
    },
  ];
}

/** A route has the name of the model that callers ask for. */
function labelsOf({ route, shadow }: Pick<ShadowReport, 'route' | 'shadow'>): Record<string, string> {
  return { model: route, shadow };
}
