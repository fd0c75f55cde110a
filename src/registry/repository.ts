/**
 * How one version is admitted: its bytes are brought, its configuration, manifest and graph are read, and it is tried.
 *
 *   bring ─▶ directory ─▶ sha256 of every file ─▶ config.*   ┐
 *                                                model.onnx ├─▶ candidate ─▶ trial ─▶ VersionSpec
 *                                                manifest   ┘
 *
 * Must not know the runtime (the trial is given), sources, or the states of versions.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AdmissionCode, GoldenRecord, GoldenSample } from '../core/admission.js';
import { GatewayError } from '../core/errors.js';
import type { ArtifactId, RunTime, SessionPolicy, Signature, VersionId, VersionSpec } from '../core/model.js';
import { trialBytesMax } from './admission.js';
import { AdmissionRefusal } from './admission-refusal.js';
import type { VersionPolicy } from './catalogue.js';
import type { Contract } from './contract.js';
import { checkExternalData } from './external-data.js';
import { readGolden } from './golden.js';
import { type Manifest, manifestBytesMax, manifestFileName, parseManifest, verifyFiles } from './manifest.js';
import type { MemoryNeed } from './memory-budget.js';
import { readOnnx } from './onnx.js';
import type { Bringing } from './registry-options.js';
import type { TrialReport } from './trial-report.js';
import { parseTritonConfig, type TritonConfig, type VersionPolicy as TritonPolicy } from './triton-config.js';
import {
  labelFilesOf,
  modelFileOf,
  type SpecDefaults,
  unbatched,
  versionSpecOf,
  withPolicyShown,
} from './version-spec.js';

/** A version whose bytes are there. */
export interface Brought {
  readonly directory: string;
  /** Files in `directory` that are no part of the version. */
  readonly besides: readonly string[];
  readonly config:
    | { readonly name: string; readonly text: string; readonly labels: Readonly<Record<string, string>> }
    | undefined;
  readonly artifact: ArtifactId | undefined;
}

/** What the trial of a candidate is given and gives back. */
export interface Trial {
  readonly file: string;
  readonly session: SessionPolicy;
  readonly needsBatchTrial: boolean;
  readonly isBatched: boolean;
  readonly rowsMax: number;
  readonly preferredRows: readonly number[];
  readonly signature: Signature;
  readonly golden: readonly GoldenSample[];
  readonly record?: GoldenRecord;
}

export type TrialVerdict =
  | {
      readonly ok: true;
      readonly notBatched: string | undefined;
      readonly openMs: number;
      readonly runTimes: readonly RunTime[];
      readonly peakRssBytes: number;
      readonly record: GoldenRecord;
    }
  | { readonly ok: false; readonly code: AdmissionCode; readonly reason: string };

export interface RepositoryOptions {
  readonly bring: (id: VersionId, how: Bringing) => Promise<Brought>;
  readonly defaults: SpecDefaults;
  /** What an operator set for a single model, on top of everything the model says itself. */
  readonly override: (spec: VersionSpec) => VersionSpec;
  /** @param memoryBytesMax what the trial may take */
  readonly trial: (trial: Trial, memoryBytesMax: number) => Promise<TrialVerdict>;
  /** Our own record of the answers to golden samples, by the digest of a version. */
  readonly records: {
    get(sha256: string): GoldenRecord | undefined;
    put(sha256: string, record: GoldenRecord): Promise<void>;
  };
  /** Is told what a trial has found. */
  readonly tried: (id: VersionId, sha256: string | undefined, report: TrialReport) => Promise<void>;
  /** @throws AdmissionRefusal `memory` when there is no room for it */
  readonly reserve: (id: VersionId, need: MemoryNeed) => Promise<void>;
  readonly epochNow: () => number;
  readonly warn: (id: VersionId, warning: string) => void;
}

/** A version as its files describe it. */
interface Read {
  readonly spec: VersionSpec;
  readonly needsBatchTrial: boolean;
  readonly warnings: readonly string[];
  readonly manifest: Manifest | undefined;
  /** External data included. */
  readonly modelBytes: number;
}

const modelBytesMax = 2 ** 31;
const smallBytesMax = 1024 * 1024;

export class Repository {
  readonly #options: RepositoryOptions;
  /** Manifests of versions that were admitted, by artifact: what a contract says beside the signature. */
  readonly #manifests = new WeakMap<VersionSpec, Manifest>();

  constructor(options: RepositoryOptions) {
    this.#options = options;
  }

  manifestOf(spec: VersionSpec): Manifest | undefined {
    return this.#manifests.get(spec);
  }

  /**
   * Brings, reads, checks and tries a version.
   * @throws FAILED_PRECONDITION with the reason why it is refused
   */
  async admit(id: VersionId, how: Bringing): Promise<VersionSpec> {
    const brought = await this.#options.bring(id, how);
    const read = await this.#read(id, brought, how.config);
    for (const warning of read.warnings) this.#options.warn(id, warning);
    const { directory, artifact } = brought;
    const { spec, manifest } = read;
    const golden = manifest?.golden === undefined ? [] : await readGolden(directory, manifest.golden);
    const tried = await this.#tried(spec, { ...read, golden, sha256: artifact?.sha256 });
    const settled = artifact === undefined ? tried : { ...tried, artifact };
    if (manifest !== undefined) this.#manifests.set(settled, manifest);
    return settled;
  }

  /**
   * What callers would rely on if this version answered, as far as its files say it; nothing is tried.
   * @throws FAILED_PRECONDITION with the reason why it would be refused
   */
  async contractIn(id: VersionId, brought: Brought): Promise<Contract> {
    const { spec, manifest } = await this.#read(id, brought, undefined);
    return contractOf(spec, manifest);
  }

  /** What callers of a version that was admitted rely on. */
  contractOf(spec: VersionSpec): Contract {
    return contractOf(spec, this.#manifests.get(spec));
  }

  async #read(id: VersionId, { directory, besides, config: own }: Brought, instead: string | undefined): Promise<Read> {
    const config = this.#config(id, instead === undefined ? own : { name: 'config.json', text: instead });
    const manifest = await manifestIn(directory, besides);
    const file = modelFileOf(config, modelFileIn(directory, manifest));
    const facts = readOnnx(await bytesOf(join(directory, file)));
    await checkExternalData(directory, facts, manifest);
    const { spec, needsBatchTrial, warnings } = versionSpecOf(
      {
        id,
        directory,
        file,
        facts,
        config,
        manifest,
        labelTexts: config === undefined ? undefined : labelTexts(own?.labels ?? {}, config),
      },
      this.#options.defaults,
    );
    const whole = this.#options.override({ ...spec, file: join(directory, file) });
    const modelBytes = facts.externalBytes.reduce((sum, bytes) => sum + bytes, statSync(whole.file).size);
    return { spec: whole, needsBatchTrial, warnings, manifest, modelBytes };
  }

  #config(
    id: VersionId,
    given: { readonly name: string; readonly text: string } | undefined,
  ): TritonConfig | undefined {
    if (given === undefined) return undefined;
    const { config, warnings } = parseTritonConfig(given.name, given.text);
    for (const warning of warnings) this.#options.warn(id, warning);
    return config;
  }

  /** Settles what only running the model can tell: whether it runs, whether its rows are independent, how long it takes. */
  async #tried(
    spec: VersionSpec,
    given: {
      readonly needsBatchTrial: boolean;
      readonly golden: readonly GoldenSample[];
      readonly modelBytes: number;
      readonly sha256: string | undefined;
    },
  ): Promise<VersionSpec> {
    const { id, file, session, batch, signature } = spec;
    const { golden, sha256, modelBytes } = given;
    const isBatched = batch.rowsMax > 0;
    const record = sha256 === undefined ? undefined : this.#options.records.get(sha256);
    const trial = {
      file,
      session,
      needsBatchTrial: given.needsBatchTrial && isBatched && !batch.isContract,
      isBatched,
      rowsMax: Math.max(1, batch.rowsMax),
      preferredRows: batch.preferredRows,
      signature,
      golden,
      ...(record === undefined ? {} : { record }),
    };
    const verdict = await this.#options.trial(trial, trialBytesMax(modelBytes));
    if (!verdict.ok) throw new AdmissionRefusal(verdict.code, verdict.reason);
    if (sha256 !== undefined && golden.length > 0) await this.#options.records.put(sha256, verdict.record);
    await this.#options.tried(id, sha256, this.#reportOf(verdict, spec, golden.length));
    await this.#options.reserve(id, { peakBytes: verdict.peakRssBytes, instances: spec.instances });
    if (verdict.notBatched !== undefined) this.#options.warn(id, `requests are not batched: ${verdict.notBatched}`);
    const settled = verdict.notBatched === undefined ? spec : unbatched(spec);
    const { runTimes } = verdict;
    return withPolicyShown(withTimeout({ ...settled, runTimes }, runTimes[0]?.runUs ?? 0));
  }

  #reportOf(verdict: TrialVerdict & { readonly ok: true }, { instances }: VersionSpec, samples: number): TrialReport {
    const { openMs, peakRssBytes, runTimes, notBatched = null, record } = verdict;
    return {
      triedAt: this.#options.epochNow(),
      fingerprint: record.fingerprint,
      openMs,
      peakBytes: peakRssBytes,
      instances,
      runs: runTimes.map(({ rows, runUs }) => ({ rows, runUs })),
      goldenSamples: samples,
      notBatched,
    };
  }
}

/** @throws FAILED_PRECONDITION when it cannot be read, or when the files are not those that it lists */
async function manifestIn(directory: string, besides: readonly string[]): Promise<Manifest | undefined> {
  const text = manifestTextIn(directory);
  if (text === undefined) return undefined;
  const manifest = parseManifest(text);
  await verifyFiles(directory, manifest, besides);
  return manifest;
}

/** A manifest that is there and cannot be read must not pass for none: its hashes would go unchecked. */
function manifestTextIn(directory: string): string | undefined {
  const path = join(directory, manifestFileName);
  try {
    const { size } = statSync(path);
    if (size <= manifestBytesMax) return readFileSync(path, 'utf8');
    throw new GatewayError(
      'FAILED_PRECONDITION',
      `manifest.json has ${size} bytes, at most ${manifestBytesMax} are read`,
    );
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new GatewayError('FAILED_PRECONDITION', `manifest.json cannot be read: ${code}`);
  }
}

function contractOf({ signature, labels }: VersionSpec, manifest: Manifest | undefined): Contract {
  return { signature, labels, features: manifest?.features };
}

/** An automatic queue timeout is four times the run of a full batch, from 1 to 30 seconds. */
function withTimeout(spec: VersionSpec, rowUs: number): VersionSpec {
  const { queue } = spec.batch;
  if (queue.timeoutMs > 0) return spec;
  const runMs = (rowUs / 1000) * Math.max(1, spec.batch.rowsMax);
  const timeoutMs = Math.min(30_000, Math.max(1000, 4 * runMs));
  return { ...spec, batch: { ...spec.batch, queue: { ...queue, timeoutMs } } };
}

/** The version policy that a model's own configuration states; one that cannot be read is reported when it is admitted. */
export function ownPolicyOf(name: string, text: string): VersionPolicy | undefined {
  try {
    const { version_policy } = parseTritonConfig(name, text).config;
    return version_policy === undefined ? undefined : policyOf(version_policy);
  } catch {
    return undefined;
  }
}

function policyOf(policy: TritonPolicy): VersionPolicy {
  if ('latest' in policy) return { latest: { n: policy.latest.num_versions } };
  if ('specific' in policy) return { specific: policy.specific.versions.map(String) };
  return 'all';
}

/** `model.onnx`, or the only other `*.onnx` there is. */
function modelFileIn(directory: string, manifest: Manifest | undefined): string {
  const names = manifest?.files.map(({ path }) => path) ?? readdirSync(directory);
  if (names.includes('model.onnx')) return 'model.onnx';
  const models = names.filter((name) => name.endsWith('.onnx') && !name.includes('/'));
  if (models.length === 1) return models[0]!;
  throw new GatewayError(
    'FAILED_PRECONDITION',
    `it has no model.onnx and ${models.length} other *.onnx files, expected one`,
  );
}

async function bytesOf(path: string): Promise<Buffer> {
  const { size } = statSync(path);
  if (size > modelBytesMax)
    throw new GatewayError(
      'FAILED_PRECONDITION',
      `model.onnx has ${size} bytes, at most ${modelBytesMax} are read; use external data`,
    );
  // A file this small is in memory already, for it was just written; the pool of threads takes longer.
  return size <= smallBytesMax ? readFileSync(path) : readFile(path);
}

function labelTexts(labels: Readonly<Record<string, string>>, config: TritonConfig): Map<string, string> {
  return new Map(labelFilesOf(config).flatMap((name) => (labels[name] === undefined ? [] : [[name, labels[name]]])));
}
