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
import type { JoinItem, Origin } from '../labels/join-record.js';
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

interface JoinTapOptions extends JoinWriterOptions {
  readonly seal: UnitSeal;
}

export class JoinTap {
  readonly #writer: JoinWriter;
  readonly #seal: UnitSeal;
  readonly #terms = new Map<number, JoinTerms>();
  readonly #origins = new Map<string, Origin>();

  constructor({ seal, ...options }: JoinTapOptions) {
    this.#writer = new JoinWriter(options);
    this.#seal = seal;
  }

  learn(terms: JoinTerms): void {
    if (this.#terms.size < subjectsMax) this.#terms.set(terms.subject, terms);
  }

  event(...[event, subject, tensors]: Parameters<Tap['event']>): void {
    const terms = this.#terms.get(subject.id);
    if (terms === undefined || event.status >= failedStatus || event.role === 'shadow') return;
    const { requestId, tsUs } = event;
    const unit = event.unit === undefined ? undefined : this.#seal.sealed(event.unit);
    const items = itemsOf(event, tensors?.outputs ?? [], terms);
    this.#writer.add(this.#originOf(event, subject, terms), { requestId, tsUs, unit, items });
  }

  #originOf(
    { route }: LoggedEvent,
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

/** Of a batch that came without its outputs nothing is known but that its items were served. */
function itemsOf(event: LoggedEvent, outputs: readonly SeenTensor[], { labels, semantics }: JoinTerms): JoinItem[] {
  const { items, prediction, score } = event;
  if (items <= 1) return [{ predicted: prediction, score }];
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
