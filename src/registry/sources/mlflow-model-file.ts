/**
 * Which of a version's files is the model, and the configuration that says so.
 *
 *   MLmodel: flavors.onnx.data, else model.onnx, else the only *.onnx there is
 *
 * Must lie at the top, for the weights beside a model are named relative to it. Only ONNX is served, so a version without
 * it is refused by the names of the flavors it has.
 *
 * Must not know MLflow's API.
 */
import { parseDocument } from 'yaml';
import { GatewayError } from '../../core/errors.js';

/** The names of the files at the top level count only. @throws FAILED_PRECONDITION, UNAVAILABLE when it is not there yet */
export function modelFileOf(paths: readonly string[], mlmodel: string | undefined): string {
  const { onnx, names } = mlmodel === undefined ? { names: [] } : flavorsOf(mlmodel);
  if (onnx !== undefined) {
    if (onnx.includes('/'))
      throw refused(`MLmodel names '${onnx.slice(0, 200)}' as its model, expected a file at the top`);
    if (paths.includes(onnx)) return onnx;
    throw new GatewayError(
      'UNAVAILABLE',
      `MLmodel names '${onnx.slice(0, 200)}', which is not among the artifacts (yet)`,
    );
  }
  const candidates = paths.filter((path) => path.endsWith('.onnx') && !path.includes('/'));
  const only = candidates.length === 1 ? candidates[0] : undefined;
  const found = candidates.includes('model.onnx') ? 'model.onnx' : only;
  if (found !== undefined) return found;
  const flavors = names.length === 0 ? '' : `, its flavors are ${names.slice(0, 8).join(', ')}`;
  throw refused(`it has ${candidates.length === 0 ? 'no' : 'several'} ONNX files at the top${flavors}`);
}

/** A configuration that names the model file, where that is needed. */
export function namingConfigOf(file: string): { readonly name: string; readonly text: string } | undefined {
  if (file === 'model.onnx') return undefined;
  return { name: 'config.json', text: JSON.stringify({ default_model_filename: file }) };
}

function flavorsOf(text: string): { readonly onnx?: string | undefined; readonly names: readonly string[] } {
  const flavors = field(yamlOf(text), 'flavors');
  if (typeof flavors !== 'object' || flavors === null) return { names: [] };
  const names = Object.keys(flavors);
  if (!Object.hasOwn(flavors, 'onnx')) return { names };
  const file = field(field(flavors, 'onnx'), 'data') ?? 'model.onnx';
  if (typeof file !== 'string') throw refused('MLmodel: flavors.onnx.data is not a file name');
  return { onnx: file, names };
}

function field(value: unknown, name: string): unknown {
  const isObject = typeof value === 'object' && value !== null && Object.hasOwn(value, name);
  return isObject ? (value as Record<string, unknown>)[name] : undefined;
}

function yamlOf(text: string): unknown {
  const document = parseDocument(text, { prettyErrors: false, stringKeys: true });
  if (document.errors.length > 0) throw refused('MLmodel is not readable YAML');
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch {
    throw refused('MLmodel is not readable YAML');
  }
}

function refused(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', reason);
}
