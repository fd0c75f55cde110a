/**
 * An event as Alertmanager's webhook payload, version 4, for receivers that were written for that.
 *
 * What ends a state has the labels of what began it, so that a receiver takes both for the same alert. Labels are few and tell
 * alerts apart; everything else is an annotation.
 *
 * Must not know where it is sent.
 */
import { createHash } from 'node:crypto';
import type { TriggerType } from '../core/trigger.js';
import type { TriggerEvent } from './event.js';

export const alertmanagerContentType = 'application/json; charset=utf-8';

/** What ends a state, and the name of what began it. */
const resolves: Partial<Record<TriggerType, string>> = {
  'io.sluice.drift.resolved': 'io.sluice.drift.detected',
  'io.sluice.quality.recovered': 'io.sluice.quality.degraded',
};

const critical: readonly TriggerType[] = [
  'io.sluice.quality.degraded',
  'io.sluice.quality.recovered',
  'io.sluice.canary.rolled_back',
  'io.sluice.model.quarantined',
  'io.sluice.model.rolled_back',
];

const never = '0001-01-01T00:00:00Z';
const annotationCharactersMax = 4096;

/** @param receiver name of the endpoint */
export function alertmanagerText({ id, source, type, subject, time, data }: TriggerEvent, receiver: string): string {
  const began = resolves[type];
  const status = began === undefined ? 'firing' : 'resolved';
  const [model = subject, version] = subject.split('@');
  const labels: Record<string, string> = {
    alertname: alertNameOf(began ?? type),
    severity: critical.includes(type) ? 'critical' : 'warning',
    source,
    subject,
    model,
    ...(version === undefined ? {} : { version }),
  };
  const annotations = {
    summary: `${type} of ${subject}`,
    id,
    data: JSON.stringify(data).slice(0, annotationCharactersMax),
  };
  const alert = {
    status,
    labels,
    annotations,
    startsAt: time,
    endsAt: began === undefined ? never : time,
    generatorURL: '',
    fingerprint: fingerprintOf(labels),
  };
  const { alertname, ...rest } = labels;
  return JSON.stringify({
    version: '4',
    groupKey: `{}:{alertname="${alertname}", subject=${JSON.stringify(subject)}}`,
    truncatedAlerts: 0,
    status,
    receiver,
    groupLabels: { alertname, subject },
    commonLabels: { alertname, ...rest },
    commonAnnotations: annotations,
    externalURL: '',
    alerts: [alert],
  });
}

/** `io.sluice.data_quality.detected` → `SluiceDataQualityDetected`. */
function alertNameOf(type: string): string {
  const words = type.split(/[._]/).slice(1);
  return words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
}

function fingerprintOf(labels: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 16);
}
