/**
 * `sluice quality MODEL`: how right the versions of a model are, by the labels that came.
 *
 * Must not know how it is counted.
 */
import type { Command } from 'commander';
import type { QualityDocument, VersionQualityDocument } from '../control/quality-document.js';
import { controlPort, gatewayOf, questionTo } from './control-port.js';
import { numberText } from './experiment.js';
import { harmless, table } from './text.js';

const examples = `
Labels are sent to /v2/models/MODEL/feedback with the request id of the prediction. COVERAGE is the share of predictions that
have one: the labels that come first are seldom like the others. A version is degraded when two windows in a row are worse
than its profile says, or than the champion is, by more than labels.margin; a few labels conclude nothing.

Examples:
  $ curl -d '{"request_id": "…", "label": 1}' http://127.0.0.1:8000/v2/models/fraud/feedback
  $ sluice quality fraud
  $ sluice quality fraud --json | jq .versions[0].metrics.accuracy`;

interface Given {
  readonly url: string;
  readonly json?: true;
}

export function addQualityCommand(program: Command, env: NodeJS.ProcessEnv, write: (text: string) => void): void {
  program
    .command('quality')
    .description('Show how right the versions of a model are, by the labels that came.')
    .argument('<model>', 'Name of the model.')
    .option('--url <url>', 'Address of the control port.', controlPort)
    .option('--json', 'As JSON, with windows, hours and days.')
    .addHelpText('after', examples)
    .action(async (model: string, { url, json }: Given) => {
      const path = `models/${encodeURIComponent(model)}/quality`;
      const answer = (await questionTo(gatewayOf(url, env), path)) as QualityDocument;
      write(json === true ? `${JSON.stringify(answer, undefined, 2)}\n` : qualityText(answer));
    });
}

function qualityText({ model, versions }: QualityDocument): string {
  const head = ['VERSION', 'VARIANT', 'STATE', 'LABELS', 'COVERAGE', 'LAG P50', 'LAG P95'];
  const rows = versions.map((one) => [
    one.version,
    one.variant === '' ? '(all)' : one.variant,
    one.state.replaceAll('_', ' '),
    String(one.n),
    one.label_coverage === null ? '-' : `${Number((100 * one.label_coverage).toFixed(1))} %`,
    secondsText(one.label_lag_p50_s),
    secondsText(one.label_lag_p95_s),
  ]);
  return `${harmless(model)}\n${table([head, ...rows])}\n${table([metricsHead, ...versions.flatMap(metricRows)])}`;
}

const metricsHead = ['VERSION', 'VARIANT', 'METRIC', 'VALUE', '95 % INTERVAL', 'N'];

function metricRows({ version, variant, metrics }: VersionQualityDocument): string[][] {
  return Object.entries(metrics).map(([name, { value, interval, n }]) => [
    version,
    variant === '' ? '(all)' : variant,
    name,
    numberText(value),
    interval === null ? '-' : `${numberText(interval.low)} … ${numberText(interval.high)}`,
    String(n),
  ]);
}

function secondsText(seconds: number | null): string {
  return seconds === null ? '-' : `${numberText(seconds)} s`;
}
