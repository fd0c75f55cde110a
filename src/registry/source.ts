/**
 * A source: where versions of models come from. Four calls and nothing else.
 *
 *   list ─▶ models, versions and aliases as they are now       resolve ─▶ the files of one version, immutable
 *   open ─▶ the bytes of one file                              close
 *
 * A source reads and reports. It writes nothing to disk, decides nothing about what is served, and is not believed: names,
 * sizes and digests that it states are checked again by whoever takes its bytes.
 *
 * Must not know the store, the states of versions or routes.
 */
import type { ArchiveKind } from './inflate.js';

export type SourceType = 'directory' | 'http' | 'mlflow' | 'oci' | 's3';

/** What a registry knows about a version beside its files, all of it as text; shown to people, checked by policies. */
export interface VersionFacts {
  readonly tags: Readonly<Record<string, string>>;
  readonly description: string;
  /** Offline quality as the registry has it. */
  readonly metrics: Readonly<Record<string, number>>;
  /** The training run that made it, where the registry says so. */
  readonly runId: string;
  /** RFC 3339, or empty. */
  readonly created: string;
}

export const noFacts: VersionFacts = { tags: {}, description: '', metrics: {}, runId: '', created: '' };

export interface SourceVersion {
  readonly version: string;
  /** Changes whenever the content may have: a digest, an ETag, a number of the registry. */
  readonly revision: string;
  /** Of the model file, where the listing says so. */
  readonly bytes: number | undefined;
  readonly facts: VersionFacts;
  /** Not to be pulled yet, and why: an upload that has not settled, a registration that is pending. */
  readonly waiting?: string;
}

export interface SourceModel {
  readonly name: string;
  /** Ascending by number. */
  readonly versions: readonly SourceVersion[];
  readonly aliases: Readonly<Record<string, string>>;
  /** The configuration that lies beside the versions, where a listing reads it. */
  readonly config?: { readonly name: string; readonly text: string };
}

export interface Listing {
  /** Ascending by name. */
  readonly models: readonly SourceModel[];
  /** One sentence for each thing passed over. */
  readonly ignored: readonly string[];
}

export interface ArtifactFile {
  /** Where it lies in the version; obeys `isFilePath`. For an archive, the path it is told under in messages. */
  readonly path: string;
  /** As the source states it; undefined when it does not. */
  readonly bytes: number | undefined;
  /** Lower-case hex of the bytes that `open` gives, as the source states it. */
  readonly sha256: string | undefined;
  /** Unpacked into the version instead of lying there itself. */
  readonly archive?: ArchiveKind;
  /** Where the source itself finds it; nobody else looks inside. */
  readonly locator: unknown;
}

/** One version, ready to be pulled. */
export interface Artifact {
  readonly model: string;
  readonly version: string;
  readonly revision: string;
  readonly files: readonly ArtifactFile[];
  /** Signatures over the version; kept in the store's record and never in the version itself. */
  readonly signatures: readonly ArtifactFile[];
  /** Digests of the documents that all files follow from, where the source has checked them: what was signed may be one. */
  readonly manifests?: readonly string[];
  /** Configuration that lies beside the versions, with the label files that it may name. */
  readonly config:
    | { readonly name: string; readonly text: string; readonly labels: Readonly<Record<string, string>> }
    | undefined;
  readonly facts: VersionFacts;
}

export interface FileStream {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Where `chunks` begins: what was asked for, or 0 when the source had to start over. */
  readonly offset: number;
  /** Of the whole file, where the source says so. */
  readonly bytes: number | undefined;
  /** What proves at a later `open` that the file is still the same; undefined = it cannot be resumed. */
  readonly etag: string | undefined;
}

/**
 * All calls throw GatewayError: UNAVAILABLE for what may pass (down, slow, overloaded), UNAUTHENTICATED and
 * PERMISSION_DENIED for credentials, NOT_FOUND for what is not there, FAILED_PRECONDITION for what is wrong with the content.
 */
export interface Source {
  readonly name: string;
  readonly type: SourceType;
  /** @returns undefined when nothing has changed since the last listing that was given */
  list(signal: AbortSignal): Promise<Listing | undefined>;
  resolve(model: string, version: string, signal: AbortSignal): Promise<Artifact>;
  /** @param from the bytes already there, and the etag that they came with */
  open(
    file: ArtifactFile,
    from: { readonly offset: number; readonly etag: string | undefined },
    signal: AbortSignal,
  ): Promise<FileStream>;
  close(): Promise<void>;
}
