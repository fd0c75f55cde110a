/**
 * A folder of models as the registry sees it: what it offers, and how one version of it is admitted.
 *
 *   list ─▶ offered models        config.* ┐
 *   admit(id) ─▶ files, hashes ─▶ model.onnx├─▶ candidate ─▶ trial ─▶ VersionSpec
 *                               manifest   ┘
 *
 * Files are read when a version is admitted, not when it is listed, so that a folder of a thousand models is listed at once.
 *
 * Must not know the runtime (the trial is given) or the states of versions.
 */
import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { GatewayError } from '../core/errors.js';
import type { SessionPolicy, VersionId, VersionSpec } from '../core/model.js';
import { parseManifest, verifyFiles } from './manifest.js';
import { readOnnx } from './onnx.js';
import type { Offered, OfferedModel } from './registry.js';
import { type DirectoryListing, type ListedModel, type ListedVersion, listDirectory } from './sources/directory.js';
import { parseTritonConfig, type TritonConfig, type VersionPolicy as TritonPolicy } from './triton-config.js';
import {
  labelFilesOf,
  modelFileOf,
  type SpecDefaults,
  unbatched,
  versionSpecOf,
  withPolicyShown,
} from './version-spec.js';

/** `all`, the newest n, or these. */
export type VersionPolicy =
  | 'all'
  | { readonly latest: { readonly n: number } }
  | { readonly specific: readonly string[] };

/** What the trial of a candidate is given and gives back. */
export interface Trial {
  readonly file: string;
  readonly session: SessionPolicy;
  readonly needsBatchTrial: boolean;
  readonly isBatched: boolean;
}

export type TrialVerdict =
  | {
      readonly ok: true;
      readonly notBatched: string | undefined;
      readonly runTimes: readonly { readonly runUs: number }[];
    }
  | { readonly ok: false; readonly reason: string };

export interface RepositoryOptions {
  readonly path: string;
  /** Name of the model when the folder holds one bare model.onnx. */
  readonly bareName: string;
  readonly versionPolicyOf: (model: string) => VersionPolicy | undefined;
  readonly defaultVersionPolicy: VersionPolicy;
  readonly defaults: SpecDefaults;
  /** What an operator set for a single model, on top of everything the model says itself. */
  readonly override: (spec: VersionSpec) => VersionSpec;
  readonly trial: (trial: Trial) => Promise<TrialVerdict>;
  readonly warn: (id: VersionId, warning: string) => void;
  readonly ignored: (what: string) => void;
}

const modelBytesMax = 2 ** 31;

export class Repository {
  readonly #options: RepositoryOptions;
  #listing: ReadonlyMap<string, ListedModel> = new Map();

  constructor(options: RepositoryOptions) {
    this.#options = options;
  }

  /** @throws NOT_FOUND when there is no such folder, FAILED_PRECONDITION when it cannot be read */
  async list(): Promise<OfferedModel[]> {
    const listing = await this.#read();
    for (const what of listing.ignored) this.#options.ignored(what);
    return Promise.all(listing.models.map((model) => this.#offered(model)));
  }

  /** One model, as the folder has it now. */
  async look(name: string): Promise<OfferedModel | undefined> {
    await this.#read();
    const model = this.#listing.get(name);
    return model === undefined ? undefined : this.#offered(model);
  }

  async #read(): Promise<DirectoryListing> {
    const listing = await listDirectory(this.#options.path, this.#options.bareName);
    this.#listing = new Map(listing.models.map((model) => [model.name, model]));
    return listing;
  }

  async #offered(model: ListedModel): Promise<OfferedModel> {
    const policy =
      this.#options.versionPolicyOf(model.name) ?? (await this.#ownPolicy(model)) ?? this.#options.defaultVersionPolicy;
    const wanted = await Promise.all(chosen(model.versions, policy).map(offered));
    return { name: model.name, wanted };
  }

  async #ownPolicy(model: ListedModel): Promise<VersionPolicy | undefined> {
    // A configuration that cannot be read is reported when the version is admitted.
    const config = await this.#config(model).catch(() => undefined);
    return config?.version_policy === undefined ? undefined : policyOf(config.version_policy);
  }

  async #config(model: ListedModel, id?: VersionId): Promise<TritonConfig | undefined> {
    if (model.configFile === undefined) return undefined;
    const { config, warnings } = parseTritonConfig(
      basename(model.configFile),
      await readFile(model.configFile, 'utf8'),
    );
    if (id !== undefined) for (const warning of warnings) this.#options.warn(id, warning);
    return config;
  }

  /**
   * Reads, checks and tries a version.
   * @param configText JSON of a model configuration to use instead of the file on disk
   * @throws FAILED_PRECONDITION with the reason why it is refused
   */
  async admit(id: VersionId, configText?: string): Promise<VersionSpec> {
    const model = this.#listing.get(id.model);
    const listed = model?.versions.find(({ version }) => version === id.version);
    if (model === undefined || listed === undefined)
      throw new GatewayError('FAILED_PRECONDITION', 'its files are gone');
    const config =
      configText === undefined ? await this.#config(model, id) : parseTritonConfig('config.json', configText).config;
    const file = modelFileOf(config, listed.file);
    const { directory } = listed;
    const manifest = await this.#manifest(directory, basename(model.configFile ?? ''));
    const { spec, needsBatchTrial, warnings } = versionSpecOf(
      {
        id,
        directory,
        file,
        facts: readOnnx(await bytesOf(join(directory, file))),
        config,
        manifest,
        labelTexts: config === undefined ? undefined : await labelTexts(model.directory, config),
      },
      this.#options.defaults,
    );
    for (const warning of warnings) this.#options.warn(id, warning);
    return this.#tried(id, this.#options.override({ ...spec, file: join(directory, file) }), needsBatchTrial);
  }

  async #manifest(directory: string, configName: string) {
    const text = await readFile(join(directory, 'manifest.json'), 'utf8').catch(absentOnly);
    if (text === undefined) return undefined;
    const manifest = parseManifest(text);
    await verifyFiles(directory, manifest, [configName]);
    return manifest;
  }

  /** Settles what only running the model can tell: whether it runs, whether its rows are independent, how long it takes. */
  async #tried(id: VersionId, spec: VersionSpec, needsBatchTrial: boolean): Promise<VersionSpec> {
    const { file, session } = spec;
    const needsTrial = needsBatchTrial && spec.batch.rowsMax > 0 && !spec.batch.isContract;
    const verdict = await this.#options.trial({
      file,
      session,
      needsBatchTrial: needsTrial,
      isBatched: spec.batch.rowsMax > 0,
    });
    if (!verdict.ok) throw new GatewayError('FAILED_PRECONDITION', verdict.reason);
    if (verdict.notBatched !== undefined) this.#options.warn(id, `requests are not batched: ${verdict.notBatched}`);
    const settled = verdict.notBatched === undefined ? spec : unbatched(spec);
    return withPolicyShown(withTimeout(settled, verdict.runTimes[0]?.runUs ?? 0));
  }
}

/** An automatic queue timeout is four times the run of a full batch, from 1 to 30 seconds. */
function withTimeout(spec: VersionSpec, rowUs: number): VersionSpec {
  const { queue } = spec.batch;
  if (queue.timeoutMs > 0) return spec;
  const runMs = (rowUs / 1000) * Math.max(1, spec.batch.rowsMax);
  const timeoutMs = Math.min(30_000, Math.max(1000, 4 * runMs));
  return { ...spec, batch: { ...spec.batch, queue: { ...queue, timeoutMs } } };
}

function policyOf(policy: TritonPolicy): VersionPolicy {
  if ('latest' in policy) return { latest: { n: policy.latest.num_versions } };
  if ('specific' in policy) return { specific: policy.specific.versions.map(String) };
  return 'all';
}

/** The versions that a policy wants, of versions in ascending order. */
export function chosen<V extends { readonly version: string }>(versions: readonly V[], policy: VersionPolicy): V[] {
  if (policy === 'all') return [...versions];
  if ('latest' in policy) return versions.slice(-policy.latest.n);
  return versions.filter(({ version }) => policy.specific.includes(version));
}

async function offered({ version, directory, file }: ListedVersion): Promise<Offered> {
  const { size } = await stat(join(directory, file));
  return { version, bytes: size };
}

async function bytesOf(path: string): Promise<Buffer> {
  const { size } = await stat(path);
  if (size > modelBytesMax)
    throw new GatewayError(
      'FAILED_PRECONDITION',
      `model.onnx has ${size} bytes, at most ${modelBytesMax} are read; use external data`,
    );
  return readFile(path);
}

async function labelTexts(directory: string, config: TritonConfig): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const name of labelFilesOf(config)) {
    const text = await readFile(join(directory, name), 'utf8').catch(() => undefined);
    if (text !== undefined) texts.set(name, text);
  }
  return texts;
}

/** A manifest that is there and cannot be read must not pass for none: its hashes would go unchecked. */
function absentOnly(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined;
  throw new GatewayError('FAILED_PRECONDITION', `manifest.json cannot be read: ${error.code}`);
}
