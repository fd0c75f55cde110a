/**
 * `sluice drift MODEL`: how what comes in differs from what a model was made with, as a table or a page.
 *
 * Must not know how it is decided.
 */
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { ModelDriftDocument, VersionDriftDocument } from '../control/model-drift-document.js';
import type { DriftDocument, FeatureDocument } from '../monitor/drift-document.js';
import { controlPort, gatewayOf, questionTo } from './control-port.js';
import { driftPage } from './drift-page.js';
import { Exit } from './exit.js';
import { numberText } from './experiment.js';
import { harmless, table } from './text.js';

const examples = `
A feature is a warning or an alert when its distance (PSI less what chance makes of it) is large, when chance does not
explain it (adjusted p), and when that is so in two windows in a row. It is over after three quiet ones.

Examples:
  $ sluice drift fraud
  $ sluice drift fraud --window 24h --html drift.html
  $ sluice drift fraud --model-version 7 --json | jq .versions[0].report.ranking`;

interface Given {
  readonly url: string;
  readonly modelVersion?: string;
  readonly window: string;
  readonly json?: true;
  readonly html?: string;
}

export function addDriftCommand(program: Command, env: NodeJS.ProcessEnv, write: (text: string) => void): void {
  program
    .command('drift')
    .description('Show how live inputs and outputs differ from the profile of a model.')
    .argument('<model>', 'Name of the model.')
    .option('--model-version <n>', 'Only this version.')
    .option('--window <rows>', 'judged, open, or the last 1m to 60m, 1h to 24h, 1d to 30d.', 'judged')
    .option('--url <url>', 'Address of the control port.', controlPort)
    .option('--json', 'As JSON.')
    .option('--html <file>', 'Write a page with histograms.')
    .addHelpText('after', examples)
    .action(async (model: string, given: Given) => {
      const { url, modelVersion, window, json, html } = given;
      const query = new URLSearchParams({ window, ...(modelVersion === undefined ? {} : { version: modelVersion }) });
      const path = `models/${encodeURIComponent(model)}/drift?${query}`;
      const answer = (await questionTo(gatewayOf(url, env), path)) as ModelDriftDocument;
      if (html !== undefined) written(html, driftPage(answer, new Date()));
      if (json === true) write(`${JSON.stringify(answer, undefined, 2)}\n`);
      else write(driftText(answer));
      if (html !== undefined && json !== true) write(`\nwritten: ${html}\n`);
    });
}

function written(file: string, page: string): void {
  try {
    writeFileSync(file, page);
  } catch (error) {
    throw new Exit(1, `--html: ${(error as Error).message}`);
  }
}

export function driftText({ model, versions }: ModelDriftDocument): string {
  return versions.map((version) => versionText(model, version)).join('\n');
}

function versionText(model: string, one: VersionDriftDocument): string {
  const { version, report } = one;
  const head = `${harmless(model)}@${version}: ${statusText(one)}\n`;
  if (report === null) return `${head}${waitingText(one)}\n`;
  const { window } = report;
  const facts = [
    `${window.rows} rows, ${window.from} to ${window.to}`,
    window.provisional ? 'nothing is concluded from this window' : `window ${one.windows_judged}`,
    ...(window.degraded ? ['DEGRADED: more than a tenth of the requests was not seen'] : []),
    ...(report.baseline === 'live' ? ['PROVISIONAL profile: made of the first rows served'] : []),
  ];
  return `${head}${facts.join('; ')}\n\n${featuresText(report.features, report.ranking)}${qualityText(one)}${estimateText(report)}`;
}

/** An estimate is never shown without what it takes for granted. */
function estimateText({ estimate }: DriftDocument): string {
  if (estimate === null) return '';
  const { n, accuracy_bound: bound, fired, assumption } = estimate;
  const metrics = (['accuracy', 'precision', 'recall', 'f1'] as const).flatMap((name) =>
    estimate[name] === null ? [] : [`${name} ${numberText(estimate[name])}`],
  );
  const limit =
    bound === null ? 'not judged: too few rows, or no estimates in the profile' : `low is below ${numberText(bound)}`;
  return `\nESTIMATE of ${n} rows: ${metrics.join(', ') || 'nothing yet'} (${limit})${fired ? '; LOW in two windows in a row' : ''}\n${assumption}\n`;
}

function statusText({ status, reason, report }: VersionDriftDocument): string {
  const parts: string[] = [status.replaceAll('_', ' ')];
  if (reason !== '') parts.push(harmless(reason));
  if (report?.drifted_weight_share != null)
    parts.push(`${(100 * report.drifted_weight_share).toFixed(0)} % of the features by weight have drifted`);
  if (report?.output_drift === true) parts.push('what it answers has drifted');
  if (report?.multivariate_drift === true) parts.push('features have drifted together');
  return parts.join('; ');
}

function waitingText({ status, rows_needed, roles }: VersionDriftDocument): string {
  const rows = roles.find(({ role }) => role === 'primary')?.open_rows ?? 0;
  if (status === 'no_reference') return 'there is no profile to compare with: see "sluice profile build --help"';
  if (status === 'warming_up') return 'a provisional profile is being made of the first rows';
  return `${rows} of ${rows_needed} rows have come, in whole minutes`;
}

const kindRank: Readonly<Record<string, number>> = { alert: 0, warn: 1, ok: 2, insufficient_data: 3 };

/** Worst first; outputs in their places. */
function featuresText(features: readonly FeatureDocument[], ranking: readonly string[]): string {
  const place = new Map(ranking.map((name, i) => [name, i]));
  const rank = (feature: FeatureDocument) => kindRank[feature.state] ?? 3;
  const sorted = [...features].sort(
    (a, b) => rank(a) - rank(b) || (place.get(a.name) ?? -1) - (place.get(b.name) ?? -1),
  );
  const rows = sorted.map((one) => [
    one.family === 'features' ? one.name : `${one.name} (${one.family})`,
    one.state.replaceAll('_', ' '),
    one.status.replaceAll('_', ' '),
    numberText(one.psi_corrected),
    numberText(one.p_adjusted),
    shiftText(one),
    String(one.current.n),
  ]);
  return table([['FEATURE', 'STATE', 'THIS WINDOW', 'PSI', 'P', 'MEAN (WAS)', 'ROWS'], ...rows]);
}

function shiftText({ kind, reference, current }: FeatureDocument): string {
  return kind === 'numeric' ? `${numberText(current.mean ?? null)} (${numberText(reference.mean ?? null)})` : '';
}

function qualityText({ report }: VersionDriftDocument): string {
  const found = (report?.data_quality ?? []).filter(({ status, fired }) => fired || status === 'fires');
  if (found.length === 0) return '';
  const rows = found.map((one) => [
    one.feature,
    one.check.replaceAll('_', ' '),
    numberText(one.value),
    numberText(one.reference),
    one.fired ? 'fired' : 'once',
    (one.keys ?? []).join(' '),
  ]);
  return `\n${table([['DATA QUALITY', 'CHECK', 'NOW', 'WAS', 'STATE', ''], ...rows])}`;
}
