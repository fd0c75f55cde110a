/**
 * PART OF THE ROOT: labelled rows of a table, as what a profile needs for estimates without labels.
 *
 * Must not know where tables come from.
 */
import { invalid } from '../core/errors.js';
import { classOf, isPositive, type Meaning } from '../labels/meaning.js';
import { calibrated } from '../monitor/cbpe.js';
import type { Manifest } from '../registry/manifest.js';

export interface AnswerColumns {
  readonly label: string;
  readonly prediction: string;
  readonly score: string;
}

/** Fewer say nothing of how right a score is. */
const rowsLeast = 50;

/**
 * @param columnOf values by row; undefined where there is no such column
 * @throws INVALID_ARGUMENT that says which column is missing, or holds nothing
 */
export function estimatesIn(
  columnOf: (name: string) => readonly unknown[] | undefined,
  names: AnswerColumns,
  manifest: Manifest | undefined,
): ReturnType<typeof calibrated> {
  const need = (name: string) => {
    const values = columnOf(name);
    if (values === undefined) throw invalid(`there is no column '${name}' among the labelled rows`);
    return values;
  };
  const meaning = meaningOf(manifest);
  const isBinary = meaning.task === 'binary';
  const [labels, scores] = [need(names.label), need(names.score)];
  const predictions = isBinary ? [] : need(names.prediction);
  const rows = labels.flatMap((value, i) => {
    const [score, label] = [scores[i], textOf(value)];
    if (typeof score !== 'number' || !Number.isFinite(score) || label === undefined) return [];
    const truth = isBinary ? isPositive(meaning, label) : isSame(meaning, textOf(predictions[i]), label);
    return truth === undefined ? [] : [{ score, truth }];
  });
  if (rows.length < rowsLeast)
    throw invalid(`expected at least ${rowsLeast} rows with '${names.label}' and '${names.score}', got ${rows.length}`);
  return calibrated(
    { scores: rows.map(({ score }) => Math.fround(score)), truths: rows.map(({ truth }) => truth) },
    { threshold: meaning.threshold, isBinary },
  );
}

function isSame(meaning: Meaning, prediction: string | undefined, label: string): boolean | undefined {
  return prediction === undefined ? undefined : classOf(meaning, prediction) === classOf(meaning, label);
}

function textOf(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value);
}

/** Without a manifest the score is that of class 1 of two. */
function meaningOf(manifest: Manifest | undefined): Meaning {
  const { task = 'binary', score, threshold = 0.5, labels = [] } = manifest?.semantics ?? {};
  if (task === 'regression' || task === 'other')
    throw invalid(`estimates without labels are of classifiers: the manifest says '${task}'`);
  const output = manifest?.signature.outputs.find(({ name }) => name === score?.output);
  const positive = output?.shape.at(-1) === 2 && score?.column === 0 ? 0 : 1;
  const names = labels.map(String);
  return { task: task === 'binary' ? 'binary' : 'classes', names, positive, threshold };
}
