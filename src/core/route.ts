/**
 * Which versions answer a model. The control process makes tables, gateway processes only replace the one they have.
 *
 * Must not know how a version is opened.
 */

export type ServingState = 'ready' | 'lazy' | 'loading' | 'unloading' | 'unavailable';

export interface VersionEntry {
  readonly version: string;
  readonly state: ServingState;
  readonly reason: string;
}

export interface Route {
  readonly model: string;
  /** Ascending by number. */
  readonly versions: readonly VersionEntry[];
  /** The version that answers when none is named; undefined when none is ready. */
  readonly champion: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

export interface RouteTable {
  readonly generation: number;
  readonly routes: Readonly<Record<string, Route>>;
  readonly isReady: boolean;
  readonly reason: string;
  readonly isDegraded: boolean;
}

export const emptyTable: RouteTable = {
  generation: 0,
  routes: {},
  isReady: false,
  reason: 'starting',
  isDegraded: false,
};
