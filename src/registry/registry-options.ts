/**
 * What the registry is given and what it tells: functions for all that it does not do itself, and the values that pass through
 * them.
 *
 * Must not know how any of it is done.
 */
import type { VersionId, VersionSpec } from '../core/model.js';
import type { RouteTable } from '../core/route.js';
import type { OfferedModel } from './catalogue.js';
import type { OperatorChoice, RegistryState } from './versions.js';

export type LoadPolicy = 'eager' | 'lazy' | 'explicit';

export interface StateChange {
  readonly id: VersionId;
  readonly from: RegistryState;
  readonly to: RegistryState;
  readonly reason: string;
  readonly tookMs: number;
}

/** A change of the version that answers by default. */
export interface Publication {
  readonly model: string;
  readonly version: string | undefined;
  readonly previous: string | undefined;
  readonly spec: VersionSpec | undefined;
  readonly generation: number;
  readonly reason: string;
}

/** A change of where a label leads, other than the one that answers by default. */
export interface Relabelling {
  readonly model: string;
  readonly label: string;
  /** Undefined = it leads nowhere any more. */
  readonly version: string | undefined;
  readonly previous: string | undefined;
  readonly reason: string;
}

/** What survives a restart, by model. */
export type Remembered = Readonly<
  Record<
    string,
    {
      readonly champion?: string | undefined;
      readonly previous?: string | undefined;
      /** Digests of both, by version. */
      readonly answered?: Readonly<Record<string, string>>;
      readonly labels: Readonly<Record<string, string>>;
      readonly choice: OperatorChoice;
    }
  >
>;

/** How a version is to be brought. */
export interface Bringing {
  /** JSON text of a model configuration to use instead of the model's own. */
  readonly config: string | undefined;
  /** What the store has of the version must not stand in for what its source offers now. */
  readonly isExact?: boolean;
  /** The digest of a content that the store has, to be used whatever the source offers. */
  readonly sha256?: string;
  /** Called when the bytes are there. */
  readonly onStored: () => void;
}

export interface RegistryOptions {
  readonly policy: LoadPolicy;
  /** What the sources offer now. */
  readonly list: () => readonly OfferedModel[];
  /** One model, after its source was asked anew; undefined when no source has it. */
  readonly look: (model: string) => Promise<OfferedModel | undefined>;
  /**
   * Brings a version into the store, reads and tries it.
   * @throws GatewayError with the reason why it is refused
   */
  readonly admit: (id: VersionId, how: Bringing) => Promise<VersionSpec>;
  readonly open: (spec: VersionSpec) => Promise<void>;
  /** What was admitted is not opened after all. */
  readonly forgo: (id: VersionId) => void;
  readonly drain: (id: VersionId) => Promise<void>;
  readonly publish: (table: RouteTable) => Promise<void>;
  /** Writes a change of what answers down; when that fails, the change does not happen. */
  readonly record: (publication: Publication) => Promise<void>;
  /** The same for a change of a label. */
  readonly recordLabel: (relabelling: Relabelling) => Promise<void>;
  readonly remember: (remembered: Remembered) => Promise<void>;
  readonly remembered: Remembered;
  /** What the store has of a version. */
  readonly storedSha256: (id: VersionId, source: string) => string | undefined;
  /** What callers of `old` would miss in `next`. */
  readonly breaches: (old: VersionSpec, next: VersionSpec) => readonly string[];
  /** Whether a version of the model may take over all the same, without anybody asking for that. */
  readonly isBreakingAllowed: (model: string) => boolean;
  /**
   * Why a version must not answer by default yet, asked for by `requester` (undefined = its source did); empty = it may.
   * @param action `breaking` = in spite of other inputs or outputs; `canary` = have a share of a route
   */
  readonly withheld: (
    id: VersionId,
    spec: VersionSpec | undefined,
    requester: string | undefined,
    action: 'champion' | 'breaking' | 'canary',
  ) => string;
  /** The digest by which a version got its share of a route; undefined = it has none. */
  readonly sharedAs: (id: VersionId) => string | undefined;
  readonly observe: (change: StateChange) => void;
  /** What was to be done by itself, for which nobody waits, and has failed. */
  readonly report: (what: string, error: unknown) => void;
  readonly now: () => number;
  readonly lazy: { readonly openMax: number; readonly bytesMax: number };
  /** How often a load that failed is tried again by itself, later each time. */
  readonly retriesMax: number;
  readonly retryMs: number;
  /** How long a version stays open after another took its place. */
  readonly keepPreviousMs: () => number;
  /** Models that must have a ready version for the server to be ready; `all` = every one the sources offer. */
  readonly readiness: () => 'all' | readonly string[];
}
