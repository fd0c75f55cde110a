/**
 * `sluice profile build`: what inputs and outputs were like when a version was made, as profile.json.
 *
 * Must not know how it is counted.
 */
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { ReferenceProfile } from '../monitor/profile-document.js';
import { agoMs } from './ago.js';
import { Exit } from './exit.js';

const examples = `
The file goes beside model.onnx, its name into manifest.json as "profile", and its size and sha256 among "files". With
--manifest the declared features are taken, each as its input holds it; without, every column is a feature. Columns named
prediction and score are what the model answered for the row.

With --label, what was true of labelled rows calibrates the score, and "sluice drift" shows an estimate of accuracy without
labels. Take rows that the model was not trained on (--labelled): of others it is too sure. Numbers that vary together are
described by principal components, so that a change of how they go together shows as reconstruction error.

Examples:
  $ sluice profile build --from train.csv --model fraud --model-version 7 --manifest models/fraud/7/manifest.json --out profile.json
  $ sluice profile build --from train.parquet --model fraud --score probability --out profile.json
  $ sluice profile build --from train.csv --labelled held-out.csv --label outcome --model fraud --out profile.json
  $ sluice profile build --from log --last 7d --model fraud --model-version 7 --manifest models/fraud/7/manifest.json --out profile.json`;

interface Given {
  readonly from: string;
  readonly model: string;
  readonly modelVersion: string;
  readonly manifest?: string;
  readonly out: string;
  readonly baseline: string;
  readonly prediction: string;
  readonly score: string;
  readonly label?: string;
  readonly labelled?: string;
  readonly components?: string;
  readonly rows: string;
  readonly last: string;
  readonly logPath: string;
}

const rowsMost = 1_000_000;

export function addProfileCommands(program: Command, env: NodeJS.ProcessEnv, write: (text: string) => void): void {
  const profile = program.command('profile').description('Make reference profiles.');
  profile
    .command('build')
    .description('Count the values of a data set, or of the prediction log, into a profile.')
    .requiredOption('--from <source>', 'A .csv or .parquet file, or log.')
    .requiredOption('--model <name>', 'Name of the model.')
    .option('--model-version <n>', 'Its version.', '')
    .requiredOption('--out <file>', 'Where the profile is written.')
    .option('--manifest <file>', 'manifest.json of the version, for features, weights and datatypes.')
    .option('--baseline <kind>', 'What the rows are: training or validation.', 'training')
    .option('--prediction <column>', 'Column with the predictions.', 'prediction')
    .option('--score <column>', 'Column with the scores.', 'score')
    .option('--label <column>', 'Column with what was true, for estimates without labels.')
    .option('--labelled <file>', 'A .csv or .parquet file with the labelled rows, when they are others.')
    .option('--components <n>', 'Principal components, 0 for none; else as many as explain 90 % of the variance.')
    .option('--rows <n>', 'Of more rows an even sample.', '100000')
    .option('--last <time>', 'From the log: how far back, as in 12h or 7d.', '7d')
    .option('--log-path <folder>', 'Folder of the prediction log.', env.SLUICE_PREDICTION_LOG_PATH ?? '.sluice/log')
    .addHelpText('after', examples)
    .action(async (given: Given) => write(await built(given)));
}

async function built(given: Given): Promise<string> {
  const { from, model, modelVersion: version, manifest, baseline, prediction, score, out } = given;
  if (baseline !== 'training' && baseline !== 'validation')
    throw new Exit(2, `--baseline: expected training or validation, got '${baseline}'`);
  const rowsMax = Number(given.rows);
  if (!Number.isInteger(rowsMax) || rowsMax < 1 || rowsMax > rowsMost)
    throw new Exit(2, `--rows: expected 1 to ${rowsMost}, got '${given.rows}'`);
  const components = given.components === undefined ? undefined : Number(given.components);
  if (components !== undefined && (!Number.isInteger(components) || components < 0 || components > 64))
    throw new Exit(2, `--components: expected 0 to 64, got '${given.components}'`);
  if (given.labelled !== undefined && given.label === undefined)
    throw new Exit(2, '--labelled: name the column with what was true with --label');
  const log = { path: given.logPath, fromMs: Date.now() - agoMs(given.last) };
  const { makeProfile } = await import('../control/profile-maker.js');
  const { label, labelled } = given;
  const answers = { prediction, score, label, labelled };
  const order = { from, model, version, baseline, manifest, ...answers, components, rowsMax, log } as const;
  const profile = await makeProfile(order);
  try {
    writeFileSync(out, `${JSON.stringify(profile)}\n`);
  } catch (error) {
    throw new Exit(1, `--out: ${(error as Error).message}`);
  }
  return `${out}: ${summary(profile)}\n`;
}

function summary(profile: ReferenceProfile): string {
  const { features, prediction, score, source, calibration, pca } = profile;
  const kinds = new Map<string, number>();
  for (const { kind } of Object.values(features)) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  const counted = Array.from(kinds, ([kind, count]) => `${count} ${kind}`).join(', ');
  const answers = [...(prediction ? ['prediction'] : []), ...(score ? ['score'] : [])];
  const more = answers.length === 0 ? '' : `, ${answers.join(' and ')}`;
  const together = pca === undefined ? [] : [`${pca.components.length} components of ${pca.features.length} features`];
  const estimates = calibration === undefined ? [] : ['a calibrated score'];
  return [`${source?.rows ?? 0} rows, features: ${counted || 'none'}${more}`, ...together, ...estimates].join(', ');
}
