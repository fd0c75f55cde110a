/**
 * PART OF THE ROOT: drift of everything that is served.
 *
 *   a version is ready ─▶ what is watched of it, its profile ─▶ files ─▶ observer threads
 *   closed minutes of all processes ─▶ series by version and role ─▶ a window is judged ─▶ log line, event, document, gauges
 *
 * Only what answers is judged: the role primary. Others are counted, and shown when asked for.
 *
 * Must not know any rule, or how sketches travel.
 */
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { DriftStretch, SketchStretch } from '../admin/drift-operations.js';
import type { Config } from '../config/schema.js';
import type { ClosedSketch } from '../core/closed-sketch.js';
import { GatewayError } from '../core/errors.js';
import { nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import { ownOf } from '../core/own.js';
import type { Family } from '../core/series.js';
import { type Watched, watchNameOf } from '../core/watched.js';
import type { Log } from '../log.js';
import { estimateMoments } from '../monitor/cbpe.js';
import type { Moments } from '../monitor/moments.js';
import { parseProfile, type ReferenceProfile } from '../monitor/profile-document.js';
import { type DriftEvent, eventsOf, signalsOf } from './drift-events.js';
import { driftFamilies, type Measured } from './drift-families.js';
import { DriftFiles } from './drift-files.js';
import { sayChanges } from './drift-lines.js';
import { DriftSeries } from './drift-series.js';
import { countable, watchedOf } from './drift-watch.js';
import type { JudgedSignals } from './judged-signals.js';
import { type ModelDriftDocument, versionDocument } from './model-drift-document.js';
import { type ModelSketchesDocument, sketchesOf } from './sketches-document.js';

export interface DriftRoomOptions {
  readonly config: Pick<Config, 'drift' | 'prediction_log'>;
  readonly log: Log;
  /** Of the wall. */
  readonly epochMs: () => number;
  /** Only ever forward. */
  readonly now: () => number;
  readonly onChange: (event: DriftEvent) => void;
  /** Each window that was judged, whatever came of it: policies count them. */
  readonly onJudged: (judged: JudgedSignals) => void;
}

/** A version that is served. */
interface Known {
  readonly id: VersionId;
  readonly sha256: string;
  readonly watched: Watched;
  /** Why a profile that came along is not used. */
  readonly refused: string | undefined;
  readonly series: Map<string, DriftSeries>;
  /** When it was closed; what is known of it is forgotten a little later. */
  closedAt: number | undefined;
}

const tickMsMax = 1000;
const saveMs = 60_000;
const keepClosedMs = 600_000;
const keepFilesMs = 31 * 86_400_000;
const profileBytesMax = 16 * 2 ** 20;
const knownMax = 2000;
const livesMax = 10_000;
const judgedRole = 'primary';

export class DriftRoom {
  readonly #options: DriftRoomOptions;
  readonly #files: DriftFiles;
  readonly #known = new Map<string, Known>();
  /** The last number by process and key: what comes twice counts once. */
  readonly #lives = new Map<string, Map<string, number>>();
  readonly #timer: NodeJS.Timeout;
  #savedAt: number;

  private constructor(options: DriftRoomOptions, files: DriftFiles) {
    this.#options = options;
    this.#files = files;
    this.#savedAt = options.now();
    files.sweep(options.epochMs() - keepFilesMs);
    this.#timer = setInterval(() => this.#tick(), Math.min(tickMsMax, options.config.drift.minute_ms));
    this.#timer.unref();
  }

  /** @returns undefined when nothing is watched. @throws what the file system says of the folder */
  static open(options: DriftRoomOptions): DriftRoom | undefined {
    const { drift, prediction_log: log } = options.config;
    if (!drift.enabled || !log.enabled) return undefined;
    return new DriftRoom(options, new DriftFiles(resolve(log.path)));
  }

  /** A version is ready. */
  learn(spec: VersionSpec): void {
    const { id, artifact } = spec;
    const sha256 = artifact?.sha256 ?? '';
    const name = watchNameOf(id, sha256);
    this.#replace(id, name);
    const before = this.#known.get(name);
    if (before !== undefined) {
      before.closedAt = undefined;
      return;
    }
    if (this.#known.size >= knownMax) return;
    const { prediction_log, drift } = this.#options.config;
    const rules = ownOf(prediction_log.redact, id.model) ?? [];
    const { profile, refused } = this.#shipped(spec);
    const warmUpRows = spec.profile === undefined ? drift.warm_up_rows : 0;
    const watched = watchedOf(spec, rules, warmUpRows);
    if (watched.features.length === 0) return;
    this.#known.set(name, { id, sha256, watched, refused, series: new Map(), closedAt: undefined });
    this.#files.watch(name, watched, profile && this.#counted(profile, watched, id));
    this.#seriesOf(name, judgedRole);
  }

  /** The same version with other content: its numbers would stand under the same names. */
  #replace({ model, version }: VersionId, by: string): void {
    for (const [name, known] of this.#known) {
      if (known.id.model !== model || known.id.version !== version || name === by) continue;
      this.#save(name, known);
      this.#known.delete(name);
    }
  }

  #counted(profile: ReferenceProfile, watched: Watched, id: VersionId): ReferenceProfile {
    const counted = countable(profile, watched);
    if (counted.unknown.length > 0)
      this.#options.log.warn('drift.profile', { model: nameOf(id), notCounted: counted.unknown.slice(0, 20) });
    return { ...counted.profile, ...id };
  }

  /** A profile that came along and cannot be read is no reason not to serve, and none to call the first rows normal. */
  #shipped({ id, directory, profile: file }: VersionSpec): {
    readonly profile?: ReferenceProfile;
    readonly refused: string | undefined;
  } {
    if (file === undefined) return { refused: undefined };
    try {
      const path = join(directory, file);
      if (statSync(path).size > profileBytesMax) throw new Error(`it is larger than ${profileBytesMax} bytes`);
      return { profile: parseProfile(readFileSync(path, 'utf8')), refused: undefined };
    } catch (error) {
      const refused = (error as Error).message;
      this.#options.log.warn('drift.profile', { model: nameOf(id), refused });
      return { refused };
    }
  }

  /** A version is closed. */
  forget({ model, version }: VersionId): void {
    for (const known of this.#known.values()) {
      if (known.id.model === model && known.id.version === version) known.closedAt ??= this.#options.now();
    }
  }

  /** @param life of the process that saw them */
  take(life: string, closed: readonly ClosedSketch[]): void {
    for (const part of closed) {
      if (!this.#isNew(life, part)) continue;
      try {
        const series = this.#seriesOf(watchNameOf(part, part.artifactSha256), part.role);
        series?.add(part, { epochMs: this.#options.epochMs(), monotonicMs: this.#options.now() });
      } catch (error) {
        this.#options.log.warn('drift.sketch', { model: nameOf(part), error: (error as Error).message });
      }
    }
  }

  #isNew(life: string, { key, number }: ClosedSketch): boolean {
    let seen = this.#lives.get(life);
    if (seen === undefined) {
      seen = new Map();
      this.#lives.set(life, seen);
      if (this.#lives.size > livesMax) this.#lives.delete(this.#lives.keys().next().value!);
    }
    if (number <= (seen.get(key) ?? 0)) return false;
    seen.set(key, number);
    return true;
  }

  /** A process has ended. */
  ended(life: string): void {
    this.#lives.delete(life);
  }

  /** @returns undefined for a version that is not served, or has no profile yet */
  #seriesOf(name: string, role: string): DriftSeries | undefined {
    const known = this.#known.get(name);
    const series = known?.series.get(role);
    if (known === undefined || series !== undefined) return series;
    const profile = this.#files.profileOf(name);
    if (profile === undefined) return undefined;
    const made = this.#restored(name, role, profile);
    known.series.set(role, made);
    return made;
  }

  #restored(name: string, role: string, profile: ReferenceProfile): DriftSeries {
    const { min_rows: minN, warn, alert, alpha, share, minute_ms, window_age_ms } = this.#options.config.drift;
    const make = () =>
      new DriftSeries({
        profile,
        rule: { minN, warn, alert, alpha, share },
        betweenMs: minute_ms,
        windowAgeMs: window_age_ms,
        isBinary: this.#known.get(name)?.watched.semantics?.task === 'binary',
      });
    const series = make();
    try {
      const clocks = { epochMs: this.#options.epochMs(), monotonicMs: this.#options.now() };
      series.restore(this.#files.saved(name, role), clocks);
      return series;
    } catch {
      return make();
    }
  }

  #tick(): void {
    const now = this.#options.now();
    for (const [name, known] of this.#known) {
      this.#judge(name, known, now);
      if (known.closedAt !== undefined && now - known.closedAt > keepClosedMs) {
        this.#save(name, known);
        this.#known.delete(name);
      }
    }
    if (now - this.#savedAt < saveMs) return;
    this.#savedAt = now;
    this.#saveAll();
  }

  #judge(name: string, known: Known, now: number): void {
    const series = known.series.get(judgedRole);
    const changes = series?.judge(now);
    if (series?.judged === undefined || changes === undefined) return;
    this.#save(name, known);
    const { judged } = series;
    sayChanges(this.#options.log, known.id, changes, judged.estimate);
    for (const event of eventsOf(judged, changes, known.sha256)) this.#options.onChange(event);
    this.#options.onJudged(signalsOf(judged, known.sha256));
  }

  #saveAll(): void {
    for (const [name, known] of this.#known) this.#save(name, known);
  }

  #save(name: string, { series }: Known): void {
    for (const [role, one] of series) {
      if (!one.isChanged) continue;
      try {
        this.#files.save(name, role, one.save());
      } catch (error) {
        this.#options.log.warn('drift.save', { name, error: (error as Error).message });
      }
    }
  }

  /** @param version all when undefined @throws NOT_FOUND */
  document(model: string, version: string | undefined, stretch: DriftStretch): ModelDriftDocument {
    const given = { epochMs: this.#options.epochMs(), minRows: this.#options.config.drift.min_rows };
    return { model, versions: this.#served(model, version).map((known) => versionDocument(known, stretch, given)) };
  }

  /** @param version all when undefined @throws NOT_FOUND */
  sketches(model: string, version: string | undefined, stretch: SketchStretch): ModelSketchesDocument {
    const epochMs = this.#options.epochMs();
    return { model, versions: this.#served(model, version).map((known) => sketchesOf(known, stretch, epochMs)) };
  }

  #served(model: string, version: string | undefined): Known[] {
    const served = [...this.#known].filter(
      ([, { id }]) => id.model === model && (version === undefined || id.version === version),
    );
    for (const [name] of served) this.#seriesOf(name, judgedRole);
    if (served.length > 0) return served.map(([, known]) => known);
    const what = version === undefined ? `model '${model}'` : `version ${version} of model '${model}'`;
    throw new GatewayError('NOT_FOUND', `${what} is not served, or its manifest declares no features to watch`);
  }

  /** How right a version probably is since then; undefined while nobody can tell. */
  estimateOf({ model, version }: VersionId, sinceMs: number): Moments | undefined {
    const known = [...this.#known.values()].find(({ id }) => id.model === model && id.version === version);
    const expected = known?.series.get(judgedRole)?.expectedSince(sinceMs, this.#options.epochMs());
    return expected && estimateMoments(expected);
  }

  families(): Family[] {
    const measured = [...this.#known.values()].flatMap(({ id, series }): Measured[] => {
      const document = series.get(judgedRole)?.judged;
      return document === undefined ? [] : [{ id, document }];
    });
    return driftFamilies(measured);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#saveAll();
  }
}
