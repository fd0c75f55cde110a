/**
 * What a version will be, from everything that came with it:
 *
 *   model.onnx ─▶ facts ┐
 *   config.*            ├─▶ versionSpecOf ─▶ candidate ─▶ (trial run) ─▶ VersionSpec, or unbatched(VersionSpec)
 *   manifest.json       │
 *   server defaults     ┘
 *
 * A pure function: whoever calls it has read the files. Shapes alone do not prove that rows are independent of each other,
 * so a batch dimension that nobody configured is only a candidate until two samples gave the same alone and together.
 *
 * Must not know the disk, the runtime or how files are parsed.
 */
import { GatewayError } from '../core/errors.js';
import type { VersionId, VersionSpec } from '../core/model.js';
import { isFilePath } from './file-path.js';
import type { Manifest } from './manifest.js';
import { modelConfigOf } from './model-config.js';
import type { OnnxFacts } from './onnx.js';
import { batchPolicyOf, instancesOf, knownParameters, type SpecDefaults, sessionPolicyOf } from './policies.js';
import { signatureOf } from './signature.js';
import type { TritonConfig } from './triton-config.js';

export { unbatched, withPolicyShown } from './model-config.js';
export type { SpecDefaults } from './policies.js';

export interface VersionSources {
  readonly id: VersionId;
  /** Where the model file lies. */
  readonly directory: string;
  /** Name of the model file in it. */
  readonly file: string;
  readonly facts: OnnxFacts;
  readonly config?: TritonConfig | undefined;
  readonly manifest?: Manifest | undefined;
  /** Contents of the files that `labelFilesOf` named. */
  readonly labelTexts?: ReadonlyMap<string, string> | undefined;
}

export interface Candidate {
  /** `batch.rowsMax` > 0 means: merges rows, provided that the trial agrees where one is needed. */
  readonly spec: VersionSpec;
  /** Rows must be shown to be independent before `spec` is used; else `unbatched(spec)` is. */
  readonly needsBatchTrial: boolean;
  /** One sentence each: what was written and is not used. */
  readonly warnings: readonly string[];
}

const labelsMax = 1_000_000;
const platforms = ['', 'onnxruntime_onnx', 'onnx_onnxv1'];
const backends = ['', 'onnxruntime'];

/**
 * The model file that counts: the configured one, else model.onnx.
 * @param listed the file found in the version's directory
 */
export function modelFileOf(config: TritonConfig | undefined, listed: string): string {
  const configured = config?.default_model_filename;
  if (configured !== undefined && configured !== '') {
    if (isFilePath(configured) && !configured.includes('/')) return configured;
    throw refused(`configuration: default_model_filename '${configured}' is not a file name`);
  }
  if (listed === 'model.onnx') return listed;
  throw refused(`the version has '${listed}' but no 'model.onnx': name it in default_model_filename`);
}

/** Label files that the configuration names, relative to the directory of the model. */
export function labelFilesOf(config: TritonConfig): readonly string[] {
  const names = (config.output ?? []).flatMap(({ label_filename: name }) =>
    name === undefined || name === '' ? [] : [name],
  );
  const odd = names.find((name) => !isFilePath(name));
  if (odd !== undefined)
    throw refused(`configuration: label_filename '${odd}' is not a path inside the model's directory`);
  return [...new Set(names)];
}

/** @throws FAILED_PRECONDITION with the reason why this version cannot be served */
export function versionSpecOf(sources: VersionSources, defaults: SpecDefaults): Candidate {
  const { id, directory, file, facts, manifest } = sources;
  const config = sources.config ?? {};
  checkConfig(id, config);
  const { signature, batching, warnings } = signatureOf(facts, config, manifest);
  const instances = instancesOf(config, defaults.instances);
  const rowsMax = batching === 'no' ? 0 : batching === 'contract' ? config.max_batch_size! : defaults.rowsMax;
  const batch = batchPolicyOf(config, rowsMax, instances, defaults);
  const spec: VersionSpec = {
    id,
    directory,
    file,
    signature,
    batch,
    session: sessionPolicyOf(config, defaults.session),
    instances,
    rank: 'primary',
    isBounded: !facts.hasLoop && !facts.hasContentSizedOp,
    runTimes: [],
    config: modelConfigOf({ model: id.model, file, signature, batch, instances }, config),
    labels: labelsOf(sources, config),
    properties: propertiesOf(manifest),
    ...meaningOf(manifest),
  };
  return {
    spec,
    needsBatchTrial: batching === 'likely' && rowsMax > 0,
    warnings: [...warnings, ...unusedOf(config), ...mismatchesOf(id, manifest)],
  };
}

function checkConfig(id: VersionId, config: TritonConfig): void {
  const { name, platform, backend, max_batch_size: rowsMax } = config;
  if (name !== undefined && name !== '' && name !== id.model) {
    throw refused(`configuration: its name is '${name}', but the model is '${id.model}'`);
  }
  if (!platforms.includes(platform ?? ''))
    throw refused(`configuration: platform '${platform}', expected 'onnxruntime_onnx'`);
  if (!backends.includes(backend ?? '')) throw refused(`configuration: backend '${backend}', expected 'onnxruntime'`);
  if (rowsMax !== undefined && rowsMax < 0)
    throw refused(`configuration: max_batch_size ${rowsMax}, expected 0 or more`);
  if (config.model_transaction_policy?.decoupled === true)
    throw refused('configuration: decoupled models are not supported');
}

/** What inputs and outputs mean, for the prediction log and for what is measured of it. */
function meaningOf(manifest: Manifest | undefined): Pick<VersionSpec, 'features' | 'semantics' | 'profile'> {
  const { features, semantics, profile } = manifest ?? {};
  return {
    ...(profile !== undefined && { profile }),
    ...(features && {
      features: features.map(({ name, input, column = 0, kind, weight = 1, critical: isCritical = false }) => {
        return { name, input, column, kind, weight, isCritical };
      }),
    }),
    ...(semantics && {
      semantics: {
        task: semantics.task,
        score: semantics.score && { output: semantics.score.output, column: semantics.score.column ?? 0 },
        threshold: semantics.threshold ?? 0.5,
      },
    }),
  };
}

/** A label file speaks for its output; the manifest's labels for the outputs that it calls probabilities. */
function labelsOf(sources: VersionSources, config: TritonConfig): Readonly<Record<string, readonly string[]>> {
  const labels: Record<string, readonly string[]> = {};
  const { labels: listed, probabilities } = sources.manifest?.semantics ?? {};
  if (listed !== undefined) for (const output of probabilities ?? []) labels[output] = listed;
  for (const { name, label_filename: file } of config.output ?? []) {
    if (name === undefined || file === undefined || file === '') continue;
    const text = sources.labelTexts?.get(file);
    if (text === undefined) throw refused(`configuration: label file '${file}' of output '${name}' is missing`);
    labels[name] = linesOf(text, file);
  }
  return labels;
}

/** One label a line; an empty line is a class without a label. */
function linesOf(text: string, file: string): readonly string[] {
  const lines = text.split(/\r?\n/, labelsMax + 1);
  if (lines.length > labelsMax) throw refused(`label file '${file}' has more than ${labelsMax} lines`);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/** Shown in the metadata: `extra.properties` of the manifest, text by name, and the class labels as a JSON array. */
function propertiesOf(manifest: Manifest | undefined): Readonly<Record<string, string>> {
  const labels = manifest?.semantics?.labels;
  const written = Object.entries(manifest?.extra?.properties ?? {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return { ...(labels === undefined ? {} : { labels: JSON.stringify(labels) }), ...Object.fromEntries(written) };
}

function unusedOf(config: TritonConfig): string[] {
  const warnings: string[] = [];
  const warn = (field: string, reason: string) => warnings.push(`configuration: ${field} is not used: ${reason}`);
  if ((config.model_warmup?.length ?? 0) > 0)
    warn('model_warmup', 'every batch size is warmed before a version is ready');
  if (config.dynamic_batching?.preserve_ordering === true) warn('preserve_ordering', 'each caller gets its own reply');
  if (config.instance_group?.some(({ kind }) => kind === 'KIND_GPU')) warn('KIND_GPU', 'models run on the CPU');
  for (const { name, optional, allow_ragged_batch: isRagged, is_shape_tensor: isShape } of config.input ?? []) {
    if (optional === true) warn(`optional of input '${name}'`, 'the model needs every input');
    if (isRagged === true) warn(`allow_ragged_batch of input '${name}'`, 'unlike shapes run in batches of their own');
    if (isShape === true) warn(`is_shape_tensor of input '${name}'`, 'it is an input like others');
  }
  for (const name of Object.keys(config.parameters ?? {})) {
    if (!knownParameters.includes(name)) warn(`parameter '${name}'`, 'it is only shown');
  }
  return warnings;
}

function mismatchesOf({ model, version }: VersionId, manifest: Manifest | undefined): string[] {
  const warnings: string[] = [];
  if (manifest?.model !== undefined && manifest.model !== model) {
    warnings.push(`manifest.json is of model '${manifest.model}', served as '${model}'`);
  }
  if (manifest?.version !== undefined && manifest.version !== version) {
    warnings.push(`manifest.json is of version '${manifest.version}', served as '${version}'`);
  }
  return warnings;
}

function refused(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', reason);
}
