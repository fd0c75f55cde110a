/**
 * What all rows of one loaded version have in common. It is written once into a segment and named by a number in every event,
 * so that an event costs a few bytes for it instead of two hundred.
 *
 *   SubjectTerms ── subjectOf ──▶ Subject   { record: what a segment keeps · rules: what must not be kept · limits: how much }
 *
 * A rule names a declared feature, or a place: `/inputs/<tensor>`, `/inputs/<tensor>/<column>`, `/outputs/<tensor>/<column>`.
 * A limit names a whole tensor.
 *
 * Must not know frames, files or threads.
 */
import { invalid } from '../core/errors.js';

export type FeatureType = 'DOUBLE' | 'BIGINT' | 'BOOLEAN' | 'VARCHAR';

/** One declared column of an input. */
export interface Feature {
  readonly name: string;
  readonly input: string;
  /** Which element of a row of that input. */
  readonly index: number;
  readonly type: FeatureType;
}

export type Redaction = 'drop' | 'mask' | 'hash' | 'bucket';

export interface RedactionRule {
  readonly target: string;
  readonly how: Redaction;
  /** Ascending upper edges, for `bucket`: the value becomes the number of edges that it is not below. */
  readonly edges?: readonly number[];
}

export interface TruncationRule {
  readonly target: string;
  /** Kept of that tensor; with 0 its name, datatype and shape. */
  readonly bytes: number;
}

export interface SubjectTerms {
  readonly model: string;
  readonly version: string;
  readonly artifactSha256: string;
  readonly configHash: string;
  readonly backend: string;
  readonly features: readonly Feature[];
  readonly redact: readonly RedactionRule[];
  readonly truncate: readonly TruncationRule[];
  /** Share of requests that get a row. */
  readonly rows: number;
  /** Share of requests whose inputs and outputs are kept with their row; at most `rows`. */
  readonly sample: number;
  /** A tap in the observer wants inputs and outputs of every event, also of those that are kept without. */
  readonly isTapped?: boolean;
}

export interface FeatureColumn extends Feature {
  /** `f_<name>`. */
  readonly column: string;
}

/** As a segment keeps it. */
export interface SubjectRecord {
  readonly id: number;
  readonly gatewayId: string;
  readonly model: string;
  readonly version: string;
  readonly artifactSha256: string;
  readonly configHash: string;
  readonly backend: string;
  readonly features: readonly FeatureColumn[];
}

/** A rule with its place found. */
export interface Rule {
  readonly side: 'inputs' | 'outputs';
  readonly tensor: string;
  /** −1 = the whole tensor. */
  readonly index: number;
  readonly how: Redaction;
  readonly edges: readonly number[];
}

/** What one tensor keeps, instead of what all others do. */
export interface Limit extends Pick<Rule, 'side' | 'tensor'> {
  readonly bytes: number;
}

export interface Subject {
  readonly record: SubjectRecord;
  readonly rules: readonly Rule[];
  readonly limits: readonly Limit[];
  readonly rows: number;
  readonly sample: number;
  readonly isTapped: boolean;
  /** Features are declared, whether they have columns or not. */
  readonly hasFeatures: boolean;
  /** Something of the outputs is redacted, so what was made of them is not kept either. */
  readonly hidesPrediction: boolean;
}

/** @throws INVALID_ARGUMENT when shares or rules make no sense */
export function subjectOf(id: number, gatewayId: string, terms: SubjectTerms): Subject {
  const { model, version, artifactSha256, configHash, backend, rows, sample } = terms;
  if (!(rows >= 0 && rows <= 1 && sample >= 0 && sample <= rows)) {
    throw invalid(
      `prediction log of model '${model}': sample ${sample} and rows ${rows} must be 0 ≤ sample ≤ rows ≤ 1`,
    );
  }
  const rules = terms.redact.map((rule) => placed(rule, terms));
  const columns = columnNames(terms.features);
  const features = columns.map((column, i) => ({
    ...terms.features[i]!,
    column,
    type: typeAfter(terms.features[i]!, rules),
  }));
  return {
    record: { id, gatewayId, model, version, artifactSha256, configHash, backend, features },
    rules,
    limits: terms.truncate.map((rule) => limitOf(rule, model)),
    rows,
    sample,
    isTapped: terms.isTapped ?? false,
    hasFeatures: terms.features.length > 0,
    hidesPrediction: rules.some(({ side }) => side === 'outputs'),
  };
}

const pointer = /^\/(inputs|outputs)\/([^/]+)(?:\/(0|[1-9][0-9]{0,8}))?$/;

function placeOf(target: string): Pick<Rule, 'side' | 'tensor' | 'index'> | undefined {
  const match = pointer.exec(target);
  if (match === null) return undefined;
  const tensor = match[2]!.replaceAll('~1', '/').replaceAll('~0', '~');
  return { side: match[1] as Rule['side'], tensor, index: Number(match[3] ?? -1) };
}

function limitOf({ target, bytes }: TruncationRule, model: string): Limit {
  const place = placeOf(target);
  if (place?.index === -1) return { side: place.side, tensor: place.tensor, bytes };
  throw invalid(`prediction log of model '${model}': truncation of '${target}', which is no tensor such as /inputs/x`);
}

function placed(rule: RedactionRule, { model, features }: SubjectTerms): Rule {
  const { target, how, edges = [] } = rule;
  if (how === 'bucket' && (edges.length === 0 || edges.some((edge, i) => i > 0 && !(edge > edges[i - 1]!)))) {
    throw invalid(`prediction log of model '${model}': redaction of '${target}' needs ascending edges`);
  }
  const place = placeOf(target);
  if (place !== undefined) return { ...place, how, edges };
  const feature = features.find(({ name }) => name === target);
  if (feature === undefined) {
    throw invalid(
      `prediction log of model '${model}': redaction of '${target}', which is neither a feature nor a place`,
    );
  }
  return { side: 'inputs', tensor: feature.input, index: feature.index, how, edges };
}

function typeAfter({ input, index, type }: Feature, rules: readonly Rule[]): FeatureType {
  const rule = rules.find((r) => r.side === 'inputs' && r.tensor === input && (r.index === -1 || r.index === index));
  if (rule === undefined || rule.how === 'drop') return type;
  return rule.how === 'bucket' ? 'BIGINT' : 'VARCHAR';
}

/**
 * With more features than this a row has its inputs as JSON instead: a table of 4,000 columns does not fit into the memory
 * that a conversion may take, however few its rows (measured), and two versions may have columns of their own.
 */
const columnsMax = 1000;

/** The columns of features, in their order; none where they are too many. Column names of SQL differ in more than case. */
export function columnNames(features: readonly Pick<Feature, 'name'>[]): string[] {
  if (features.length > columnsMax) return [];
  const taken = new Set<string>();
  return features.map(({ name }) => {
    const plain = `f_${name.replaceAll(/[^A-Za-z0-9_]/g, '_')}`;
    let column = plain;
    for (let n = 2; taken.has(column.toLowerCase()); n++) column = `${plain}_${n}`;
    taken.add(column.toLowerCase());
    return column;
  });
}
