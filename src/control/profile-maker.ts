/**
 * PART OF THE ROOT: a reference profile made of a file or of the prediction log, for `sluice profile build`.
 *
 *   CSV, Parquet ─┐
 *   the log      ─┴─▶ analytics child ─▶ columns ─▶ those that the manifest declares as features ─▶ ReferenceProfile
 *
 *   labelled rows, best ones that the model was not trained on ─▶ how right a score is ─▶ estimates without labels
 *   numbers that vary together                                 ─▶ principal components ─▶ reconstruction error
 *
 * Without a manifest every column but prediction, score and label is a feature, and its values decide of what kind.
 *
 * Must not know the command line.
 */
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { GatewayError, invalid } from '../core/errors.js';
import { principalComponents } from '../monitor/principal-components.js';
import { kindOf } from '../monitor/profile.js';
import { buildProfile, type Column, type FeatureSpec, keptFeatures } from '../monitor/profile-build.js';
import type { ReferenceProfile } from '../monitor/profile-document.js';
import { Analytics } from '../predictions/analytics.js';
import { columnNames } from '../predictions/subject.js';
import { type Manifest, parseManifest } from '../registry/manifest.js';
import { estimatesIn } from './labelled-rows.js';

export interface ProfileOrder {
  /** A file that ends in .csv or .parquet, or `log`. */
  readonly from: string;
  readonly model: string;
  readonly version: string;
  readonly baseline: 'training' | 'validation';
  /** manifest.json of the version. */
  readonly manifest?: string | undefined;
  /** Names of the columns with what the model answered. */
  readonly prediction: string;
  readonly score: string;
  /** The column with what was true. */
  readonly label?: string | undefined;
  /** A file with labelled rows, in place of those of `from`. */
  readonly labelled?: string | undefined;
  /** Principal components: 0 = none, undefined = as many as explain nine tenths of the variance. */
  readonly components?: number | undefined;
  /** Of more rows an even sample. */
  readonly rowsMax: number;
  /** Folder of the prediction log, and from when on its rows are taken. */
  readonly log: { readonly path: string; readonly fromMs: number };
}

interface Table {
  readonly columns: ReadonlyMap<string, readonly unknown[]>;
  readonly source: ReferenceProfile['source'];
  /** Names of features as the table has them. */
  readonly columnOf: (feature: string) => string;
}

const manifestBytesMax = 4 * 2 ** 20;
const timeoutMs = 600_000;
const rssBytesMax = 4 * 2 ** 30;
const answerBytesMax = 2 ** 30;

/** @throws GatewayError that says which column, file or option is wrong */
export async function makeProfile(order: ProfileOrder): Promise<ReferenceProfile> {
  const manifest = order.manifest === undefined ? undefined : manifestIn(order.manifest);
  if (order.from === 'log' && manifest?.features === undefined)
    throw invalid(
      'the log has columns for declared features only: name the manifest that declares them with --manifest',
    );
  const table = await tableOf(order, manifest);
  const { model, version, baseline, prediction, score, label, components } = order;
  const estimates = await estimatesOf(order, table, manifest);
  const performance = performanceOf(manifest, estimates?.chunks);
  const answers = [prediction, score, ...(label === undefined ? [] : [label])];
  const columns = keptFeatures(model, featuresOf(table, manifest, answers));
  const pca = components === 0 ? undefined : componentsOf(columns, components);
  const answered = (name: string) => table.columns.get(name);
  return buildProfile({
    model,
    version,
    baseline: order.from === 'log' ? 'log' : baseline,
    source: table.source,
    columns,
    ...(has(answered(prediction)) && { prediction: { values: answered(prediction)! } }),
    ...(has(answered(score)) && { score: { values: answered(score)!, ...scoreType(manifest) } }),
    ...(estimates && { calibration: estimates.calibration }),
    ...(performance && { performance }),
    ...(pca && { pca }),
  });
}

/** Categories have no distance from each other, so only numbers are looked at together. */
function componentsOf(columns: readonly Column[], components: number | undefined) {
  const numeric = columns.filter((column) => (column.kind ?? kindOf(column.values, column.datatype)) === 'numeric');
  return principalComponents(numeric, { ...(components !== undefined && { components }) });
}

async function estimatesOf(order: ProfileOrder, table: Table, manifest: Manifest | undefined) {
  const { label, labelled, prediction, score } = order;
  if (label === undefined) return undefined;
  const rows = labelled === undefined ? table : await tableOf({ ...order, from: labelled }, manifest);
  return estimatesIn((name) => rows.columns.get(name), { label, prediction, score }, manifest);
}

function has(values: readonly unknown[] | undefined): boolean {
  return values?.some((value) => value !== null) ?? false;
}

function manifestIn(path: string): Manifest {
  if (statSync(path).size > manifestBytesMax) throw invalid(`${path} is larger than ${manifestBytesMax} bytes`);
  return parseManifest(readFileSync(path, 'utf8'));
}

function featuresOf(table: Table, manifest: Manifest | undefined, answers: readonly string[]): Column[] {
  if (manifest?.features === undefined) {
    return [...table.columns].filter(([name]) => !answers.includes(name)).map(([name, values]) => ({ name, values }));
  }
  const declared = manifest.features.filter(({ kind }) => kind !== 'ignore');
  return declared.map(({ name, input, kind, weight, critical }) => {
    const values = table.columns.get(table.columnOf(name));
    if (values === undefined) throw invalid(`there is no column '${table.columnOf(name)}' for the feature '${name}'`);
    const datatype = manifest.signature.inputs.find((tensor) => tensor.name === input)?.datatype;
    const spec: FeatureSpec = {
      name,
      kind: kind as Exclude<typeof kind, 'ignore'>,
      ...(datatype !== undefined && { datatype }),
      ...(weight !== undefined && { weight }),
      ...(critical !== undefined && { critical }),
    };
    return { ...spec, values };
  });
}

/** Of the output that the score is read from. */
function scoreType(manifest: Manifest | undefined): { readonly datatype?: string } {
  const outputs = manifest?.signature.outputs ?? [];
  const named = outputs.find(({ name }) => name === manifest?.semantics?.score?.output);
  const datatype = (named ?? outputs.find(({ datatype }) => datatype.startsWith('FP')))?.datatype;
  return datatype === undefined ? {} : { datatype };
}

function performanceOf(
  manifest: Manifest | undefined,
  chunks: readonly number[] | undefined,
): ReferenceProfile['performance'] {
  const metrics = manifest?.metrics ?? [];
  const n = metrics.find((metric) => metric.n !== undefined)?.n;
  if (metrics.length === 0 && chunks === undefined) return undefined;
  const named = Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  return { ...named, ...(n !== undefined && { n }), ...(chunks && { chunks }) };
}

async function tableOf(order: ProfileOrder, manifest: Manifest | undefined): Promise<Table> {
  const analytics = new Analytics({ rssBytesMax, queueMax: 1, idleMs: 1, jobMs: timeoutMs });
  try {
    return order.from === 'log' ? await loggedTable(order, analytics, manifest) : await fileTable(order, analytics);
  } finally {
    analytics.close();
  }
}

async function fileTable({ from, rowsMax }: ProfileOrder, analytics: Analytics): Promise<Table> {
  const [, format] = /\.(csv|parquet)$/i.exec(from) ?? [];
  if (format === undefined) throw invalid(`expected a file that ends in .csv or .parquet, or log, got '${from}'`);
  const path = resolve(from);
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true)
    throw new GatewayError('NOT_FOUND', `there is no file '${from}'`);
  const kind = format.toLowerCase() as 'csv' | 'parquet';
  const answer = await analytics.run<'columns'>({ kind: 'columns', path, format: kind, rowsMax, timeoutMs });
  return {
    columns: columnsIn(answer),
    source: { dataset: basename(from), rows: answer.rows.length, sha256: await sha256Of(path) },
    columnOf: (feature) => feature,
  };
}

async function loggedTable(
  { model, version, rowsMax, log }: ProfileOrder,
  analytics: Analytics,
  manifest: Manifest | undefined,
): Promise<Table> {
  const from = new Date(log.fromMs).toISOString();
  const where = [
    `model = '${quotable(model)}'`,
    ...(version === '' ? [] : [`version = '${quotable(version)}'`]),
    `role = 'primary' AND status < 400 AND ts >= TIMESTAMP '${from.slice(0, 19).replace('T', ' ')}'`,
  ];
  const sql = `SELECT * FROM predictions WHERE ${where.join(' AND ')} LIMIT ${rowsMax}`;
  const root = join(resolve(log.path), 'data');
  const limits = { rowsMax, bytesMax: answerBytesMax, timeoutMs };
  const answer = await analytics.run<'query'>({ kind: 'query', root, sql, span: { model }, ...limits });
  const rows = withInputs(answer);
  if (rows.length === 0) {
    const found = `0 rows of ${model}${version === '' ? '' : ` version ${version}`}`;
    throw new GatewayError(
      'FAILED_PRECONDITION',
      `the log in ${log.path} has ${found} with inputs since ${from}: they are kept with prediction_log.sample > 0, and can be read when their segment is closed`,
    );
  }
  const logged = (manifest?.features ?? []).filter(({ kind }) => kind !== 'ignore');
  const names = columnNames(logged);
  return {
    columns: columnsIn({ ...answer, rows }),
    source: { dataset: `prediction log since ${from}`, rows: rows.length },
    columnOf: (feature) => names[logged.findIndex(({ name }) => name === feature)] ?? feature,
  };
}

/** A row whose inputs were not kept says nothing of them: it is not one in which all are missing. */
function withInputs({ columns, rows }: Answer): Answer['rows'] {
  const places = columns.flatMap(({ name }, place) => (name.startsWith('f_') ? [place] : []));
  return rows.filter((row) => places.some((place) => (row[place] ?? null) !== null));
}

function quotable(text: string): string {
  return text.replaceAll("'", "''");
}

interface Answer {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly unknown[])[];
}

function columnsIn({ columns, rows }: Answer): Map<string, readonly unknown[]> {
  return new Map(
    columns.map(({ name, type }, at) => {
      const isNumber = /^(FLOAT|DOUBLE|DECIMAL|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?)/.test(type);
      return [name, rows.map((row) => (isNumber ? numberOrNull(row[at]) : (row[at] ?? null)))] as const;
    }),
  );
}

/** Numbers that JSON does not have come as their names. */
function numberOrNull(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value);
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk);
  return hash.digest('hex');
}
