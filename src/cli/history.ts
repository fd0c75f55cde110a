/**
 * `sluice history MODEL`: which version served when, from where, by which digest and configuration, as a table.
 *
 * Must not know how that is found out.
 */
import { at, type ServingPeriod } from '../audit/history.js';
import { ask } from './ask.js';
import { Exit } from './exit.js';
import { table } from './text.js';

export interface HistoryOptions {
  readonly url: string;
  readonly token: string | undefined;
  /** Only what served at this moment: RFC 3339. */
  readonly at?: string | undefined;
  readonly json?: boolean | undefined;
}

/** The answer of `GET /admin/models/{model}/history`. */
export interface HistoryAnswer {
  readonly model: string;
  /** Oldest first. */
  readonly periods: readonly ServingPeriod[];
}

export async function showHistory(model: string, options: HistoryOptions): Promise<string> {
  const { url, token, json } = options;
  const moment = options.at === undefined ? undefined : momentOf(options.at);
  const address = `${url.replace(/\/+$/, '')}/admin/models/${encodeURIComponent(model)}/history`;
  const answer = (await ask({ url: address, token, of: 'the control port' })) as Partial<HistoryAnswer>;
  if (!Array.isArray(answer.periods)) throw new Exit(1, `what answers at ${url} is not the control port of a gateway`);
  const all = answer.periods as readonly ServingPeriod[];
  const one = moment === undefined ? undefined : at(all, moment);
  const periods = moment === undefined ? all : one === undefined ? [] : [one];
  return json === true ? `${JSON.stringify({ model, periods })}\n` : renderHistory(periods);
}

/** The newest period first. */
export function renderHistory(periods: readonly ServingPeriod[]): string {
  if (periods.length === 0) return 'nothing served\n';
  const head = ['FROM', 'UNTIL', 'VERSION', 'SOURCE', 'DIGEST', 'CONFIG', 'BY', 'REASON', 'ENDED'];
  return table([head, ...periods.toReversed().map(lineOf)]);
}

function lineOf(period: ServingPeriod): string[] {
  const { from, until, version, source, artifactSha256, configHash, actor, reason, endedBy } = period;
  const digests = [artifactSha256.slice(0, 12), configHash.slice(0, 12)];
  return [from, until ?? 'now', version, source, ...digests, actor, reason, endedBy ?? ''];
}

function momentOf(text: string): number {
  const moment = Date.parse(text);
  if (/^\d{4}-\d\d-\d\dT/.test(text) && !Number.isNaN(moment)) return moment;
  throw new Exit(2, `--at: expected a time like 2026-06-14T10:30:00Z, got '${text}'`);
}
