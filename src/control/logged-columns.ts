/**
 * PART OF THE ROOT: which column of the prediction log holds which element of which input: by it a logged row becomes a
 * request again.
 *
 * Must not know who asks.
 */
import { GatewayError } from '../core/errors.js';
import type { FeatureSpec } from '../core/model.js';
import { columnNames } from '../predictions/subject.js';
import type { Registry } from '../registry/registry.js';

/** One column of the rows of a version. */
export interface LoggedColumn {
  readonly column: string;
  readonly input: string;
  /** Which element of a row of that input. */
  readonly index: number;
}

export interface LoggedColumns {
  readonly model: string;
  /** A version without declared features, or with too many, has no columns: its inputs are in `input_json`. */
  readonly versions: readonly { readonly version: string; readonly columns: readonly LoggedColumn[] }[];
}

/** @throws NOT_FOUND */
export function loggedColumns(name: string, registry: Registry): LoggedColumns {
  const model = [...registry.models()].find((candidate) => candidate.name === name);
  if (model === undefined) throw new GatewayError('NOT_FOUND', `Request for unknown model: '${name}' is not found`);
  const versions = [...model.versions.values()].flatMap(({ id, spec }) =>
    spec === undefined ? [] : [{ version: id.version, columns: columnsOf(spec.features ?? []) }],
  );
  return { model: name, versions };
}

function columnsOf(features: readonly FeatureSpec[]): LoggedColumn[] {
  const logged = features.filter(({ kind }) => kind !== 'ignore');
  const names = columnNames(logged);
  return names.map((column, at) => ({ column, input: logged[at]!.input, index: logged[at]!.column }));
}
