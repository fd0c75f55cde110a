/**
 * PART OF THE ROOT, in the observer thread: writes down what labels need to know of predictions.
 *
 *   hear: what a version's answers stand for        event ─▶ who answered, each item's class and score ─▶ JoinWriter
 *
 * Versions whose outputs must not be written down are never told of, and have no labels.
 *
 * Must not know labels.
 */
import { dirname } from 'node:path';
import type { Version } from '../core/model.js';
import type { JoinItem, JoinRow, Origin } from '../labels/join-record.js';
import { JoinWriter, type JoinWriterOptions } from '../labels/join-writer.js';
import type { Meaning } from '../labels/meaning.js';
import { UnitSeal } from '../labels/unit-seal.js';
import { hashKeyOf } from '../predictions/hash-key.js';
import type { Tap } from '../predictions/intake.js';
import type { LoggedEvent } from '../predictions/record.js';
import { predictionsOf, type SeenTensor } from './seen.js';

/** What the main thread says of a version, before its first event. */
export interface JoinTerms {
  readonly join: 1;
  readonly subject: number;
  readonly meaning: Meaning;
  readonly labels: Version['labels'];
  readonly semantics: Version['semantics'];
}

export function isJoinTerms(message: unknown): message is JoinTerms {
  return (message as { join?: unknown } | null)?.join === 1;
}

const failedStatus = 400;
const subjectsMax = 100_000;
const originsMax = 10_000;

/** What is known of a version, and the origin of its latest row: the next one mostly has the same. */
interface Known {
  readonly terms: JoinTerms;
  route: LoggedEvent['route'];
  origin: Origin | undefined;
}

/** One for all: the writer keeps nothing of it. */
type Row = { -readonly [K in keyof JoinRow]: JoinRow[K] };

interface JoinTapOptions extends JoinWriterOptions {
  readonly seal: UnitSeal;
}

export class JoinTap {
  readonly #writer: JoinWriter;
  readonly #seal: UnitSeal;
  readonly #known = new Map<number, Known>();
  readonly #origins = new Map<string, Origin>();
  readonly #row: Row = { requestId: '', tsUs: 0, unit: undefined, items: [] };

  constructor({ seal, ...options }: JoinTapOptions) {
    this.#writer = new JoinWriter(options);
    this.#seal = seal;
  }

  learn(terms: JoinTerms): void {
    if (this.#known.size >= subjectsMax) return;
    this.#known.set(terms.subject, { terms, route: undefined, origin: undefined });
  }

  event(...[event, subject, tensors]: Parameters<Tap['event']>): void {
    const known = this.#known.get(subject.id);
    if (known === undefined || event.status >= failedStatus || event.role === 'shadow') return;
    const { route, unit } = event;
    if (known.origin === undefined || known.route !== route) {
      known.origin = this.#originOf(route, subject, known.terms);
      known.route = route;
    }
    const row = this.#row;
    row.requestId = event.requestId;
    row.tsUs = event.tsUs;
    row.unit = unit === undefined ? undefined : this.#seal.sealed(unit);
    row.items = event.items <= 1 ? onlyItem(event) : itemsOf(event.items, tensors?.outputs ?? [], known.terms);
    this.#writer.add(known.origin, row);
  }

  #originOf(
    route: LoggedEvent['route'],
    { id, model, version }: Parameters<Tap['event']>[1],
    { meaning }: JoinTerms,
  ): Origin {
    const key = route === undefined ? String(id) : `${id}\0${routeKey(route)}`;
    let origin = this.#origins.get(key);
    if (origin === undefined) {
      const { experiment = '', phase = 0, assigned = '', served = '', reason = '' } = route ?? {};
      origin = { model, version, experiment, phase, assigned, variant: served, reason, meaning };
      if (this.#origins.size >= originsMax) this.#origins.clear();
      this.#origins.set(key, origin);
    }
    return origin;
  }

  flush(): void {
    this.#writer.flush();
  }

  close(): void {
    this.#writer.close();
  }
}

function routeKey({ experiment, phase, assigned, served, reason }: NonNullable<LoggedEvent['route']>): string {
  return `${experiment}\0${phase}\0${assigned}\0${served}\0${reason}`;
}

const nothing: JoinItem = { predicted: undefined, score: undefined };
const only: [{ predicted: string | undefined; score: number | undefined }] = [{ ...nothing }];

/** The same object for every request that is no batch. */
function onlyItem({ prediction, score }: LoggedEvent): readonly JoinItem[] {
  only[0].predicted = prediction;
  only[0].score = score;
  return only;
}

/** Of a batch that came without its outputs nothing is known but that its items were served. */
function itemsOf(items: number, outputs: readonly SeenTensor[], { labels, semantics }: JoinTerms): JoinItem[] {
  if (outputs.length === 0) return new Array<JoinItem>(items).fill(nothing);
  return predictionsOf(outputs, { items, rows: items, watched: { labels, semantics } }).map(({ label, score }) => ({
    predicted: label,
    score,
  }));
}

const flushMs = 100;

/** @param parameters of the URL by which the observer loads its taps @returns undefined when no labels are taken */
export function joinTapFor(parameters: URLSearchParams): JoinTap | undefined {
  const root = parameters.get('join');
  if (root === null) return undefined;
  const tap = new JoinTap({
    root,
    // It lies beside, where the log's own writer has it from.
    seal: new UnitSeal(hashKeyOf(dirname(root)).key),
    name: parameters.get('join_name')!,
    freeShareMin: Number(parameters.get('join_free_share')),
    fileBytesMax: Number(parameters.get('join_file_bytes')),
    now: () => performance.now(),
  });
  setInterval(() => tap.flush(), flushMs).unref();
  return tap;
}

/** Both taps as one, which is told what is meant for which. */
export function withJoin(tap: Tap, join: JoinTap): Tap {
  return {
    event: (event, subject, tensors) => {
      tap.event(event, subject, tensors);
      join.event(event, subject, tensors);
    },
    lost: (count) => tap.lost?.(count),
    hear: (message) => (isJoinTerms(message) ? join.learn(message) : tap.hear?.(message)),
    close: () => {
      tap.close?.();
      join.close();
    },
  };
}
