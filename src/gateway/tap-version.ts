/**
 * PART OF THE ROOT, in the observer thread: one version as it is watched there.
 *
 *   no file yet ─▶ watched, without a profile: warming up ─▶ with one: each role's rows go into the sketch of their minute
 *
 * Must not know reports.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClosedSketch } from '../core/closed-sketch.js';
import type { VersionId } from '../core/model.js';
import { profileFileOf, type Watched, watchFileOf, watchNameOf } from '../core/watched.js';
import { MinuteSketches } from '../monitor/minutes.js';
import { parseProfile, type ReferenceProfile } from '../monitor/profile-document.js';
import { SketchLayout } from '../monitor/sketch-layout.js';
import type { SeenEvent, SeenTensors } from './seen.js';
import { TapColumns } from './tap-columns.js';
import { TapWarmUp } from './tap-warm-up.js';

export interface TapPlace {
  /** Folder of the files. */
  readonly profiles: string;
  readonly minuteMs: number;
  /** Part of the names of files that only this thread writes. */
  readonly thread: string;
}

export interface TapSubject extends VersionId {
  readonly id: number;
  readonly artifactSha256: string;
}

/** The rows of one role: those that wait belong to a minute that is open. */
interface TapRole {
  readonly minutes: MinuteSketches;
  readonly columns: TapColumns;
}

/** A minute must not close without them. */
function turn({ minutes, columns }: TapRole, nowMs: number): void {
  columns.flush();
  minutes.turn(nowMs);
}

/** How often files that are not there are looked for. */
const lookMs = 500;

export class TapVersion {
  readonly #place: TapPlace;
  readonly #subject: TapSubject;
  readonly #name: string;
  #watched: Watched | undefined;
  #warmUp: TapWarmUp | undefined;
  #profile: ReferenceProfile | undefined;
  #layout: SketchLayout | undefined;
  readonly #roles = new Map<string, TapRole>();
  #lookedAt = -Infinity;
  /** Since the last tick. */
  #observed = 0;
  seenAt: number;

  constructor(subject: TapSubject, place: TapPlace, nowMs: number) {
    this.#subject = subject;
    this.#place = place;
    this.#name = watchNameOf(subject, subject.artifactSha256);
    this.seenAt = nowMs;
  }

  take(role: string, event: SeenEvent & { readonly tsUs: number }, tensors: SeenTensors, nowMs: number): void {
    this.seenAt = nowMs;
    if (this.#layout === undefined) this.#look(nowMs);
    if (this.#layout === undefined) {
      if (role === 'primary') this.#warm(event, tensors);
      return;
    }
    const seen = this.#roleOf(role, nowMs);
    if (!seen.minutes.isCurrent(nowMs)) turn(seen, nowMs);
    const rows = seen.columns.add(seen.minutes.sketchAt(event.tsUs / 1000), event, tensors);
    if (rows === 0) return;
    seen.minutes.count(1, 0);
    this.#observed++;
  }

  #roleOf(role: string, nowMs: number): TapRole {
    let seen = this.#roles.get(role);
    if (seen === undefined) {
      const minutes = new MinuteSketches(this.#layout!, nowMs, this.#place.minuteMs);
      seen = { minutes, columns: new TapColumns(this.#layout!, this.#profile!, this.#watched!) };
      this.#roles.set(role, seen);
    }
    return seen;
  }

  #look(nowMs: number): void {
    if (nowMs >= this.#lookedAt && nowMs - this.#lookedAt < lookMs) return;
    this.#lookedAt = nowMs;
    const watched = this.#textOf(watchFileOf(this.#name));
    if (watched === undefined) return;
    this.#watched ??= JSON.parse(watched) as Watched;
    const text = this.#textOf(profileFileOf(this.#name));
    if (text === undefined) return;
    this.#profile = parseProfile(text);
    this.#layout = new SketchLayout(this.#profile);
    this.#warmUp = undefined;
  }

  #textOf(file: string): string | undefined {
    try {
      return readFileSync(join(this.#place.profiles, file), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  #warm(event: SeenEvent, tensors: SeenTensors): void {
    if (this.#watched === undefined || this.#watched.warmUpRows === 0) return;
    this.#warmUp ??= new TapWarmUp(this.#subject, this.#watched);
    this.#warmUp.add(event, tensors);
    if (!this.#warmUp.isFull) return;
    const { profiles, thread } = this.#place;
    this.#warmUp.write(join(profiles, profileFileOf(this.#name)), join(profiles, `.${this.#name}.${thread}`));
    this.#warmUp = undefined;
    this.#lookedAt = -Infinity;
  }

  get observed(): number {
    return this.#observed;
  }

  /** So many events of its kind never came, as far as can be told. */
  lose(events: number): void {
    this.#roles.get('primary')?.minutes.count(0, events);
  }

  tick(nowMs: number): void {
    this.#observed = 0;
    for (const seen of this.#roles.values()) turn(seen, nowMs);
  }

  closeAll(): void {
    for (const { columns, minutes } of this.#roles.values()) {
      columns.flush();
      minutes.closeAll();
    }
  }

  /** What control does not have yet. */
  closed(): ClosedSketch[] {
    const { id, model, version, artifactSha256 } = this.#subject;
    return [...this.#roles].flatMap(([role, { minutes }]) =>
      minutes.take().map(({ number, minute, sketch, observed, dropped }) => ({
        key: `${id}/${role}`,
        model,
        version,
        artifactSha256,
        role,
        number,
        fromMs: minute * this.#place.minuteMs,
        observed,
        dropped,
        buffer: sketch.buffer,
      })),
    );
  }

  acknowledge(role: string, number: number): void {
    this.#roles.get(role)?.minutes.acknowledge(number);
  }
}
