/**
 * PART OF THE ROOT: the way of one version, as the audit log has it: the stages it went through, by whom and why, and where
 * names led to it.
 *
 *   registered ─▶ shadow ─▶ canary ─▶ champion ─▶ retired
 *
 * Stages follow from what is so, and when it became so is in the log: a publication, a canary's own entries, or what routes make
 * of a version.
 *
 * Must not know how the log is kept.
 */
import type { AuditEntry, AuditRecord } from '../audit/entry.js';
import { nameOf, type VersionId } from '../core/model.js';

export type Stage = 'registered' | 'shadow' | 'canary' | 'champion' | 'retired';

export interface StageMove {
  readonly stage: Stage;
  /** UTC with milliseconds. */
  readonly at: string;
  readonly by: string;
  readonly reason: string;
}

/** A time during which a name other than the default led to it. */
interface AliasPeriod {
  readonly label: string;
  readonly from: string;
  /** Null = still. */
  readonly until: string | null;
}

interface VersionPast {
  /** Oldest first. */
  readonly moves: readonly StageMove[];
  readonly aliases: readonly AliasPeriod[];
}

/** Of each list the newest. */
const kept = 1000;

export async function pastOf(
  records: AsyncIterable<AuditRecord> | Iterable<AuditRecord>,
  id: VersionId,
): Promise<VersionPast> {
  const past = new Past(id);
  for await (const { entry } of records) past.take(entry);
  return { moves: past.moves, aliases: past.aliases };
}

class Past {
  readonly moves: StageMove[] = [];
  readonly aliases: AliasPeriod[] = [];
  readonly #id: VersionId;
  /** What an operator asked for, until it shows in what answers. */
  #act: AuditEntry | undefined;

  constructor(id: VersionId) {
    this.#id = id;
  }

  take(entry: AuditEntry): void {
    const { model, version } = this.#id;
    const { action, detail, subject } = entry;
    if (action.startsWith('canary.')) {
      if (subject === nameOf(this.#id)) this.#canary(entry);
      return;
    }
    if (detail.model !== model) return;
    const isIts = detail.version === version;
    if (action === 'stage.changed' && isIts) this.#move(detail.stage as Stage, entry);
    else if (action === 'promote' || action === 'rollback' || action === 'release') this.#act = entry;
    else if (action === 'alias.set' || action === 'alias.removed') this.#alias(entry, isIts);
    else if (action === 'version.published') this.#published(entry, isIts);
    else if (action === 'version.unloaded' && isIts && this.#stage === 'champion') this.#move('retired', entry);
    else if (action === 'version.quarantined' && isIts) this.#move('retired', entry);
  }

  get #stage(): Stage | undefined {
    return this.moves.at(-1)?.stage;
  }

  #canary(entry: AuditEntry): void {
    if (entry.action === 'canary.rolled_back') this.#move('registered', entry);
    else if (entry.action === 'canary.started') this.#move('canary', entry);
    else if (entry.action === 'canary.promoted') this.#promoted(entry);
  }

  /** Its publication is written down before; whoever promoted it is who moved it. */
  #promoted(entry: AuditEntry): void {
    const last = this.moves.at(-1);
    if (last?.stage !== 'champion') {
      // It answered by default before its canary began. One of another model's route answers there alone.
      if (entry.detail.route === this.#id.model) this.#move('champion', entry);
      return;
    }
    const { reason } = entry.detail;
    const why = typeof reason === 'string' && reason !== '' ? reason : last.reason;
    this.moves[this.moves.length - 1] = { ...last, by: entry.actor, reason: why };
  }

  /** It is told again after every start, which moves nothing. */
  #published(entry: AuditEntry, isIts: boolean): void {
    const asked = this.#act;
    this.#act = undefined;
    if (isIts) this.#move('champion', entry, asked);
    else if (this.#stage === 'champion') this.#move('retired', entry, asked);
  }

  /** @param asked what it follows from: whoever asked for it is who moved it */
  #move(stage: Stage, entry: AuditEntry, asked?: AuditEntry): void {
    if (stage === this.#stage) return;
    const [own, given] = [entry, asked].map((one) => (typeof one?.detail.reason === 'string' ? one.detail.reason : ''));
    this.moves.push({ stage, at: entry.ts, by: (asked ?? entry).actor, reason: given || own || entry.action });
    if (this.moves.length > kept) this.moves.shift();
  }

  #alias({ detail, ts }: AuditEntry, isIts: boolean): void {
    const label = String(detail.label);
    const open = this.aliases.findIndex((one) => one.label === label && one.until === null);
    if (open !== -1) this.aliases[open] = { ...this.aliases[open]!, until: ts };
    if (!isIts || detail.version === null) return;
    this.aliases.push({ label, from: ts, until: null });
    if (this.aliases.length > kept) this.aliases.shift();
  }
}
