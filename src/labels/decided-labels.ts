/**
 * What is decided of labels that came together, before anything of it is written: each is joined with its prediction and
 * compared with what was known, also with those that came before it.
 *
 *   label ─ known request? ─ yes ─▶ newer than what was told? ─▶ record, or history
 *                └ not yet ─▶ early: waits for its prediction
 *
 * Must not know files.
 */
import type { EarlyLabel } from './early.js';
import type { Label, LabelAnswer, LabelStatus, Refused } from './feedback.js';
import { type Joined, type LabelRecord, labelNameOf, type Told } from './label-record.js';
import { complaintOf } from './meaning.js';

/** What is known already. */
export interface Knowledge {
  /** The prediction; a text that says why there is none; undefined when it may still come. */
  join(early: EarlyLabel): Joined | string | undefined;
  /** What was told last under a name. */
  last(name: string, prediction: Joined): LabelRecord | undefined;
  /** What waits under a name. */
  waiting(name: string, requestId: string): EarlyLabel | undefined;
}

export class DecidedLabels {
  readonly #knowledge: Knowledge;
  /** One for each label, in their order. */
  readonly answers: LabelAnswer[] = [];
  /** In the order in which they are to be written. */
  readonly records: LabelRecord[] = [];
  readonly #early = new Map<string, EarlyLabel>();
  /** By name. */
  readonly #latest = new Map<string, LabelRecord>();

  constructor(knowledge: Knowledge) {
    this.#knowledge = knowledge;
  }

  /** Those that are to wait. */
  get early(): EarlyLabel[] {
    return [...this.#early.values()];
  }

  add(label: EarlyLabel | Refused): void {
    this.answers.push('reason' in label ? refusal(label) : this.#decide(label));
  }

  #decide(early: EarlyLabel): LabelAnswer {
    const { requestId, item, key } = early.label;
    const prediction = this.#knowledge.join(early);
    if (prediction === undefined) return answer(early.label, this.#hold(early));
    if (typeof prediction === 'string') return answer(early.label, 'invalid', prediction);
    const complaint = complaintOf(prediction.meaning, early.label.label);
    if (complaint !== undefined) return answer(early.label, 'invalid', complaint);
    const name = labelNameOf(requestId, item, key);
    const before = this.#latest.get(name) ?? this.#knowledge.last(name, prediction);
    const told = toldOf(early);
    if (before !== undefined && isSame(before.told, told)) return answer(early.label, 'duplicate');
    const isHistory = before !== undefined && told.tsMs < before.told.tsMs;
    const record = { prediction, key, told, replaces: isHistory ? undefined : before?.told, isHistory };
    this.records.push(record);
    if (!isHistory) this.#latest.set(name, record);
    return answer(early.label, 'accepted');
  }

  /** What waits already is not written down again. */
  #hold(early: EarlyLabel): 'pending' {
    const { requestId, item, key } = early.label;
    const name = labelNameOf(requestId, item, key);
    const before = this.#early.get(name) ?? this.#knowledge.waiting(name, requestId);
    const [was, is] = [before && toldOf(before), toldOf(early)];
    if (was === undefined || (!isSame(was, is) && was.tsMs <= is.tsMs)) this.#early.set(name, early);
    return 'pending';
  }
}

function isSame(a: Told, b: Told): boolean {
  return a.tsMs === b.tsMs && a.label === b.label;
}

function toldOf({ label: { label, tsMs, source, weight }, receivedMs }: EarlyLabel): Told {
  return { label, tsMs: tsMs ?? receivedMs, receivedMs, source, weight };
}

function answer({ requestId, item }: Label, status: LabelStatus, reason?: string): LabelAnswer {
  return { request_id: requestId, item_index: item, status, ...(reason !== undefined && { reason }) };
}

function refusal({ requestId, item, reason }: Refused): LabelAnswer {
  return { request_id: requestId, item_index: item, status: 'invalid', reason };
}
