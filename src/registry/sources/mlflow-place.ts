/**
 * A place where the artifacts of a version lie: behind the tracking server, in a bucket, in a folder.
 *
 * Must not know MLflow, or any kind of place.
 */
import type { FileStream } from '../source.js';

export interface PlacedFile {
  /** Below the root of the version; obeys `isFilePath`. */
  readonly path: string;
  /** As the listing states it. */
  readonly bytes: number | undefined;
}

/** The bytes that are there already, and the etag that they came with. */
export interface ResumePoint {
  readonly offset: number;
  readonly etag: string | undefined;
}

export interface ArtifactPlace {
  /** Every file below the root; none when there is no such root yet. */
  files(signal: AbortSignal): Promise<readonly PlacedFile[]>;
  open(file: PlacedFile, from: ResumePoint, signal: AbortSignal): Promise<FileStream>;
}

/** From the first byte, with nothing there yet. */
export const fromStart: ResumePoint = { offset: 0, etag: undefined };
