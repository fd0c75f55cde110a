/**
 * `sluice models show MODEL/VERSION`: all that is known of one version, for people.
 *
 * Must not know how any of it is found out.
 */
import { harmless, table } from './text.js';

interface Tensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

/** As `GET /admin/models/{model}/versions/{version}` answers. */
export interface VersionAnswer {
  readonly model: string;
  readonly version: string;
  readonly source: string;
  readonly state: string;
  readonly reason: string;
  readonly stage: string | null;
  readonly labels: readonly string[];
  readonly stages: readonly {
    readonly stage: string;
    readonly at: string;
    readonly by: string;
    readonly reason: string;
  }[];
  readonly checks: readonly {
    readonly stage: string;
    readonly check: string;
    readonly isMet: boolean;
    readonly reason: string;
  }[];
  readonly aliases: readonly { readonly label: string; readonly from: string; readonly until: string | null }[];
  readonly sha256: string;
  readonly bytes: number | null;
  readonly files: readonly unknown[];
  readonly pulledAt: string | null;
  readonly signature: { readonly status: string; readonly by: string } | null;
  readonly quarantine: { readonly reason: string } | null;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly manifest: {
    readonly metrics?: readonly { readonly name: string; readonly value: number; readonly n?: number }[];
    readonly training?: object;
    readonly dataset?: object;
    readonly lineage?: object;
  } | null;
  readonly trial: {
    readonly triedAt: string;
    readonly openMs: number;
    readonly peakBytes: number;
    readonly forecastBytes: number;
    readonly instances: number;
    readonly goldenSamples: number;
    readonly runs: readonly { readonly rows: number; readonly runUs: number }[];
  } | null;
}

export function versionText(shown: VersionAnswer): string {
  const { model, version, source, stages, checks, aliases } = shown;
  const listed = (head: string[], rows: string[][]) => (rows.length === 0 ? '' : `\n${table([head, ...rows])}`);
  return [
    `${harmless(`${model} version ${version} from source ${source}`)}\n`,
    table(factsOf(shown)),
    listed(
      ['STAGE', 'SINCE', 'BY', 'REASON'],
      stages.map(({ stage, at, by, reason }) => [stage, at, by, reason]),
    ),
    listed(
      ['BEFORE', 'ASKED FOR', 'MET', 'REASON'],
      checks.map(({ stage, check, isMet, reason }) => [stage, check, isMet ? 'yes' : 'no', reason]),
    ),
    listed(
      ['LABEL', 'FROM', 'UNTIL'],
      aliases.map(({ label, from, until }) => [label, from, until ?? 'now']),
    ),
  ].join('');
}

function factsOf(shown: VersionAnswer): string[][] {
  const { state, reason, stage, labels, sha256, bytes, files, pulledAt, signature, quarantine, manifest, trial } =
    shown;
  const metrics = (manifest?.metrics ?? []).map(({ name, value, n }) =>
    n === undefined ? `${name} ${value}` : `${name} ${value} of ${n}`,
  );
  const facts: [string, string][] = [
    ['stage', stage ?? 'none'],
    ['state', reason === '' ? state : `${state}: ${reason}`],
    ['labels', labels.join(', ')],
    ['digest', sha256],
    ['size', bytes === null ? '' : `${bytes} bytes in ${files.length} files`],
    ['pulled', pulledAt ?? ''],
    ['signature', signature === null ? '' : `${signature.status} ${signature.by}`.trim()],
    ['quarantine', quarantine?.reason ?? ''],
    ['inputs', shown.inputs.map(tensorText).join(', ')],
    ['outputs', shown.outputs.map(tensorText).join(', ')],
    ['metrics', metrics.join(', ')],
    ['training', jsonText(manifest?.training)],
    ['dataset', jsonText(manifest?.dataset)],
    ['lineage', jsonText(manifest?.lineage)],
    ...(trial === null ? [] : trialFacts(trial)),
  ];
  return facts.filter(([, value]) => value !== '');
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function trialFacts(trial: NonNullable<VersionAnswer['trial']>): [string, string][] {
  const { triedAt, openMs, goldenSamples, peakBytes, forecastBytes, instances, runs } = trial;
  const runText = runs.map(
    ({ rows, runUs }) => `${rows === 0 ? '' : `${counted(rows, 'row')} `}${Math.round(runUs)} µs`,
  );
  return [
    ['tried', `${triedAt}: opened in ${Math.round(openMs)} ms, ${goldenSamples} golden samples`],
    ['run', runText.join(', ')],
    [
      'memory',
      `${mebibytes(peakBytes)} MiB at most; about ${mebibytes(forecastBytes)} MiB in each process, ${counted(instances, 'thread')}`,
    ],
  ];
}

function tensorText({ name, datatype, shape }: Tensor): string {
  return `${name} ${datatype} [${shape.join(',')}]`;
}

function jsonText(value: object | undefined): string {
  return value === undefined ? '' : JSON.stringify(value);
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20);
}
